"""What the calls of every subject share: keys, outcomes and the client of the entities.

Refusals are values (:class:`~booking.domain.decision.Rejected`). What is not an outcome is an
exception: :mod:`actors.errors`, :class:`UnknownError`, and those of :mod:`booking.queue`.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from hashlib import blake2b
from typing import Any, Generic, TypeVar

import msgspec

from actors.address import Address
from actors.behaviour import CommandKey
from actors.cluster.availability import StaleError
from actors.cluster.node import ClusterNode
from actors.cluster.router import Router
from actors.transport import Answer
from booking.accounts.domain.account import NoteOutcome
from booking.domain.decision import Rejected
from booking.entities import account_address

Value = TypeVar("Value")


class UnknownError(Exception):
    """The named thing does not exist, or belongs to someone else. Both look the same to callers."""


class Attempt(msgspec.Struct, frozen=True):
    """A client's Idempotency-Key, and 16 bytes that identify the request's content."""

    key: str
    fingerprint: bytes


class Outcome(msgspec.Struct, Generic[Value], frozen=True):
    """A call's result, and whether it is the stored one of an earlier attempt with the same key."""

    value: Value
    replayed: bool = False


def command_key(user: str, route: str, attempt: Attempt) -> CommandKey:
    """The command key of an Idempotency-Key, scoped to the user and the route.

    Nobody can reach another user's answers with it, and a client may use one key for two calls.
    """
    scoped = "\n".join((user, route, attempt.key)).encode()
    return CommandKey(blake2b(scoped, digest_size=16).digest(), attempt.fingerprint)


def new_id(kind: str, key: CommandKey | None = None) -> str:
    """An opaque id such as ``rsv_5f0c...``: 128 random bits, or those of the command key, so that
    a repeated command names the same thing."""
    return f"{kind}_{(key.id if key else os.urandom(16)).hex()}"


class Freshness:
    """How well this instance knows what other instances decide."""

    def __init__(self, node: ClusterNode) -> None:
        self._node = node

    def check(self, address: Address) -> None:
        """Raise :class:`~actors.errors.UnavailableError` if the entity's view is too old."""
        self._node.availability.check(address.slot)
        if not self._node.replication.replicas.ready(address):
            raise StaleError("not loaded yet", 0.2)

    def check_here(self) -> None:
        """Raise it if this instance heard nothing for a while and has not caught up yet."""
        self._node.availability.check_here()
        if self._node.replication.replicas.in_doubt:
            raise StaleError("looking again at what others decided meanwhile", 0.2)

    def newest(self, address: Address) -> bool:
        """Whether no other instance knows more of the entity than this one."""
        return self._node.runtime.shards.holds(address.slot)


class ActorClient:
    """Asks entities: one message, or several that have one outcome together.

    Errors are those of :mod:`actors.errors`.
    """

    def __init__(self, router: Router) -> None:
        self._router = router

    async def reply(self, address: Address, command: Any, *, repeatable: bool = True) -> Any:
        """The entity's reply. Set ``repeatable`` to false if deciding the command twice does
        harm."""
        return (await self._router.ask(address, command, repeatable=repeatable)).reply

    async def answer(self, address: Address, command: Any, key: CommandKey | None) -> Answer:
        """The answer to a command that is decided at most once for its key."""
        return await self._router.ask(address, command, key=key)

    async def once(
        self,
        user: str,
        key: CommandKey,
        run: Callable[[], Awaitable[Value | Rejected]],
        stored: msgspec.msgpack.Decoder[Value | Rejected],
    ) -> Outcome[Value | Rejected]:
        """Run a call of several messages once for its key, and keep its outcome with the user.

        Each message in ``run`` must be idempotent under the key: after a crash between them the
        repeat sends all of them again. A refusal with a time to come back is not kept, because the
        retry should be decided anew.
        """
        owner = account_address(user)
        earlier = await self._router.begin(owner, key)
        if earlier is not None:
            return Outcome(stored.decode(earlier.reply.body), replayed=True)
        try:
            value = await run()
            if isinstance(value, Rejected) and value.retry_after_ms:
                self._router.abandon(owner, key)
            else:
                note = NoteOutcome(msgspec.msgpack.encode(value))
                await self._router.ask(owner, note, key=key, repeatable=True)
        except BaseException:
            self._router.abandon(owner, key)
            raise
        return Outcome(value)

    async def stored(self, user: str, key: CommandKey) -> Any | None:
        """The reply stored under the key in the user's account, or ``None``. Asking begins
        nothing."""
        owner = account_address(user)
        answer = await self._router.begin(owner, key)
        if answer is None:
            self._router.abandon(owner, key)
            return None
        return answer.reply
