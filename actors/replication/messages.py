"""What an owner of shards sends to every other instance to keep its view replicas current."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec


class ReplicationUpdate(msgspec.Struct, frozen=True, tag=4, array_like=True):
    """One part of an owner's stream. Parts arrive in order."""

    instance: str
    incarnation: str
    owned: Sequence[tuple[int, int]] | None
    """All shards that the sender serves, with their epochs; ``None`` if this part omits them."""
    latest: Sequence[tuple[str, int]]
    """Entities of the views, and the seq of their last event."""
    changes: Sequence[Any]
    """Each an encoded :class:`EntityChange`."""


class EntityChange(msgspec.Struct, frozen=True, array_like=True):
    """Events of one entity that were committed together."""

    address: str
    before_seq: int
    """Seq of the entity's event before these; 0 if there is none."""
    rows: Sequence[tuple[int, str, int, bytes]]
    """Seq, type, version and payload, as journalled."""

    @property
    def last_seq(self) -> int:
        """Seq of the last of these events."""
        return self.rows[-1][0]


encode_change = msgspec.msgpack.Encoder().encode


def convert_change(raw: Any) -> EntityChange:
    """Turn one element of a decoded :attr:`ReplicationUpdate.changes` into a change."""
    return msgspec.convert(raw, EntityChange)
