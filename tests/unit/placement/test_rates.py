"""Balance by commands a second: it helps, it ends, and it does not swing to and fro."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from actors.placement.inputs import Rules, ShardState
from actors.placement.plan import make_plan
from tests.support.placements import (
    NAMES,
    applied,
    brief,
    counts_of,
    equal_nodes,
    owned,
    target,
    unowned,
)

some_rates = st.lists(
    st.one_of(st.floats(0, 50), st.floats(0, 2_000), st.sampled_from([0.0, 100.0])),
    min_size=64,
    max_size=64,
)


def warm(count: int, rates: list[float]) -> list[ShardState]:
    shards = owned(target(equal_nodes(count), unowned(len(rates))))
    return [msgspec.structs.replace(s, rate=rate) for s, rate in zip(shards, rates, strict=True)]


@brief
@given(st.integers(2, 6), some_rates)
def test_planned_again_with_the_same_rates_nothing_moves(count: int, rates: list[float]) -> None:
    shards = warm(count, rates)
    plan = make_plan(equal_nodes(count), shards)
    assert make_plan(equal_nodes(count), applied(shards, plan)).empty


@brief
@given(st.integers(2, 6), some_rates)
def test_the_worst_gets_no_worse_and_counts_stay_within_bounds(
    count: int, rates: list[float]
) -> None:
    shards = warm(count, rates)
    plan = make_plan(equal_nodes(count), shards)
    assert plan.load_after.worst_to_mean_rate <= plan.load_before.worst_to_mean_rate
    fair = 64 / count
    for row in plan.load_after.instances:
        assert 0.9 * fair - 1 <= row.shards <= 1.1 * fair + 1


def test_many_warm_shards_on_one_instance_are_spread_to_within_the_bound() -> None:
    shards = owned(target(equal_nodes(4), unowned()))
    warm_ones = [
        msgspec.structs.replace(s, rate=90.0 if s.owner == "i02" else 10.0) for s in shards
    ]
    plan = make_plan(equal_nodes(4), warm_ones)
    assert plan.load_before.worst_to_mean_rate == 3.0
    assert plan.load_after.worst_to_mean_rate <= 1.125 + 0.01
    assert plan.load_after.worst_to_mean_shards <= 1.1
    assert {move.reason for move in plan.moves} == {"rate"}


def test_one_shard_too_hot_for_anybody_stays_and_its_neighbours_make_room() -> None:
    shards = owned(target(equal_nodes(4), unowned()))
    hot = [msgspec.structs.replace(s, rate=5_000.0 if s.shard == 7 else 20.0) for s in shards]
    plan = make_plan(equal_nodes(4), hot)
    assert 7 not in {move.shard for move in plan.moves}
    assert {move.from_ for move in plan.moves} == {hot[7].owner}
    assert make_plan(equal_nodes(4), applied(hot, plan)).empty


def test_rates_of_an_idle_cluster_are_noise() -> None:
    idle = warm(2, [20.0 if s < 4 else 0.0 for s in range(64)])
    assert make_plan(equal_nodes(2), idle).empty


def test_rates_a_little_uneven_move_nothing() -> None:
    before = target(equal_nodes(2), unowned(64))
    uneven = [
        msgspec.structs.replace(s, rate=120.0 if s.owner == "i00" else 80.0) for s in owned(before)
    ]
    assert make_plan(equal_nodes(2), uneven).empty


def test_a_heavier_instance_may_be_hotter_in_proportion() -> None:
    nodes = equal_nodes(2)
    nodes[0] = msgspec.structs.replace(nodes[0], weight=3.0)
    before = target(nodes, unowned(64))
    assert counts_of(before, NAMES[:2]) == [48, 16]
    assert make_plan(nodes, owned(before, rate=100.0)).empty


def test_pinned_and_frozen_shards_are_not_moved_for_their_rate() -> None:
    shards = owned(target(equal_nodes(3), unowned()))
    hot = [
        msgspec.structs.replace(
            s,
            rate=300.0 if s.owner == "i00" else 10.0,
            pinned_to="i00" if s.owner == "i00" and s.shard % 2 else None,
            frozen="" if s.owner != "i00" or s.shard % 2 or s.shard % 4 else "audit",
        )
        for s in shards
    ]
    plan = make_plan(equal_nodes(3), hot)
    moved = {move.shard for move in plan.moves}
    assert moved
    assert not [s.shard for s in hot if s.shard in moved and (s.pinned_to or s.frozen)]
    assert plan.load_after.worst_to_mean_rate < plan.load_before.worst_to_mean_rate


def test_the_part_of_the_mean_that_a_step_must_gain_is_obeyed() -> None:
    shards = owned(target(equal_nodes(2), unowned(64)))
    hot = [msgspec.structs.replace(s, rate=90.0 if s.owner == "i00" else 10.0) for s in shards]
    assert make_plan(equal_nodes(2), hot, Rules(gain_min=0.9)).empty
