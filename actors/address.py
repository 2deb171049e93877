"""Addresses: which entity a message is for, and which slot that entity lives in."""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b

import msgspec

SLOT_COUNT = 256
"""Slots of one journal, fixed for its life: a slot is part of its rows' key. Over a handful of
instances 256 keep the load even within a few percent, and are read in one query."""


def stable_hash(text: str) -> int:
    """A 64-bit hash, signed as Postgres' ``bigint`` is, equal in every process and version."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big", signed=True)


@lru_cache(maxsize=65_536)
def slot_of(shard_key: str) -> int:
    """The slot, 0 to 255, that holds every entity with this shard key."""
    return stable_hash(shard_key) % SLOT_COUNT


class Address(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Names one entity. ``kind`` chooses the behaviour, ``key`` the slot (entities with the same
    key can be decided together), ``name`` tells entities of one kind and key apart. None contains
    ``/``."""

    kind: str
    key: str
    name: str = ""

    @property
    def slot(self) -> int:
        """The slot that holds the entity, 0 to 255."""
        return slot_of(self.key)

    @property
    def text(self) -> str:
        """The spelling that the journal uses."""
        return f"{self.kind}/{self.key}/{self.name}" if self.name else f"{self.kind}/{self.key}"

    @classmethod
    def parse(cls, text: str) -> Address:
        """The address with this :attr:`text`."""
        return cls(*text.split("/"))
