"""Where shards ought to be: nothing moves without a reason, and no more than the reason needs."""

from __future__ import annotations

import math
import random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.placement.assignment import Assignment
from actors.placement.inputs import Node, Rules, ShardState
from actors.placement.planner import house, place
from tests.support.placements import (
    NAMES,
    any_cluster,
    brief,
    changed,
    counts_of,
    equal_nodes,
    node,
    owned,
    target,
    unowned,
)

Cluster = tuple[list[Node], list[ShardState]]

ns = st.integers(1, 16)


def settled(count: int) -> dict[int, str]:
    return dict(target(equal_nodes(count), unowned()))


# -- always ----------------------------------------------------------------------------------------


@brief
@given(any_cluster(in_service=1))
def test_every_shard_has_one_instance_in_service_if_there_is_any(cluster: Cluster) -> None:
    nodes, shards = cluster
    by_name = {n.instance: n for n in nodes}
    where = target(nodes, shards)
    assert where.keys() == {state.shard for state in shards}
    for state in shards:
        on = by_name[where[state.shard]]
        stays_frozen = state.frozen and state.owner == on.instance and on.serves
        assert on.usable or stays_frozen


@brief
@given(any_cluster())
def test_without_an_instance_in_service_a_draining_one_goes_on_serving(cluster: Cluster) -> None:
    nodes, shards = cluster
    nodes = [n for n in nodes if not n.usable]
    serving = {n.instance for n in nodes if n.serves}
    placement = place(nodes, shards, Rules())
    assert placement.target == {s.shard: s.owner for s in shards if s.owner in serving}
    assert {held.shard for held in placement.held} == {state.shard for state in shards}


@brief
@given(any_cluster(), st.randoms(use_true_random=False))
def test_the_order_of_the_input_does_not_matter(cluster: Cluster, chance: random.Random) -> None:
    nodes, shards = cluster
    mixed_nodes = chance.sample(nodes, len(nodes))
    mixed_shards = chance.sample(shards, len(shards))
    first, second = place(nodes, shards, Rules()), place(mixed_nodes, mixed_shards, Rules())
    assert first == second
    assert list(first.target) == list(second.target)


@brief
@given(any_cluster(in_service=1))
def test_pins_are_kept_unless_the_shard_is_frozen_elsewhere(cluster: Cluster) -> None:
    nodes, shards = cluster
    usable = {n.instance for n in nodes if n.usable}
    serving = {n.instance for n in nodes if n.serves}
    where = target(nodes, shards)
    for state in shards:
        if state.pinned_to in usable and not (state.frozen and state.owner in serving):
            assert where[state.shard] == state.pinned_to


@brief
@given(any_cluster())
def test_a_frozen_shard_stays_with_its_owner_as_long_as_that_lives(cluster: Cluster) -> None:
    nodes, shards = cluster
    serving = {n.instance for n in nodes if n.serves}
    where = target(nodes, shards)
    for state in shards:
        if state.frozen and state.owner in serving:
            assert where[state.shard] == state.owner


@brief
@given(any_cluster(in_service=1), st.sampled_from([0.0, 0.1, 0.3]))
def test_counts_end_within_their_bounds(cluster: Cluster, slack: float) -> None:
    """With nothing that has to stay somewhere; test_shares has what that does to the bounds."""
    nodes, shards = cluster
    free = [msgspec.structs.replace(s, frozen="", pinned_to=None, desired=s.owner) for s in shards]
    where = target(nodes, free, Rules(count_slack=slack))
    total_weight = sum(n.weight for n in nodes if n.usable)
    for one in nodes:
        share = len(free) * one.weight / total_weight
        if one.usable:
            count = list(where.values()).count(one.instance)
            assert count <= max(math.ceil(share + 1e-9), share * (1 + slack) + 1e-9)
            assert count >= min(math.floor(share - 1e-9), share * (1 - slack) - 1e-9)


# -- joining and leaving ---------------------------------------------------------------------------


@brief
@given(ns)
def test_a_join_moves_exactly_its_share_and_only_to_it(count: int) -> None:
    before = settled(count)
    after = target(equal_nodes(count + 1), owned(before))
    moved = {shard for shard in before if after[shard] != before[shard]}
    assert {after[shard] for shard in moved} == {NAMES[count]}
    assert abs(len(moved) - 256 / (count + 1)) < 1
    spread = counts_of(after, NAMES[: count + 1])
    assert max(spread) - min(spread) <= 1


