"""How many moves run at once, and what becomes of a plan while it runs."""

from __future__ import annotations

from collections import Counter

import msgspec
from hypothesis import given

from actors.placement.inputs import Node, Rules, ShardState
from actors.placement.plan import Move, make_plan
from actors.placement.progress import next_moves, progress
from tests.support.placements import (
    after,
    any_cluster,
    brief,
    changed,
    equal_nodes,
    node,
    owned,
    target,
    unowned,
)

Cluster = tuple[list[Node], list[ShardState]]


def drained(count: int, *leaving: int) -> tuple[list[Node], list[ShardState]]:
    nodes = [
        msgspec.structs.replace(n, draining=True) if place in leaving else n
        for place, n in enumerate(equal_nodes(count))
    ]
    return nodes, owned(target(equal_nodes(count), unowned()))


def busiest(moves: list[Move]) -> int:
    ends = Counter(("from", m.from_) for m in moves) + Counter(("to", m.to) for m in moves)
    return max(ends.values())


@brief
@given(any_cluster())
def test_step_by_step_within_all_limits_a_plan_is_made_to_its_end(cluster: Cluster) -> None:
    """One move of each round finishes, the others stay in flight: the limits hold all the while."""
    nodes, shards = cluster
    rules = Rules(moves_max=5, takeovers_max=3)
    plan = make_plan(nodes, shards, rules)
    shards = after(shards, (), plan.withdrawals)
    in_flight: list[Move] = []
    for _ in range(len(plan.moves) + 1):
        now = progress(plan, nodes, shards)
        assert now.broken == ()
        in_flight += next_moves(now.open, in_flight, rules)
        planned = [move for move in in_flight if not move.takeover]
        assert len(planned) <= 5
        assert len(in_flight) - len(planned) <= 3
        assert not planned or busiest(planned) <= 2
        if not in_flight:
            break
        shards = after(shards, [in_flight.pop(0)])
    assert progress(plan, nodes, shards).done == plan.moves


def test_at_most_eight_hand_overs_run_at_once() -> None:
    """At most two of them share a source or a target."""
    nodes, shards = drained(12, 0, 1, 2, 3, 4, 5)
    moves = make_plan(nodes, shards).moves
    begun = next_moves(moves, [])
    assert len(begun) == 8
    assert busiest(begun) == 2
    assert next_moves(moves, begun) == [], "until one of them is done"
    assert len(next_moves(moves, begun[1:])) == 1


def test_one_source_or_one_target_alone_gives_or_takes_two_at_once() -> None:
    for nodes, shards in (drained(5, 0), drained(5, 1, 2, 3, 4)):
        assert len(next_moves(make_plan(nodes, shards).moves, [])) == 2


def test_shards_that_nobody_serves_are_all_taken_over_at_once() -> None:
    shards = owned(target(equal_nodes(3), unowned()))
    nodes = [*equal_nodes(2), node("i02", alive=False)]
    moves = make_plan(nodes, shards).moves
    assert next_moves(moves, []) == list(moves)
    assert len(moves) == 85
    assert len(next_moves(moves, moves[:4], Rules(takeovers_max=10))) == 6


def test_an_instance_that_takes_over_is_given_no_hand_overs_meanwhile() -> None:
    shards = owned(target(equal_nodes(3), unowned()))
    nodes = [node("i00"), node("i01", draining=True), node("i02", alive=False)]
    moves = make_plan(nodes, shards).moves
    begun = next_moves(moves, [])
    assert {move.reason for move in begun} == {"dead"}
    assert {move.reason for move in moves} == {"dead", "draining"}
    assert next_moves(moves, begun) == []


def test_a_move_overtaken_by_events_is_broken_and_says_why() -> None:
    nodes, shards = drained(3, 2)
    plan = make_plan(nodes, shards)
    first, second, third, fourth = plan.moves[:4]
    later = changed(shards, first.shard, owner="i07", epoch=2)
    later = changed(later, second.shard, frozen="audit")
    later = changed(later, third.shard, epoch=2)
    later = after(later, [fourth])
    now = progress(plan, nodes, later)
    assert now.done == (fourth,)
    assert [(one.move, one.why) for one in now.broken] == [
        (first, "claimed by i07 (epoch 1 -> 2)"),
        (second, "frozen: audit"),
        (third, "claimed by i02 (epoch 1 -> 2)"),
    ]
    assert now.open == plan.moves[4:]


def test_moves_to_an_instance_that_left_the_service_are_broken() -> None:
    nodes, shards = drained(3, 2)
    plan = make_plan(nodes, shards)
    gone = [n for n in nodes if n.instance != "i00"]
    dead = [msgspec.structs.replace(n, alive=n.instance != "i00") for n in nodes]
    for later, why in ((gone, "i00 is gone"), (dead, "i00 is dead")):
        now = progress(plan, later, shards)
        assert {(one.move.to, one.why) for one in now.broken} == {("i00", why)}
        assert {move.to for move in now.open} == {"i01"}


def test_a_pin_that_was_changed_or_a_shard_that_vanished_breaks_its_move() -> None:
    nodes = equal_nodes(3)
    settled = owned(target(nodes, unowned()))
    mine = next(s.shard for s in settled if s.owner == "i00")
    shards = changed(settled, mine, pinned_to="i01")
    plan = make_plan(nodes, shards)
    (move,) = plan.moves
    assert move.reason == "pinned"
    assert progress(plan, nodes, shards).open == (move,)
    repinned = progress(plan, nodes, changed(shards, mine, pinned_to="i02"))
    assert [one.why for one in repinned.broken] == ["pinned to i02"]
    fewer = progress(plan, nodes, [s for s in shards if s.shard != mine])
    assert [one.why for one in fewer.broken] == ["there is no such shard any more"]
