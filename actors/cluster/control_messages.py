"""What instances tell each other besides commands for entities, over the same links."""

from typing import Any

import msgspec

from actors.address import Address
from actors.behaviour import Behaviour
from actors.replication.streams import ReplicationUpdate

CONTROL_KIND = "_cluster"
"""The kind of all control messages. No application may use it."""
CONTROL_ADDRESS = Address(CONTROL_KIND, CONTROL_KIND)


class ReleaseShard(msgspec.Struct, frozen=True, tag=1, array_like=True):
    """Asks the owner to release a shard that it serves under this epoch, for ``to`` to claim."""

    shard: int
    epoch: int
    to: str


class PlacementChanged(msgspec.Struct, frozen=True, tag=2, array_like=True):
    """Tells that the stored placement has changed."""


class ApplicationMessage(msgspec.Struct, frozen=True, tag=5, array_like=True):
    """Carries a message between the applications of two instances; the topic is theirs."""

    topic: str
    body: bytes


ControlMessage = ReleaseShard | PlacementChanged | ReplicationUpdate | ApplicationMessage
"""Tag 3 was a message of the release before; one that comes is refused, and nothing is lost."""


class Acknowledged(msgspec.Struct, frozen=True, tag=20, array_like=True):
    """Confirms that a message was handled."""


class ShardReleased(msgspec.Struct, frozen=True, tag=21, array_like=True):
    """Tells that the shard is free to claim."""


class ShardBusy(msgspec.Struct, frozen=True, tag=22, array_like=True):
    """Tells that the shard had unanswered commands for too long, and is served on: ask again."""


class NotShardOwner(msgspec.Struct, frozen=True, tag=23, array_like=True):
    """Tells that the instance does not serve the shard under that epoch."""


ControlReply = Acknowledged | ShardReleased | ShardBusy | NotShardOwner

_encode = msgspec.msgpack.Encoder().encode
_decode_message = msgspec.msgpack.Decoder(ControlMessage).decode
_decode_reply = msgspec.msgpack.Decoder(ControlReply).decode


class ControlCodec(Behaviour):
    """Encodes control messages. Nothing of this kind is ever decided or journalled."""

    kind = CONTROL_KIND

    def encode_command(self, command: Any) -> bytes:
        """Encode a :data:`ControlMessage`, unless that was done once for many."""
        return command if type(command) is bytes else _encode(command)

    def decode_command(self, data: bytes) -> Any:
        """Decode a :data:`ControlMessage`. Raises :class:`msgspec.DecodeError`."""
        return _decode_message(data)

    def encode_reply(self, reply: Any) -> bytes:
        """Encode a :data:`ControlReply`."""
        return _encode(reply)

    def decode_reply(self, data: bytes) -> Any:
        """Decode a :data:`ControlReply`. Raises :class:`msgspec.DecodeError`."""
        return _decode_reply(data)

    def _unused(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("control messages have no entity")

    initial = decide = evolve = encode_event = decode_event = encode_state = decode_state = _unused
