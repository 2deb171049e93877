"""The protocol between peers: msgpack, many messages in one websocket frame.

A newer version may append fields to a message; anything else needs another :data:`VERSION`.
"""

from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Any

import msgspec

from actors.address import Address
from actors.behaviour import Behaviour, CommandKey
from actors.core.envelope import LOOK_UP, QUERY
from actors.errors import (
    DeadlineExceededError,
    EntityCrashedError,
    JournalUnavailableError,
    KeyInFlightError,
    KeyReusedError,
    NotOwnedError,
    OutcomeUnknownError,
    OverloadedError,
    PastLostError,
    StoppingError,
    UnavailableError,
)
from actors.transport import Answer

VERSION = 1
"""Of this protocol; both sides have to speak the same."""

DETAIL_MAX = 200
"""Characters of an error's text that are sent; ours are one short sentence."""

# -- messages --------------------------------------------------------------------------------------


class Hello(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """The first message of the side that connects."""

    version: int
    instance: str
    incarnation: str
    nonce: bytes
    cluster: str = ""
    """The name of the sender's cluster; not sent by the releases before there were any."""


class Challenge(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """The listening side's reply: who it is, and a nonce to prove the secret over."""

    version: int
    instance: str
    incarnation: str
    nonce: bytes
    cluster: str = ""


class Proof(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """Proves that the sender knows the cluster's secret."""

    mac: bytes


class Content(IntEnum):
    """What an ask carries."""

    COMMAND = 0
    """A command of the entity's kind."""
    LOOK_UP = 1
    """A question for the outcome that is stored under the key."""
    QUERY = 2
    """A question for the entity's state."""


class Ask(msgspec.Struct, frozen=True, array_like=True, tag=10, gc=False):
    """A command for an entity. ``id`` is chosen by the sender, unique on its link."""

    id: int
    address: Address
    command: bytes
    key: CommandKey | None
    remaining_ms: int
    """Until the deadline: a duration, because the clocks of two machines differ."""
    hops: int
    """How many times the command was sent, 1 for the first."""
    epoch: int = 0
    """The highest epoch of the shard that the sender knows, 0 for none."""
    content: int = Content.COMMAND


class TracedAsk(Ask, frozen=True, array_like=True, tag=10, gc=False):
    """An ask as it is received, and as it is sent in a trace; older peers ignore the field."""

    traceparent: str = ""
    """W3C Trace Context: the span of the side that asks."""


class Reply(msgspec.Struct, frozen=True, array_like=True, tag=11, gc=False):
    """The reply to the ask with this id, encoded by its kind; ``None`` if there is none."""

    id: int
    reply: bytes | None
    replayed: bool = False
    beside: bool = False


class Refusal(msgspec.Struct, frozen=True, array_like=True, tag=12, gc=False):
    """The ask with this id got no reply; ``code`` tells why."""

    id: int
    code: str
    detail: str = ""
    retry_after_s: float = 1.0
    owner: str = ""
    """Who owns the entity's shard, as far as the sender knows."""
    epoch: int = 0


class Ping(msgspec.Struct, frozen=True, array_like=True, tag=20, gc=False):
    """A sign of life. ``sent_s`` is on the sender's own clock."""

    sent_s: float


class Pong(msgspec.Struct, frozen=True, array_like=True, tag=21, gc=False):
    """The answer to a ping, with its time, so that the sender can measure the round trip."""

    sent_s: float


Message = TracedAsk | Reply | Refusal | Ping | Pong

encode = msgspec.msgpack.Encoder().encode
"""Encodes one message, of the handshake too."""

decode_frame = msgspec.msgpack.Decoder(list[Message]).decode
"""Decodes all messages of a frame. Raises :class:`msgspec.DecodeError`."""

decode_handshake = msgspec.msgpack.Decoder(Hello | Challenge | Proof).decode
"""Raises :class:`msgspec.DecodeError`."""


def frame_of(parts: Sequence[bytes]) -> bytes:
    """Join encoded messages into a frame."""
    return b"".join((b"\xdd", len(parts).to_bytes(4, "big"), *parts))


# -- commands and replies --------------------------------------------------------------------------

BehaviourOf = Callable[[str], Behaviour]
"""The behaviour of a kind, as :meth:`actors.runtime.Runtime.behaviour`. Raises KeyError."""


class Codec:
    """Encodes what asks and replies carry. Every method may raise what the kind's codec raises."""

    def __init__(self, behaviour_of: BehaviourOf) -> None:
        self._behaviour_of = behaviour_of

    def encode_command(self, kind: str, command: Any) -> tuple[int, bytes]:
        """The :class:`Content` of a command or probe, and its bytes."""
        if command is LOOK_UP:
            return Content.LOOK_UP, b""
        if command is QUERY:
            return Content.QUERY, b""
        return 0, self._behaviour_of(kind).encode_command(command)

    def decode_command(self, kind: str, content: int, data: bytes) -> Any:
        """The command or probe that was encoded."""
        behaviour = self._behaviour_of(kind)
        if content == 0:
            return behaviour.decode_command(data)
        return LOOK_UP if Content(content) is Content.LOOK_UP else QUERY

    def encode_reply(self, kind: str, content: int, answer: Answer) -> bytes | None:
        """The reply as bytes; ``None`` if no outcome is stored."""
        behaviour = self._behaviour_of(kind)
        if content == Content.QUERY:
            return behaviour.encode_state(answer.reply)
        if content == Content.LOOK_UP and not answer.replayed:
            return None
        return behaviour.encode_reply(answer.reply)

    def decode_reply(self, kind: str, content: int, data: bytes | None) -> Any:
        """The reply. Raises :class:`~actors.errors.UnavailableError` for a state of another
        release's shape."""
        if data is None:
            if content == Content.LOOK_UP:
                return None
            raise OutcomeUnknownError("the reply is missing")
        if content != Content.QUERY:
            return self._behaviour_of(kind).decode_reply(data)
        state = self._behaviour_of(kind).decode_state(data)
        if state is None:
            raise UnavailableError("the owner keeps this state in another shape")
        return state


# -- errors ----------------------------------------------------------------------------------------


class MovedError(NotOwnedError):
    """Not the owner: ``owner`` is, since ``epoch``, or unknown. Nothing was done."""

    def __init__(
        self, detail: str = "", retry_after_s: float = 1.0, owner: str = "", epoch: int = 0
    ) -> None:
        super().__init__(detail, retry_after_s)
        self.owner = owner
        self.epoch = epoch


_UNAVAILABLE: dict[str, type[UnavailableError]] = {
    error.reason: error
    for error in (
        UnavailableError,
        OverloadedError,
        JournalUnavailableError,
        PastLostError,
        OutcomeUnknownError,
        DeadlineExceededError,
        StoppingError,
    )
}
_FINAL: dict[str, type[Exception]] = {
    "entity_crashed": EntityCrashedError,
    "key_reused": KeyReusedError,
    "key_in_flight": KeyInFlightError,
}
_CODES = {error: code for code, error in _FINAL.items()}


def refusal_of(
    number: int, error: BaseException, owner: str = "", epoch: int = 0
) -> Refusal | None:
    """The message for an error of an ask; ``None`` for any other error."""
    detail = str(error)[:DETAIL_MAX]
    if isinstance(error, MovedError):
        owner, epoch = owner or error.owner, epoch or error.epoch
    if isinstance(error, UnavailableError):
        return Refusal(number, error.reason, detail, error.retry_after_s, owner, epoch)
    code = _CODES.get(type(error))  # type: ignore[arg-type]  # others are not found
    return None if code is None else Refusal(number, code, detail)


def error_of(message: Refusal) -> Exception:
    """The error of a refusal; the outcome of a newer version's code is unknown."""
    if message.code == NotOwnedError.reason:
        return MovedError(message.detail, message.retry_after_s, message.owner, message.epoch)
    unavailable = _UNAVAILABLE.get(message.code)
    if unavailable is not None:
        return unavailable(message.detail, message.retry_after_s)
    final = _FINAL.get(message.code)
    if final is not None:
        return final(message.detail)
    return OutcomeUnknownError(f"refused for an unknown reason: {message.code[:DETAIL_MAX]}")
