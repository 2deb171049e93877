"""How the load is spread, for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from actors.placement.inputs import Node, ShardState


class InstanceLoad(msgspec.Struct, frozen=True, rename="camel"):
    """What one instance has."""

    instance: str
    state: str
    weight: float
    shards: int
    entities: int
    rate: float
    """Commands a second."""


class Load(msgspec.Struct, frozen=True, rename="camel"):
    """What all have. The ratios compare the fullest instance, by its weight, with the mean of
    those that may be given shards: 1.0 is even. 0 if there is nothing to compare."""

    instances: tuple[InstanceLoad, ...]
    worst_to_mean_shards: float
    worst_to_mean_rate: float
    unserved: int
    """Shards on no instance that answers."""


def load_of(nodes: Sequence[Node], shards: Sequence[ShardState], where: Mapping[int, str]) -> Load:
    """The load of every instance, if each shard were where the mapping has it."""
    serving = {node.instance for node in nodes if node.serves}
    placed: dict[str, list[ShardState]] = {node.instance: [] for node in nodes}
    for state in sorted(shards, key=lambda s: s.shard):
        if where.get(state.shard) in serving:
            placed[where[state.shard]].append(state)
    rows = tuple(
        InstanceLoad(
            instance=node.instance,
            state=node.state,
            weight=node.weight,
            shards=len(placed[node.instance]),
            entities=sum(s.entities for s in placed[node.instance]),
            rate=round(sum(s.rate for s in placed[node.instance]), 3),
        )
        for node in sorted(nodes, key=lambda n: n.instance)
    )
    usable = {node.instance for node in nodes if node.usable}
    candidates = [row for row in rows if row.instance in usable]
    return Load(
        instances=rows,
        worst_to_mean_shards=_ratio([(row.shards, row.weight) for row in candidates]),
        worst_to_mean_rate=_ratio([(row.rate, row.weight) for row in candidates]),
        unserved=len(shards) - sum(row.shards for row in rows),
    )


def owners(shards: Sequence[ShardState]) -> dict[int, str]:
    """Where every shard is now."""
    return {state.shard: state.owner for state in shards if state.owner}


def _ratio(loads: Sequence[tuple[float, float]]) -> float:
    total = sum(load for load, _ in loads)
    if total == 0:
        return 0.0
    mean = total / sum(weight for _, weight in loads)
    return round(max(load / weight for load, weight in loads) / mean, 3)