@brief
@given(ns, st.data())
def test_a_leave_moves_only_what_it_had(count: int, data: st.DataObject) -> None:
    before = settled(count + 1)
    nodes = equal_nodes(count + 1)
    leaver = data.draw(st.sampled_from(nodes))
    how = data.draw(st.sampled_from(["silent", "gone", "draining", "evicted"]))
    rest = [n for n in nodes if n != leaver]
    if how != "gone":
        fields = {"silent": {"alive": False}}.get(how, {how: True})
        rest.append(msgspec.structs.replace(leaver, **fields))
    after = target(rest, owned(before))
    moved = {shard for shard in before if after[shard] != before[shard]}
    assert moved == {shard for shard, on in before.items() if on == leaver.instance}
    spread = counts_of(after, [n.instance for n in nodes if n != leaver])
    assert max(spread) - min(spread) <= 1


@brief
@given(st.lists(st.booleans(), max_size=12))
def test_after_any_joins_and_leaves_all_have_the_same_give_or_take_one(joins: list[bool]) -> None:
    count, where = 3, settled(3)
    for join in joins:
        count = min(16, count + 1) if join else max(1, count - 1)
        where = dict(target(equal_nodes(count), owned(where), Rules().exact()))
        spread = counts_of(where, NAMES[:count])
        assert max(spread) - min(spread) <= 1


