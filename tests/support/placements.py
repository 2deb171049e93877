"""Clusters for the planner: made by hand, at random, and brought forward by moves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec
from hypothesis import settings
from hypothesis import strategies as st

from actors.address import SLOT_COUNT
from actors.placement.inputs import Node, Rules, ShardState
from actors.placement.plan import Move, Plan, Withdrawal
from actors.placement.planner import place

NAMES = [f"i{number:02d}" for number in range(20)]


brief = settings(max_examples=40, deadline=None)
"""Examples for properties of whole clusters: some 10 ms each, most of it making the cluster up."""


def target(
    nodes: Sequence[Node], shards: Sequence[ShardState], rules: Rules | None = None
) -> Mapping[int, str]:
    """Which instance each shard ought to be on; shards that nobody can have are left out."""
    return place(nodes, shards, rules or Rules()).target


def node(instance: str, **fields: object) -> Node:
    given = {"incarnation": f"{instance}-1"} | fields
    return msgspec.convert({"instance": instance} | given, Node)


def equal_nodes(count: int) -> list[Node]:
    return [node(name) for name in NAMES[:count]]


def unowned(count: int = SLOT_COUNT) -> list[ShardState]:
    return [ShardState(shard=number) for number in range(count)]


def owned(where: Mapping[int, str], **fields: object) -> list[ShardState]:
    """Settled shards: claimed once by the instance that ought to have them."""
    return [
        msgspec.structs.replace(
            ShardState(shard=shard, epoch=1, owner=instance, desired=instance), **fields
        )
        for shard, instance in where.items()
    ]


def changed(shards: Iterable[ShardState], number: int, **fields: object) -> list[ShardState]:
    """The same, but for one shard."""
    return [
        msgspec.structs.replace(state, **fields) if state.shard == number else state
        for state in shards
    ]


def after(
    shards: Iterable[ShardState], moves: Iterable[Move], withdrawals: Iterable[Withdrawal] = ()
) -> list[ShardState]:
    """The shards once these are made."""
    to = {move.shard: move.to for move in moves}
    back = {one.shard: one.owner for one in withdrawals}
    return [
        msgspec.structs.replace(
            state, owner=to[state.shard], desired=to[state.shard], epoch=state.epoch + 1
        )
        if state.shard in to
        else msgspec.structs.replace(state, desired=back.get(state.shard, state.desired))
        for state in shards
    ]


def applied(shards: Iterable[ShardState], plan: Plan) -> list[ShardState]:
    return after(shards, plan.moves, plan.withdrawals)


def counts_of(where: Mapping[int, str], names: Sequence[str]) -> list[int]:
    return [list(where.values()).count(name) for name in names]


@st.composite
def any_nodes(draw: st.DrawFn, in_service: int = 0) -> list[Node]:
    """Up to seven instances in any state; the first ``in_service`` of them may be given shards."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=in_service, max_size=7, unique=True))
    rare = st.sampled_from([False, False, False, True])
    return [
        Node(
            instance=name,
            incarnation=f"{name}-1",
            weight=draw(st.sampled_from([1.0, 1.0, 1.0, 0.1, 0.5, 2.0, 3.7])),
            draining=place >= in_service and draw(rare),
            alive=place < in_service or not draw(rare),
            evicted=place >= in_service and draw(rare),
        )
        for place, name in enumerate(names)
    ]


@st.composite
def any_cluster(draw: st.DrawFn, in_service: int = 0) -> tuple[list[Node], list[ShardState]]:
    """Shards in any state: with owners that never were, moves under way, pins, freezes, rates."""
    nodes = draw(any_nodes(in_service))
    known = [n.instance for n in nodes]
    owner = st.sampled_from([*known, *known, "", "stranger"])
    rate = (
        st.sampled_from([0.0, 0.0, 1.0, 20.0, 33.3, 400.0, 5_000.0])
        if draw(st.booleans())
        else st.just(0.0)
    )
    rare = st.integers(0, 9).map(lambda drawn: drawn == 0)
    shards = []
    for number in range(draw(st.integers(1, 32))):
        has = draw(owner)
        shards.append(
            ShardState(
                shard=number,
                epoch=draw(st.integers(1, 9)) if has else 0,
                owner=has,
                desired=draw(owner) if draw(rare) else has,
                pinned_to=draw(owner) or None if draw(rare) else None,
                frozen="a look at it" if draw(rare) else "",
                rate=draw(rate),
                entities=draw(st.integers(0, 9)),
            )
        )
    return nodes, shards
