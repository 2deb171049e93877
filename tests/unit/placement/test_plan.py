"""Plans: what they say, when they still hold, and that following them leads to the target."""

from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.placement.inputs import Node, Pause, Rules, ShardState
from actors.placement.plan import Plan, make_plan, stale_reason
from actors.placement.planner import place
from tests.support.placements import (
    after,
    any_cluster,
    applied,
    brief,
    changed,
    equal_nodes,
    node,
    owned,
    target,
    unowned,
)

Cluster = tuple[list[Node], list[ShardState]]


def two(**second: object) -> tuple[list[Node], list[ShardState]]:
    return [node("i00"), node("i01", **second)], owned(target(equal_nodes(2), unowned()))


# -- following a plan ------------------------------------------------------------------------------


@brief
@given(any_cluster())
def test_made_move_by_move_a_plan_ends_at_its_target(cluster: Cluster) -> None:
    nodes, shards = cluster
    plan = make_plan(nodes, shards)
    wanted = target(nodes, shards)
    shards = after(shards, (), plan.withdrawals)
    for move in plan.moves:
        state = next(s for s in shards if s.shard == move.shard)
        assert (state.owner, state.epoch) == (move.from_, move.epoch)
        shards = after(shards, [move])
    held = {state.shard: state.owner for state in shards if state.shard in wanted}
    assert held == dict(wanted)


@brief
@given(any_cluster())
def test_planned_again_at_its_end_there_is_nothing_to_do(cluster: Cluster) -> None:
    nodes, shards = cluster
    again = make_plan(nodes, applied(shards, make_plan(nodes, shards)))
    assert again.moves == ()
    assert again.withdrawals == ()


