"""What the calls of every subject share: tokens, keys, outcomes and the client of the entities.

Refusals are values (:class:`~booking.domain.decision.Rejected`). What is not an outcome is an
exception: :mod:`actors.errors`, :class:`UnknownError`, :class:`TokenError` and
:class:`booking.queue.service.NotAdmittedError`.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import struct
from array import array
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from sys import intern
from typing import Any, Generic, Literal, TypeVar, overload

import msgspec

from actors.address import Address
from actors.behaviour import CommandKey
from actors.cluster.node import ClusterNode
from actors.cluster.router import Router
from actors.errors import KeyInFlightError, KeyReusedError, StaleError, UnavailableError
from actors.tasks import Tasks
from actors.transport import Answer
from booking.accounts.domain.account import (
    AccountView,
    GetAccount,
    Noted,
    NoteOutcome,
    OutcomeNoted,
    SpentToken,
)
from booking.domain.decision import Rejected
from booking.entities import account_address
from booking.identity import FIRST, Identity
from booking.queue.domain.line import Line
from booking.queue.domain.members import PAGE_NUMBERS, Page, joined_in
from booking.settings import SECRET_LENGTH_MIN

Value = TypeVar("Value")

CALL_MAX_S = 5.0
"""As long as a caller waits, however many entities are asked one after the other."""

NOTE_AGAIN_S = 0.02
"""Between two tries: a commit takes a few milliseconds."""

TRIM_MIN = 4
"""Pages of a queue."""

_MAC_BYTES = 16
_FIRST_HEAD = struct.Struct(">16sQQ")
_HEAD = struct.Struct(">16sQQQ")
_TOKEN_LENGTH_MAX = 256
_CACHE_SIZE = 131_072
"""Tokens remembered as verified, some 400 bytes each: a poller sends the same one again and again.
As many as a queue of 100,000 needs, or the whole of it would be verified anew with each round."""

_TO_URL = bytes.maketrans(b"+/", b"-_")
_FROM_URL = bytes.maketrans(b"-_", b"+/")
"""RFC 4648, section 5."""


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


def key_parts(key: CommandKey | None) -> tuple[bytes, bytes]:
    """The key for a command to tell the user's account; empty for none."""
    return (b"", b"") if key is None else (key.id, key.fingerprint)


@overload
def step_key(key: CommandKey) -> CommandKey: ...
@overload
def step_key(key: None) -> None: ...
def step_key(key: CommandKey | None) -> CommandKey | None:
    """The key under which another entity acts for a user's key. Not the same one: a shard has one
    answer for each key, and that entity may live in the account's own."""
    if key is None:
        return None
    return CommandKey(blake2b(b"step" + key.id, digest_size=16).digest(), key.fingerprint)


def new_id(kind: str, key: CommandKey | None = None) -> str:
    """An opaque id such as ``rsv_5f0c...``: 128 random bits, or those of the command key, so that
    a repeated command names the same thing."""
    return f"{kind}_{(key.id if key else os.urandom(16)).hex()}"


@dataclass(frozen=True, slots=True)
class CompensableStep(Generic[Value]):
    """What an entity other than the user's account did for a call, or refused."""

    value: Value | Rejected
    replayed: bool = False
    """It was done by an earlier try with the key."""
    agreed: bool = False
    """The account knows all of it, or has nothing to say."""
    noted: Noted | None = None
    """What the account has to know of it."""
    take_back: Callable[[], Awaitable[object]] | None = None
    """Gives back what was taken; ``None`` if nothing was."""
    differs: Callable[[Value], bool] = lambda other: False
    """Whether the other outcome tells of something else that was done."""

    async def undo(self) -> None:
        """Take back what was done, as if the call had never been."""
        if self.take_back is not None:
            await self.take_back()


SETTLE_MAX_S = 2.0
"""An instance that stood still knows again within some milliseconds whose its shards are, and
within half a second what the others decided. Whoever asks waits so long at most, within what a
client waits, and is refused if the journal does not say."""

SETTLE_CHECK_S = 0.01
"""Between two looks whether it is known again; one for all who wait."""


