"""What a plan was based on, and what has changed since.

Epochs, owners, pins, freezes and the instances matter; rates, entities and silence do not: they
differ a second later, and the plan is no worse for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any

import msgspec

from actors.placement.inputs import Node, ShardState

CHANGES_TOLD_MAX = 3
"""As many as a person reads in one line; the rest is a number."""


class NodeMark(msgspec.Struct, frozen=True):
    """What matters of an instance."""

    instance: str
    incarnation: str
    weight: float
    state: str


class ShardMark(msgspec.Struct, frozen=True):
    """What matters of a shard."""

    shard: int
    epoch: int
    owner: str
    desired: str
    pinned_to: str | None
    frozen: bool


class Basis(msgspec.Struct, frozen=True):
    """All that matters, in order."""

    nodes: tuple[NodeMark, ...]
    shards: tuple[ShardMark, ...]

    @property
    def digest(self) -> str:
        return digest_of(self)


def basis_of(nodes: Sequence[Node], shards: Sequence[ShardState]) -> Basis:
    """The same for the same cluster, in whatever order it is given."""
    marks = (NodeMark(n.instance, n.incarnation, n.weight, n.state) for n in nodes)
    states = (
        ShardMark(s.shard, s.epoch, s.owner, s.desired, s.pinned_to, bool(s.frozen)) for s in shards
    )
    return Basis(
        tuple(sorted(marks, key=lambda mark: mark.instance)),
        tuple(sorted(states, key=lambda state: state.shard)),
    )


def digest_of(value: object) -> str:
    """16 hexadecimal digits, short enough to be copied by hand. Against mistakes, not attacks."""
    return blake2b(msgspec.json.encode(value), digest_size=8).hexdigest()


def difference(then: Basis, now: Basis) -> str | None:
    """What changed, for people; ``None`` if nothing did."""
    changes = [
        *_changes("instance", _by(then.nodes, "instance"), _by(now.nodes, "instance")),
        *_changes("shard", _by(then.shards, "shard"), _by(now.shards, "shard")),
    ]
    if not changes:
        return None
    more = len(changes) - CHANGES_TOLD_MAX
    return "; ".join(changes[:CHANGES_TOLD_MAX]) + (f"; and {more} more" if more > 0 else "")


def _by(marks: Sequence[NodeMark | ShardMark], key: str) -> dict[Any, NodeMark | ShardMark]:
    return {getattr(mark, key): mark for mark in marks}


def _changes(kind: str, then: Mapping[Any, object], now: Mapping[Any, object]) -> Iterator[str]:
    for key in sorted(then.keys() | now.keys()):
        if key not in now:
            yield f"{kind} {key} is gone"
        elif key not in then:
            yield f"{kind} {key} is new"
        elif then[key] != now[key]:
            yield f"{kind} {key}: {_fields(then[key], now[key])}"


def _fields(then: object, now: object) -> str:
    old, new = msgspec.structs.asdict(then), msgspec.structs.asdict(now)  # type: ignore[arg-type]  # both are marks
    return ", ".join(
        f"{name} {old[name] or 'none'} -> {new[name] or 'none'}"
        for name in old
        if old[name] != new[name]
    )