@brief
@given(any_cluster(), st.randoms(use_true_random=False))
def test_planned_again_half_way_no_move_is_added_when_rates_are_unknown(
    cluster: Cluster, chance: random.Random
) -> None:
    nodes, shards = cluster
    shards = [msgspec.structs.replace(state, rate=0.0) for state in shards]
    plan = make_plan(nodes, shards)
    made = chance.sample(plan.moves, len(plan.moves) // 2)
    rest = make_plan(nodes, after(shards, made, plan.withdrawals))
    assert len(rest.moves) <= len(plan.moves) - len(made)


@brief
@given(st.integers(1, 9), st.integers(1, 9), st.randoms(use_true_random=False))
def test_an_even_spread_is_resumed_with_exactly_the_moves_that_are_left(
    before: int, now: int, chance: random.Random
) -> None:
    shards = owned(target(equal_nodes(before), unowned()))
    plan = make_plan(equal_nodes(now), shards, Rules().exact())
    made = chance.sample(plan.moves, len(plan.moves) // 2)
    rest = make_plan(equal_nodes(now), after(shards, made), Rules().exact())
    left = {(m.shard, m.from_, m.to) for m in plan.moves if m not in made}
    if now >= before:
        assert {(m.shard, m.from_, m.to) for m in rest.moves} == left
    else:
        assert {m.shard for m in rest.moves} == {shard for shard, _, _ in left}


# -- what it says ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "reason", "takeover"),
    [
        ({"draining": True}, "draining", False),
        ({"alive": False}, "dead", True),
        ({"evicted": True}, "evicted", True),
    ],
)
def test_moves_say_why(fields: dict[str, bool], reason: str, takeover: bool) -> None:
    nodes, shards = two(**fields)
    plan = make_plan(nodes, shards)
    assert {(m.from_, m.to, m.reason, m.takeover) for m in plan.moves} == {
        ("i01", "i00", reason, takeover)
    }


def test_moves_are_in_the_order_of_their_urgency() -> None:
    nodes = [*equal_nodes(2), node("i02", draining=True), node("i03", alive=False)]
    shards = owned(target(equal_nodes(4), unowned()))
    by_owner = {state.owner: state.shard for state in shards}
    shards = changed(shards, by_owner["i00"], pinned_to="i01")
    shards = changed(shards, by_owner["i01"], desired="i00")
    plan = make_plan([*nodes, node("i04")], [*shards, ShardState(shard=256)])
    reasons = list(dict.fromkeys(move.reason for move in plan.moves))
    assert (
        reasons == ["unowned", "dead", "under_way", "pinned", "draining", "count"][: len(reasons)]
    )
    assert len(reasons) >= 5


def test_a_freeze_that_does_not_hold_is_told_with_its_reason() -> None:
    nodes, shards = two(alive=False)
    mine = next(s.shard for s in shards if s.owner == "i01")
    plan = make_plan(nodes, changed(shards, mine, frozen="audit of June"))
    assert {m.shard: m.overrides for m in plan.moves if m.overrides} == {mine: "audit of June"}


def test_a_move_that_is_not_wanted_any_more_is_withdrawn_not_made() -> None:
    nodes, shards = two()
    mine = next(s.shard for s in shards if s.owner == "i00")
    plan = make_plan(nodes, changed(shards, mine, desired="i09"))
    assert plan.moves == ()
    (withdrawal,) = plan.withdrawals
    assert (withdrawal.shard, withdrawal.owner, withdrawal.desired) == (mine, "i00", "i09")
    assert not plan.empty


def test_a_pause_is_expected_as_measured_or_else_guessed() -> None:
    nodes, shards = two(draining=True)
    first, second = [s.shard for s in shards if s.owner == "i01"][:2]

    def expected(*pauses: Pause) -> list[float]:
        plan = make_plan(nodes, shards, pauses=pauses)
        return [m.expected_pause_ms for m in plan.moves if m.shard in (first, second)]

    assert expected() == [Rules().pause_guess_ms] * 2
    measured = [Pause(first, 10.0), Pause(first, 14.0), Pause(first, 900.0), Pause(255, 40.0)]
    assert expected(*measured) == [14.0, 27.0]


def test_a_takeover_adds_no_pause() -> None:
    nodes, shards = two(alive=False)
    assert {m.expected_pause_ms for m in make_plan(nodes, shards).moves} == {0.0}


def test_the_load_before_and_after_counts_shards_rates_and_entities() -> None:
    nodes, shards = two(draining=True)
    shards = [msgspec.structs.replace(s, rate=2.0, entities=3) for s in shards]
    plan = make_plan(nodes, shards)
    before, then = plan.load_before, plan.load_after
    assert [(r.instance, r.state, r.shards, r.rate, r.entities) for r in before.instances] == [
        ("i00", "serving", 128, 256.0, 384),
        ("i01", "draining", 128, 256.0, 384),
    ]
    assert [(r.shards, r.rate, r.entities) for r in then.instances] == [
        (256, 512.0, 768),
        (0, 0.0, 0),
    ]
    assert (before.unserved, then.unserved) == (0, 0)


def test_shards_of_dead_and_unknown_instances_count_as_unserved() -> None:
    nodes, shards = two(alive=False)
    shards = changed(changed(shards, 0, owner="", desired=""), 1, owner="lost", desired="lost")
    plan = make_plan(nodes, shards)
    served = sum(s.owner == "i00" for s in shards)
    assert plan.load_before.unserved == 256 - served
    assert plan.load_after.unserved == 0


def test_a_heavier_instance_with_its_share_is_even() -> None:
    nodes = [node("i00"), node("i01", weight=3.0)]
    plan = make_plan(nodes, [msgspec.structs.replace(s, rate=1.0) for s in unowned()])
    assert plan.load_after.worst_to_mean_shards == 1.0
    assert plan.load_after.worst_to_mean_rate == 1.0
    assert plan.load_before.worst_to_mean_shards == 0.0, "there is nothing to compare"


def test_a_plan_survives_being_stored() -> None:
    nodes, shards = two(draining=True)
    plan = make_plan(nodes, changed(shards, 3, pinned_to="i09"))
    encoded = msgspec.json.encode(plan)
    assert msgspec.json.decode(encoded, type=Plan) == plan
    shown = msgspec.json.decode(encoded)
    assert shown["planId"] == plan.plan_id
    assert {"shard", "from", "to", "expectedPauseMs"} <= shown["moves"][0].keys()
    assert {"loadBefore", "loadAfter"} <= shown.keys()


# -- its id, and whether it still holds ------------------------------------------------------------


@brief
@given(any_cluster(), st.randoms(use_true_random=False))
def test_the_same_cluster_gives_the_same_plan_in_whatever_order(
    cluster: Cluster, chance: random.Random
) -> None:
    nodes, shards = cluster
    mixed = make_plan(chance.sample(nodes, len(nodes)), chance.sample(shards, len(shards)))
    assert mixed == make_plan(nodes, shards)
    assert stale_reason(mixed, nodes, shards) is None


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"epoch": 2}, "shard 5: epoch 1 -> 2"),
        ({"pinned_to": "i01"}, "shard 5: pinned_to none -> i01"),
        ({"frozen": "audit"}, "shard 5: frozen none -> True"),
        ({"desired": "i09"}, "shard 5: desired"),
    ],
)
def test_a_plan_is_stale_once_a_shard_changed(change: dict[str, object], told: str) -> None:
    nodes, shards = two(draining=True)
    plan, later = make_plan(nodes, shards), changed(shards, 5, **change)
    assert told in (stale_reason(plan, nodes, later) or "")
    assert make_plan(nodes, later).plan_id != plan.plan_id


