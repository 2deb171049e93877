"""How the service asks entities: one message, or several that together have one outcome."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import msgspec

from actors.address import Address
from actors.behaviour import CommandKey
from actors.transport import Answer
from booking.accounts.domain.account import NoteOutcome
from booking.addresses import account_address
from booking.api import Outcome, QueueStatus, ReservationRecord
from booking.domain.decision import Rejected

Value = QueueStatus | ReservationRecord | Rejected
"""What a call of several messages comes to."""

_VALUES = msgspec.msgpack.Decoder(Value)


class Actors(Protocol):
    """What the service needs of the runtime."""

    def ask(
        self,
        address: Address,
        command: Any,
        *,
        key: CommandKey | None = None,
        repeatable: bool = False,
    ) -> Awaitable[Answer]: ...
    async def begin(self, address: Address, key: CommandKey) -> Answer | None: ...
    def abandon(self, address: Address, key: CommandKey) -> None: ...


class ActorClient:
    """One instance's. Errors are those of :mod:`actors.errors`."""

    def __init__(self, actors: Actors) -> None:
        self._actors = actors

    async def reply(
        self,
        address: Address,
        command: Any,
        key: CommandKey | None = None,
        *,
        repeatable: bool = True,
    ) -> Any:
        """The reply. All commands sent this way do no harm if they are decided twice, but for
        those that say otherwise."""
        asked = self._actors.ask(address, command, key=key, repeatable=repeatable)
        return (await asked).reply

    async def answer(self, address: Address, command: Any, key: CommandKey | None) -> Answer:
        """The answer to a command that does harm if it is decided twice, unless it has a key."""
        return await self._actors.ask(address, command, key=key)

    async def once(
        self, user: str, key: CommandKey, run: Callable[[], Awaitable[Value]]
    ) -> Outcome:
        """Run a call of several messages once for its key, and keep its outcome with the user.

        Each message in ``run`` has to be idempotent under the key: after a crash between them the
        repeat runs all of them again. A refusal that asks to come back later is no outcome: kept,
        it would still be told to who does as asked.
        """
        owner = account_address(user)
        stored = await self._actors.begin(owner, key)
        if stored is not None:
            return Outcome(value_of(stored.reply), replayed=True)
        try:
            value = await run()
            if isinstance(value, Rejected) and value.retry_after_ms:
                self._actors.abandon(owner, key)
            else:
                await self.reply(owner, NoteOutcome(msgspec.msgpack.encode(value)), key)
        except BaseException:
            self._actors.abandon(owner, key)
            raise
        return Outcome(value)

    async def stored(self, user: str, key: CommandKey) -> Any | None:
        """The reply that the user's account has stored under the key, or ``None``; nothing is
        begun by asking."""
        owner = account_address(user)
        answer = await self._actors.begin(owner, key)
        if answer is None:
            self._actors.abandon(owner, key)
            return None
        return answer.reply


def value_of(noted: Any) -> Value:
    """What :meth:`ActorClient.once` has stored, from the reply under its key."""
    value: Value = _VALUES.decode(noted.body)
    return value