def test_several_joins_at_once_move_only_to_the_new_ones() -> None:
    before = settled(4)
    after = target(equal_nodes(7), owned(before))
    moved = [shard for shard in before if after[shard] != before[shard]]
    assert {after[shard] for shard in moved} == set(NAMES[4:7])
    assert len(moved) == 3 * (256 // 7), "the odd ones stay with whoever has them"


def test_a_restart_under_the_same_name_moves_nothing() -> None:
    before = settled(3)
    nodes = [node(name, incarnation=f"{name}-2") for name in NAMES[:3]]
    assert target(nodes, owned(before)) == before


def test_weights_give_shares_in_proportion() -> None:
    nodes = [node("a"), node("b", weight=2.0), node("c", weight=5.0)]
    assert counts_of(target(nodes, unowned()), ["a", "b", "c"]) == [32, 64, 160]


def test_most_shards_begin_at_their_first_choice() -> None:
    """Else a stored table lost as a whole would come back quite another."""
    from actors.placement.planner import first_choice

    where = settled(8)
    weights = dict.fromkeys(NAMES[:8], 1.0)
    assert sum(first_choice(s, weights) == on for s, on in where.items()) > 0.9 * 256


# -- hysteresis ------------------------------------------------------------------------------------


def test_a_small_imbalance_moves_nothing_unless_asked_for() -> None:
    shards = owned({s: NAMES[0] if s < 70 else NAMES[1 + s % 3] for s in range(256)})
    lopsided = {state.shard: state.owner for state in shards}
    assert counts_of(lopsided, NAMES[:4]) == [70, 62, 62, 62]
    assert target(equal_nodes(4), shards) == lopsided
    even = target(equal_nodes(4), shards, Rules().exact())
    assert counts_of(even, NAMES[:4]) == [64, 64, 64, 64]
    assert sum(even[s] != lopsided[s] for s in even) == 6


def test_only_what_is_out_of_bounds_is_mended_and_fully() -> None:
    sizes = {"i00": 80, "i01": 60, "i02": 58, "i03": 58}
    names = [name for name, size in sizes.items() for _ in range(size)]
    before = dict(enumerate(names))
    after = target(equal_nodes(4), owned(before))
    moved = {s: after[s] for s in before if after[s] != before[s]}
    assert {before[s] for s in moved} == {"i00"}
    assert len(moved) == 16
    assert counts_of(after, NAMES[:4])[0] == 64


# -- what has to stay, and what waits --------------------------------------------------------------


def test_a_pinned_shard_goes_to_its_pin_against_all_balance() -> None:
    shards = [msgspec.structs.replace(s, pinned_to="i01") for s in owned(settled(2))]
    assert set(target(equal_nodes(2), shards).values()) == {"i01"}


@pytest.mark.parametrize("state", ["draining", "dead", "gone"])
def test_a_pin_to_an_instance_out_of_service_waits_and_says_so(state: str) -> None:
    before = settled(3)
    mine = next(s for s, on in before.items() if on == "i00")
    shards = changed(owned(before), mine, pinned_to="i02")
    last = {
        "draining": [node("i02", draining=True)],
        "dead": [node("i02", alive=False)],
        "gone": [],
    }[state]
    placement = place([*equal_nodes(2), *last], shards, Rules())
    assert placement.target[mine] == "i00", "it is served where it is"
    (held,) = [held for held in placement.held if held.shard == mine]
    assert held.on == "i00"
    assert "pinned to i02" in held.why
    assert place(equal_nodes(3), shards, Rules()).target[mine] == "i02", "and goes there later"


def test_drain_wins_over_a_pin_to_the_drained_instance() -> None:
    before = settled(2)
    shards = [msgspec.structs.replace(s, pinned_to=s.owner) for s in owned(before)]
    where = target([node("i00"), node("i01", draining=True)], shards)
    assert set(where.values()) == {"i00"}


def test_a_frozen_shard_holds_up_a_drain_and_that_is_told() -> None:
    before = settled(2)
    mine = next(s for s, on in before.items() if on == "i01")
    shards = changed(owned(before), mine, frozen="audit of June")
    placement = place([node("i00"), node("i01", draining=True)], shards, Rules())
    assert [s for s, on in placement.target.items() if on == "i01"] == [mine]
    (held,) = placement.held
    assert held.shard == mine
    assert "audit of June" in held.why
    assert "draining" in held.why


@pytest.mark.parametrize("gone", [{"alive": False}, {"evicted": True}])
def test_a_frozen_shard_whose_owner_is_dead_or_evicted_is_served_elsewhere(
    gone: dict[str, bool],
) -> None:
    shards = [msgspec.structs.replace(s, frozen="audit") for s in owned(settled(2))]
    where = target([node("i00"), node("i01", **gone)], shards)
    assert set(where.values()) == {"i00"}


def test_a_frozen_shard_taken_over_is_no_piece_for_balance() -> None:
    shards = changed(owned(settled(2)), 7, owner="gone", desired="gone", frozen="audit")
    assignment = Assignment(equal_nodes(2), shards, Rules())
    assert assignment.homeless == [7]
    house(assignment)
    assert assignment.homeless == []
    assert assignment.fixed == {7}
    assert all(7 not in shards for shards in assignment.movable().values())


# -- moves under way -------------------------------------------------------------------------------


def test_a_move_under_way_is_left_to_finish() -> None:
    shards = changed(owned(settled(2)), 7, owner="i00", desired="i01")
    assert target(equal_nodes(2), shards)[7] == "i01"


def test_a_move_to_an_overloaded_instance_is_sent_elsewhere() -> None:
    """Rather than there and on: that would be two pauses."""
    on_the_way = [msgspec.structs.replace(s, desired="i01") for s in owned(settled(1))]
    after = target(equal_nodes(3), on_the_way)
    assert counts_of(after, NAMES[:3]) == [85, 86, 85]


def test_a_move_whose_target_dies_is_taken_back_to_the_owner() -> None:
    shards = changed(owned(settled(2)), 7, owner="i00", desired="i02")
    nodes = [*equal_nodes(2), node("i02", alive=False)]
    assert target(nodes, shards)[7] == "i00"


# -- mistakes --------------------------------------------------------------------------------------


def test_an_instance_or_shard_given_twice_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="twice"):
        target([node("a"), node("a")], unowned())
    with pytest.raises(ValueError, match="twice"):
        target([node("a")], [*unowned(2), *unowned(1)])


@pytest.mark.parametrize("weight", [0.0, -1.0, math.inf, math.nan])
def test_a_weight_that_is_no_share_is_refused(weight: float) -> None:
    with pytest.raises(ValueError, match="weight"):
        Node(instance="a", incarnation="a-1", weight=weight)


@pytest.mark.parametrize("rate", [-1.0, math.inf, math.nan])
def test_a_rate_that_cannot_be_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="rate"):
        ShardState(shard=1, rate=rate)


@pytest.mark.parametrize(
    "wrong", [{"count_slack": 1.0}, {"rate_slack": -0.1}, {"gain_min": 0.0}, {"moves_max": 0}]
)
def test_rules_by_which_nothing_would_work_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"count_slack|limit"):
        Rules(**wrong)


def test_a_node_without_a_name_is_refused() -> None:
    with pytest.raises(ValueError, match="name"):
        Node(instance="", incarnation="1")
