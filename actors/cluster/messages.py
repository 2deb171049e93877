"""What instances say to each other besides commands for entities. It travels as an ask for an
entity of a kind of its own, so it shares the links, their order and their limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from actors.address import Address
from actors.behaviour import Behaviour, Decision, Turn

CONTROL = "_cluster"
"""The kind; no application may use it."""
DESK = Address(CONTROL, CONTROL)
"""Where all of it is sent."""


class Release(msgspec.Struct, frozen=True, tag=1, array_like=True):
    """Let go of a shard, if you still have it under this epoch: ``to`` will claim it."""

    shard: int
    epoch: int
    to: str


class Look(msgspec.Struct, frozen=True, tag=2, array_like=True):
    """There is something new in the stored table."""


class Abandon(msgspec.Struct, frozen=True, tag=3, array_like=True):
    """An operation that was begun with this key will not come to its last step."""

    address: Address
    id: bytes
    fingerprint: bytes


class Update(msgspec.Struct, frozen=True, tag=4, array_like=True):
    """What an owner tells everybody: a part of a stream, which comes in order."""

    instance: str
    incarnation: str
    owned: Sequence[tuple[int, int]] | None
    """All shards it serves, with their epochs; ``None`` if nothing is said of that."""
    marks: Sequence[tuple[str, int]]
    """Entities of the views, and the seq of their last event."""
    changes: Sequence[Any]
    """:class:`Changed`, encoded."""


class Changed(msgspec.Struct, frozen=True, array_like=True):
    """Events of one entity that became true together."""

    address: str
    before_seq: int
    """Of the entity's event before these; 0 if there is none."""
    rows: Sequence[tuple[int, str, int, bytes]]
    """Seq, type, version and payload, as journalled."""


class Told(msgspec.Struct, frozen=True, tag=5, array_like=True):
    """Something for the application of the other instance; it knows the topic."""

    topic: str
    body: bytes


Message = Release | Look | Abandon | Update | Told


class Noted(msgspec.Struct, frozen=True, tag=20, array_like=True):
    """Nothing more to say."""


class Released(msgspec.Struct, frozen=True, tag=21, array_like=True):
    """The shard is yours to claim."""


class Busy(msgspec.Struct, frozen=True, tag=22, array_like=True):
    """It did not come to rest in time, and is served on; ask again."""


class NotMine(msgspec.Struct, frozen=True, tag=23, array_like=True):
    """I do not serve it under that epoch: claim it if you may."""


Reply = Noted | Released | Busy | NotMine

_encode = msgspec.msgpack.Encoder().encode
_decode_message = msgspec.msgpack.Decoder(Message).decode
_decode_reply = msgspec.msgpack.Decoder(Reply).decode
encode_change = msgspec.msgpack.Encoder().encode


def convert_change(raw: Any) -> Changed:
    """A change out of a decoded update."""
    return msgspec.convert(raw, Changed)


class ControlCodec(Behaviour):
    """Only the codecs: nothing of this kind is ever decided or journalled."""

    kind = CONTROL

    def encode_command(self, command: Any) -> bytes:
        return _encode(command)

    def decode_command(self, data: bytes) -> Any:
        return _decode_message(data)

    def encode_reply(self, reply: Any) -> bytes:
        return _encode(reply)

    def decode_reply(self, data: bytes) -> Any:
        return _decode_reply(data)

    def initial(self, address: Address) -> Any:
        raise AssertionError("control messages have no entity")

    def decide(self, turn: Turn) -> Decision:
        raise AssertionError("control messages are not decided")

    def evolve(self, state: Any, event: Any) -> Any:
        raise AssertionError("control messages have no events")

    def encode_event(self, event: Any) -> tuple[str, int, bytes]:
        raise AssertionError("control messages have no events")

    def decode_event(self, event_type: str, version: int, payload: bytes) -> Any:
        raise AssertionError("control messages have no events")

    def encode_state(self, state: Any) -> bytes:
        raise AssertionError("control messages have no state")

    def decode_state(self, data: bytes) -> Any | None:
        raise AssertionError("control messages have no state")