class Freshness:
    """How well this instance knows what other instances decide."""

    def __init__(self, node: ClusterNode, tasks: Tasks) -> None:
        self._node = node
        self._tasks = tasks
        self._settling: asyncio.Task[None] | None = None

    @property
    def regaining(self) -> bool:
        """Whether it is worth to :meth:`settle` before anything is asked: this instance stood
        still, and has to find out first what happened meanwhile. False once that took too long:
        then who asks is refused as long as it takes."""
        node = self._node
        reading = node.replication.replicas.in_doubt and not node.runtime.shards.journal_away
        if not (reading or node.availability.regaining):
            self._settling = None
            return False
        return self._settling is None or not self._settling.done()

    async def settle(self) -> None:
        """Wait until that is over, with everybody else who waits."""
        if self._settling is None:
            self._settling = self._tasks.spawn(self._settle(), "settling")
        await asyncio.shield(self._settling)

    async def _settle(self) -> None:
        loop = asyncio.get_running_loop()
        ends_s = loop.time() + SETTLE_MAX_S
        while self.regaining and loop.time() < ends_s:  # noqa: ASYNC110 - many conditions
            await asyncio.sleep(SETTLE_CHECK_S)

    def check(self, address: Address) -> None:
        """Raise :class:`~actors.errors.UnavailableError` if the entity's view is too old."""
        self._node.availability.check(address.slot)
        if not self._node.replication.replicas.ready(address):
            raise StaleError("not loaded yet", 0.2)

    def check_here(self, addresses: Iterable[Address]) -> None:
        """Raise it if this instance heard nothing for a while and has not caught up yet."""
        node = self._node
        if node.runtime.shards.verified and not node.replication.replicas.in_doubt:
            return
        for address in addresses:
            node.availability.check_here(address.slot)
            if node.replication.replicas.doubts(address):
                raise StaleError("looking again at what others decided meanwhile", 0.2)

    def newest(self, address: Address) -> bool:
        """Whether no other instance knows more of the entity than this one."""
        return self._node.runtime.shards.holds(address.slot)


def call_ends() -> float:
    """When a call that begins now has to be answered, by the loop's time in seconds."""
    return asyncio.get_running_loop().time() + CALL_MAX_S


class ActorClient:
    """Asks entities: one message, or several that have one outcome together.

    Errors are those of :mod:`actors.errors`.
    """

    def __init__(self, router: Router) -> None:
        self._router = router

    async def reply(self, address: Address, command: Any, *, repeatable: bool = True) -> Any:
        """The entity's reply; ``repeatable`` is false if deciding the command twice does harm."""
        return (await self._router.ask(address, command, repeatable=repeatable)).reply

    async def answer(
        self, address: Address, command: Any, key: CommandKey | None, *, repeatable: bool = False
    ) -> Answer:
        """The answer to a command that is decided at most once for its key."""
        return await self._router.ask(address, command, key=key, repeatable=repeatable)

    async def account(self, user: str) -> AccountView:
        """The user's account, once no payment is under way: who asks may have been told that it is
        completed, which the account notes a moment later. Raises
        :class:`~actors.errors.UnavailableError` if that takes too long."""
        loop, ends = asyncio.get_running_loop(), call_ends()
        while True:
            left_s = max(ends - loop.time(), NOTE_AGAIN_S)
            asked = self._router.ask(
                account_address(user), GetAccount(), repeatable=True, timeout_s=left_s
            )
            view = (await asked).reply
            assert isinstance(view, AccountView), view
            if not view.paying:
                return view
            if loop.time() >= ends:
                raise UnavailableError("a payment is under way")
            await asyncio.sleep(NOTE_AGAIN_S)

    def prepare(self, user: str, key: CommandKey) -> None:
        """Have the user's account and key at hand, which another entity will tell of this call."""
        self._router.prepare(account_address(user), key)

    async def look_up(self, address: Address, key: CommandKey) -> Any | None:
        """The reply stored under the key by this entity, or ``None``."""
        answer = await self._router.look_up(address, key)
        return None if answer is None else answer.reply

    async def once(
        self,
        user: str,
        key: CommandKey | None,
        done: CompensableStep[Value],
        stored: msgspec.msgpack.Decoder[Value | Rejected],
        ends: float,
    ) -> Outcome[Value | Rejected]:
        """The outcome of a call that another entity has decided for the user's key.

        That entity has stored it, refusals included, and told the account at the same time; mostly
        that is all. Otherwise the account is told now. It has one outcome for each key, whatever
        the content and the entity: a try that did something else takes that back. A refusal with a
        time to come back is stored nowhere, because the retry should be decided anew.

        Until ``ends``, as :func:`call_ends` gave it when the call began. Raises
        :class:`TokenError` if a payment has used the token up meanwhile, and
        :class:`~actors.errors.KeyReusedError`.
        """
        note: NoteOutcome | Noted | None = done.noted
        if key is not None and not done.agreed:
            again = isinstance(done.value, Rejected) and done.value.retry_after_ms
            note = None if again else NoteOutcome(msgspec.msgpack.encode(done.value), done.noted)
        if done.agreed or note is None:
            return Outcome(done.value, done.replayed)
        try:
            answer = await self._note(user, key, note, ends)
            check_token(answer.reply)
            reply = answer.reply
            if (
                isinstance(reply, OutcomeNoted)
                and done.noted
                and (reply.beside if answer.replayed else not reply.reserved)
            ):
                # It may have been noted for an earlier try, of which the journal lost the hold; or
                # the account's owner is of the release before, which notes one after the other.
                check_token((await self._note(user, None, done.noted, ends)).reply)
        except (KeyReusedError, TokenError):
            await done.undo()
            raise
        if not answer.replayed or reply.beside:
            return Outcome(done.value, done.replayed)
        first = stored.decode(reply.body)
        if isinstance(first, Rejected) or done.differs(first):
            await done.undo()
        return Outcome(first, replayed=True)

    async def _note(
        self, user: str, key: CommandKey | None, note: NoteOutcome | Noted, ends: float
    ) -> Answer:
        """Note it, or get what was noted before. Another try that is noting its own just now is
        waited for, and so is a payment that may use the token up: only what is stored tells whether
        to take back what was done."""
        loop = asyncio.get_running_loop()
        while True:
            left_s = max(ends - loop.time(), NOTE_AGAIN_S)
            try:
                answer = await self._router.ask(
                    account_address(user), note, key=key, repeatable=True, timeout_s=left_s
                )
                if not isinstance(answer.reply, Rejected):
                    return answer
                refusal: Exception = UnavailableError(answer.reply.detail)
            except KeyInFlightError as error:
                refusal = error
            if loop.time() >= ends:
                raise refusal
            await asyncio.sleep(NOTE_AGAIN_S)


