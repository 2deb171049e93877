"""What peers say to each other: msgpack, many messages in one websocket frame.

A frame is an array of messages, each an array whose first element says which kind it is. A newer
version may append fields to a message; anything else needs another :data:`VERSION`.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

import msgspec

from actors.address import Address
from actors.behaviour import CommandKey

VERSION = 1
"""Of this protocol; both sides have to speak the same."""


class Hello(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """The first word of the side that connected."""

    version: int
    instance: str
    incarnation: str
    nonce: bytes


class Challenge(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """The answer of the side that listens: who it is, and a nonce to prove the secret over."""

    version: int
    instance: str
    incarnation: str
    nonce: bytes


class Proof(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """That the sender knows the cluster's secret."""

    mac: bytes


Greeting = Hello | Challenge | Proof


class Content(IntEnum):
    """What an ask carries."""

    COMMAND = 0
    """A command of the entity's kind, and its reply."""
    BEGIN = 1
    """The mark of an operation of several steps, see :meth:`actors.runtime.Runtime.begin`."""
    QUERY = 2
    """A question for the entity's state."""


class Asked(msgspec.Struct, frozen=True, array_like=True, tag=10, gc=False):
    """A command for an entity. ``id`` is chosen by who asks, unique on its link."""

    id: int
    address: Address
    command: bytes
    key: CommandKey | None
    remaining_ms: int
    """Until the deadline: a duration, because the clocks of two machines differ."""
    hops: int
    """Which time the command is sent, 1 for the first."""
    epoch: int = 0
    """The highest epoch of the slot that the sender has seen, 0 for none."""
    content: int = Content.COMMAND


class AskedInTrace(Asked, frozen=True, array_like=True, tag=10, gc=False):
    """An ask as it is heard, and as it is said if it belongs to a trace. Without one the field is
    not sent, and a peer that has never heard of it ignores it."""

    traceparent: str = ""
    """W3C Trace Context: the span of the side that asks."""


class Replied(msgspec.Struct, frozen=True, array_like=True, tag=11, gc=False):
    """The reply to the ask with this id, encoded by the kind; ``None`` if there is none to tell."""

    id: int
    reply: bytes | None
    replayed: bool = False


class Refused(msgspec.Struct, frozen=True, array_like=True, tag=12, gc=False):
    """The ask with this id got no reply; ``code`` says why (:mod:`actors.peers.refusals`)."""

    id: int
    code: str
    detail: str = ""
    retry_after_s: float = 1.0
    owner: str = ""
    """Who owns the entity's slot, as far as the sender knows."""
    epoch: int = 0


class Ping(msgspec.Struct, frozen=True, array_like=True, tag=20, gc=False):
    """A sign of life. ``sent_s`` is on the sender's own clock."""

    sent_s: float


class Pong(msgspec.Struct, frozen=True, array_like=True, tag=21, gc=False):
    """The answer to a ping, with its time, so that the sender knows how long both took."""

    sent_s: float


Message = AskedInTrace | Replied | Refused | Ping | Pong

encode = msgspec.msgpack.Encoder().encode
"""One message, or one greeting."""

decode_frame = msgspec.msgpack.Decoder(list[Message]).decode
"""All messages of a frame. Raises :class:`msgspec.DecodeError`."""

decode_greeting = msgspec.msgpack.Decoder(Greeting).decode
"""Raises :class:`msgspec.DecodeError`."""


def frame_of(parts: Sequence[bytes]) -> bytes:
    """A frame of messages that are encoded already."""
    return b"".join((b"\xdd", len(parts).to_bytes(4, "big"), *parts))