@pytest.mark.parametrize(
    ("later", "told"),
    [
        ([node("i00")], "instance i01 is gone"),
        ([*equal_nodes(2), node("i02")], "instance i02 is new"),
        ([node("i00"), node("i01", incarnation="x")], "instance i01: incarnation i01-1 -> x"),
        ([node("i00"), node("i01", draining=True)], "instance i01: state serving -> draining"),
        ([node("i00"), node("i01", weight=2.0)], "instance i01: weight 1.0 -> 2.0"),
    ],
)
def test_a_plan_is_stale_once_an_instance_changed(later: list[Node], told: str) -> None:
    nodes, shards = two()
    plan = make_plan(nodes, shards)
    assert stale_reason(plan, later, shards) == told
    assert make_plan(later, shards).plan_id != plan.plan_id


def test_of_many_changes_a_few_are_told_and_the_rest_counted() -> None:
    nodes, shards = two()
    later = [msgspec.structs.replace(s, epoch=2) for s in shards]
    told = stale_reason(make_plan(nodes, shards), nodes, later) or ""
    assert told.startswith("shard 0: epoch 1 -> 2; shard 1")
    assert told.endswith("; and 253 more")


def test_rates_entities_and_silence_do_not_make_a_plan_stale() -> None:
    nodes, shards = two(alive=False)
    plan = make_plan(nodes, shards)
    later = [msgspec.structs.replace(s, rate=9.0, entities=9) for s in shards]
    assert stale_reason(plan, [node("i00"), node("i01", alive=False)], later) is None


def test_different_moves_in_the_same_cluster_have_different_ids() -> None:
    shards = owned({s: "i00" if s < 132 else "i01" for s in range(256)})
    loose, even = (make_plan(equal_nodes(2), shards, r) for r in (Rules(), Rules().exact()))
    assert loose.based_on == even.based_on
    assert loose.plan_id != even.plan_id


@brief
@given(any_cluster())
def test_what_is_held_is_not_moved_for_what_it_waits_for(cluster: Cluster) -> None:
    nodes, shards = cluster
    placement = place(nodes, shards, Rules())
    for held in placement.held:
        assert placement.target.get(held.shard, "") == held.on
        assert held.why