# -- queue tokens ----------------------------------------------------------------------------------


class QueueToken(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The content of an authentic queue token."""

    user: str
    queue: str
    number: int
    issued_ms: int


class TokenError(Exception):
    """The queue token opens nothing."""

    def __init__(self, code: Literal["token_missing", "token_invalid", "token_expired"]) -> None:
        super().__init__(code)
        self.code = code


def check_token(reply: Any) -> None:
    """Raise :class:`TokenError` if a payment has used the token up."""
    if isinstance(reply, SpentToken):
        raise TokenError("token_expired")


class TokenSigner:
    """Signs with the first secret and accepts all of them, so that secrets can be rotated.

    A token is the URL-safe base64 of ``user (16 bytes) | number (8) | issued_ms (8) | generation
    (8) | queue (UTF-8)`` followed by a 16-byte BLAKE2b of all that, keyed by the secret and the
    journal's name (RFC 7693; keyed BLAKE2 is a MAC by design): any instance can tell a true one
    without asking. It says who got which number when, and in which generation of the journal;
    whether it still opens anything is the queue's business.

    In generation 0, of a journal from before there were any, tokens carry no generation and their
    key is the secret's alone: the release before this one issues and reads them so.
    """

    def __init__(self, secrets: Sequence[str], identity: Identity = FIRST) -> None:
        if not secrets or any(len(secret) < SECRET_LENGTH_MIN for secret in secrets):
            raise ValueError(f"a token secret needs at least {SECRET_LENGTH_MIN} characters")
        # The person keeps tokens apart from anything else ever signed with the same secret.
        first = [_keyed(secret, b"booking.token.v1", b"") for secret in secrets]
        named = [_keyed(secret, b"booking.token.v2", identity.journal.bytes) for secret in secrets]
        self._generation = [identity.generation] if identity.generation else []
        self._macs = [(keyed, _HEAD) for keyed in named if self._generation]
        self._macs += [(keyed, _FIRST_HEAD) for keyed in first]
        """Keyed but empty, to be copied: the key is processed once, not for each token."""
        self.read = lru_cache(maxsize=_CACHE_SIZE)(self._read)

    def sign(self, token: QueueToken) -> str:
        """The token's text, signed with the first secret."""
        keyed, head = self._macs[0]
        user = bytes.fromhex(token.user.replace("-", ""))
        fixed = head.pack(user, token.number, token.issued_ms, *self._generation)
        payload = fixed + token.queue.encode()
        return _encode(payload + _mac(keyed, payload))

    def _read(self, text: str) -> QueueToken:
        """The content of an authentic token; else :class:`TokenError` ``token_invalid``, or
        ``token_expired`` for one of another generation."""
        raw = self._decode(text)
        payload, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        for keyed, head in self._macs:
            if hmac.compare_digest(mac, _mac(keyed, payload)):
                return self._content(payload, head)
        raise TokenError("token_invalid")

    def _content(self, payload: bytes, head: struct.Struct) -> QueueToken:
        user, number, issued_ms, *generation = head.unpack_from(payload)
        if generation != self._generation:
            raise TokenError("token_expired")
        digits = user.hex()
        dashed = f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
        # Interned, because all tokens of a queue have the same name in them.
        return QueueToken(dashed, intern(payload[head.size :].decode()), number, issued_ms)

    @staticmethod
    def _decode(text: str) -> bytes:
        if len(text) > _TOKEN_LENGTH_MAX or not text.isascii():
            raise TokenError("token_invalid")
        try:
            raw = a2b_base64(text.encode().translate(_FROM_URL) + b"=" * (-len(text) % 4))
        except Base64Error:
            raise TokenError("token_invalid") from None
        # Base64 has several spellings of the same bytes; only the one we issue is a token.
        if len(raw) < _FIRST_HEAD.size + _MAC_BYTES or _encode(raw) != text:
            raise TokenError("token_invalid")
        return raw


def _keyed(secret: str, person: bytes, salt: bytes) -> blake2b:
    key = blake2b(secret.encode(), digest_size=32, person=person, salt=salt).digest()
    return blake2b(key=key, digest_size=_MAC_BYTES)


def _mac(keyed: blake2b, payload: bytes) -> bytes:
    mac = keyed.copy()
    mac.update(payload)
    return mac.digest()


def _encode(raw: bytes) -> str:
    return b2a_base64(raw, newline=False).translate(_TO_URL).rstrip(b"=").decode()


class IssueTimes:
    """When each number of a queue was given, as one instance knows it: eight bytes for each since
    the first that has not ended.

    A number is not enough to know a place by: after a restore, or a fail-over that lost rows, it is
    given a second time. Number and time together are given once.
    """

    def __init__(self) -> None:
        self._last = 0
        self._times: dict[int, array[int]] = {}
        """By page."""
        self._unread: dict[int, Page] = {}
        """Pages of the line that it began with, of which no number was asked for yet."""
        self._trim_at = TRIM_MIN

    def reset(self, line: Line) -> None:
        """Begin anew."""
        self._last, self._times, self._unread = line.last_number, {}, line.members.pages()

    def _page(self, number: int) -> array[int] | None:
        """The page of this number, read if need be: some 30 us."""
        page = number // PAGE_NUMBERS
        if (unread := self._unread.pop(page, None)) is not None:
            self._times[page] = array("q", joined_in(unread))
        return self._times.get(page)

    def add(self, number: int, at_ms: int) -> None:
        """The next number was given."""
        assert number == self._last + 1, number
        self._last = number
        times = self._times.get(number // PAGE_NUMBERS) or self._page(number)
        if times is None:
            times = self._times[number // PAGE_NUMBERS] = array("q", bytes(8 * PAGE_NUMBERS))
        times[number % PAGE_NUMBERS] = at_ms
        if self._unread:
            self._page(next(iter(self._unread)) * PAGE_NUMBERS)

    def given_ms(self, number: int) -> int:
        """When the number was given; 0 for one that had ended before this instance knew of it."""
        times = self._times.get(number // PAGE_NUMBERS) or self._page(number)
        return times[number % PAGE_NUMBERS] if times else 0

    @property
    def long(self) -> bool:
        """Whether it has grown so far that it is worth a look at how much can be forgotten."""
        return len(self._times) > self._trim_at

    def trim(self, first: int) -> None:
        """Forget pages of numbers below ``first``, all of which have ended."""
        kept = first // PAGE_NUMBERS
        self._times = {page: times for page, times in self._times.items() if page >= kept}
        self._trim_at = TRIM_MIN + 2 * len(self._times)
