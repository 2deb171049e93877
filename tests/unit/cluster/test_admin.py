"""What operators ask for is written down, carried out by whoever leads, and told as it is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest

from actors.address import SLOT_COUNT
from actors.cluster.admin_views import OperationRefusedError
from actors.journal.contract import JournalError
from tests.support.askers import Askers
from tests.support.nodes import Node, Nodes
from tests.support.runtimes import until


async def refused(asked: Awaitable[Any]) -> str:
    with pytest.raises(OperationRefusedError) as caught:
        await asked
    assert str(caught.value), "there are words for people"
    return caught.value.code


def shard_of(nodes: Nodes, node: Node) -> int:
    return min(node.shards)


async def moved(nodes: Nodes, shard: int, to: str, wait_max_s: float = 1.0) -> None:
    await until(lambda: nodes.owners().get(shard) == to, wait_max_s)


async def through(nodes: Nodes) -> None:
    """What operators began is done, and served."""
    await until(lambda: not nodes.orders_running() and len(nodes.owners()) == SLOT_COUNT, 20.0)


# -- seeing ------------------------------------------------------------------------------------


async def test_every_instance_shows_the_same_cluster(nodes: Nodes) -> None:
    await nodes.start("a", "b", "c")
    await asyncio.sleep(1.0)
    views = [await node.node.admin.view() for node in nodes.alive]
    for node, view in zip(nodes.alive, views, strict=True):
        assert view.answered_by == node.name
        assert [one.instance for one in view.instances] == ["a", "b", "c"]
        assert {one.state for one in view.instances} == {"serving"}
        assert {one.instance: one.shards for one in view.instances} == nodes.counts()
        assert {one.shard: one.owner for one in view.shards} == nodes.owners()
        assert view.age_ms <= 600
    leader = nodes.leader()
    assert leader is not None
    assert {(view.leader, view.term) for view in views} == {(leader.name, 1)}


async def test_load_is_told_by_the_owners_heartbeats(nodes: Nodes) -> None:
    a, b, _ = await nodes.start("a", "b", "c")
    address = nodes.address_on(b)
    for _ in range(300):
        await a.ask(address, ("add", 1))
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.6)
    view = await a.node.admin.view()
    busy = view.shards[address.slot]
    assert busy.rate > 5
    assert busy.entities == 1
    assert next(one for one in view.instances if one.instance == "b").rate >= busy.rate


async def test_hand_overs_are_told_by_who_got_them_with_their_pause(nodes: Nodes) -> None:
    a, b, _ = await nodes.start("a", "b", "c")
    shard = shard_of(nodes, b)
    await a.node.admin.move(shard, "a", "ops")
    await moved(nodes, shard, "a")
    last = (await a.node.admin.view()).handovers[0]
    assert (last.shard, last.from_, last.to) == (shard, "b", "a")
    assert 0 < last.pause_ms < 250


# -- plans -------------------------------------------------------------------------------------


async def uneven(nodes: Nodes) -> None:
    """Three instances, of which one lost much to the others and was asked back."""
    await nodes.start("a", "b", "c")
    for shard in list(nodes.alive[2].shards)[:7]:
        await nodes.alive[0].node.admin.move(shard, "a", "ops")
    await through(nodes)
    before: dict[int, str] = {}
    while (now := nodes.owners()) != before:  # what is beyond the slack of balance moves by itself
        before = now
        await asyncio.sleep(1.0)


async def test_a_plan_is_exactly_what_apply_does(nodes: Nodes) -> None:
    await uneven(nodes)
    admin = nodes.alive[1].node.admin
    before, claims = nodes.owners(), len(nodes.store.claims)
    plan = await admin.plan()
    assert plan.moves
    assert all(move.expected_pause_ms > 0 for move in plan.moves)
    await asyncio.sleep(2.0)
    assert nodes.owners() == before, "a plan moves nothing"
    began = await admin.apply(plan.plan_id, "ops")
    assert (began.state, began.moves, began.begun_by) == ("running", len(plan.moves), "ops")
    await through(nodes)
    after = await admin.apply(plan.plan_id, "ops")
    assert (after.state, after.done, after.open, after.broken) == ("done", len(plan.moves), 0, ())
    assert nodes.owners() == before | {move.shard: move.to for move in plan.moves}
    assert len(nodes.store.claims) - claims == len(plan.moves)
    counts = nodes.counts().values()
    assert max(counts) - min(counts) <= 1


async def test_a_plan_of_a_cluster_that_has_changed_is_refused(nodes: Nodes) -> None:
    await uneven(nodes)
    admin = nodes.alive[1].node.admin
    plan = await admin.plan()
    shard = plan.moves[0].shard
    await admin.freeze(shard, "a look at it", "ops")
    assert await refused(admin.apply(plan.plan_id, "ops")) == "plan_stale"
    assert await refused(admin.apply("no such plan", "ops")) == "unknown_plan"


async def test_a_plan_is_aborted_and_goes_on_by_another_one(nodes: Nodes) -> None:
    await uneven(nodes)
    admin = nodes.alive[1].node.admin
    assert await refused(admin.abort("ops")) == "no_rebalance"
    plan = await admin.plan()
    await admin.apply(plan.plan_id, "ops")
    aborted = await admin.abort("ops")
    assert aborted.state == "aborted"
    await asyncio.sleep(3.0)
    assert await admin.apply(plan.plan_id, "ops") == (await admin.view()).rebalance == aborted
    rest = await admin.plan()
    if rest.moves:
        await admin.apply(rest.plan_id, "ops")
        await through(nodes)
    counts = nodes.counts().values()
    assert max(counts) - min(counts) <= 1


async def test_a_plan_that_has_ended_is_told_as_it_was_then(nodes: Nodes) -> None:
    await uneven(nodes)
    admin = nodes.alive[1].node.admin
    plan = await admin.plan()
    await admin.apply(plan.plan_id, "ops")
    await through(nodes)
    move = plan.moves[0]
    await admin.move(move.shard, move.from_, "ops")
    await moved(nodes, move.shard, move.from_)
    latest = (await admin.view()).rebalance
    assert latest is not None
    assert (latest.state, latest.done, latest.broken) == ("done", len(plan.moves), ())


async def test_one_plan_runs_at_a_time(nodes: Nodes) -> None:
    await uneven(nodes)
    admin = nodes.alive[1].node.admin
    for node in nodes.alive:
        node.journal.latency_s = 0.2
    first = await admin.plan()
    await admin.apply(first.plan_id, "ops")
    assert (await admin.apply(first.plan_id, "ops")).state == "running", "asked again, it says so"
    await asyncio.sleep(0.5)
    second = await admin.plan()
    assert second.plan_id != first.plan_id
    assert await refused(admin.apply(second.plan_id, "ops")) == "conflict"


async def test_a_plan_outlives_the_leader_that_began_it(nodes: Nodes) -> None:
    await uneven(nodes)
    leader = nodes.leader()
    assert leader is not None
    for node in nodes.alive:
        node.journal.latency_s = 0.2
    admin = nodes.others(leader)[0].node.admin
    plan = await admin.plan()
    await admin.apply(plan.plan_id, "ops")
    await asyncio.sleep(0.3)
    await nodes.kill(leader)
    await through(nodes)
    latest = (await admin.view()).rebalance
    assert latest is not None
    assert latest.state == "done"
    assert latest.done + len(latest.broken) == latest.moves


# -- one shard ---------------------------------------------------------------------------------


async def test_a_move_is_made_at_once_with_a_pause_at_most(nodes: Nodes) -> None:
    a, b, c = await nodes.start("a", "b", "c")
    askers = Askers(nodes)
    for address in askers.addresses[:20]:
        to = next(node for node in (a, b, c) if node is not nodes.owner(address))
        await c.node.admin.move(address.slot, to.name, "ops")
        await moved(nodes, address.slot, to.name)
    await askers.finish()
    assert askers.failed == []
    assert askers.slowest_s < 0.25


async def test_an_impossible_move_is_refused_without_a_change(nodes: Nodes) -> None:
    a, b, c = await nodes.start("a", "b", "c")
    admin, shard, lines = a.node.admin, shard_of(nodes, b), len(nodes.tables.entries)
    assert await refused(admin.move(SLOT_COUNT, "a", "ops")) == "unknown_shard"
    assert await refused(admin.move(-1, "a", "ops")) == "unknown_shard"
    assert await refused(admin.move(shard, "z", "ops")) == "unknown_instance"
    await admin.move(shard, "b", "ops")  # it is there
    assert len(nodes.tables.entries) == lines
    await admin.freeze(shard, "a look at it", "ops")
    assert await refused(admin.move(shard, "a", "ops")) == "shard_frozen"
    await c.node.admin.drain("c", "ops")
    await admin.unfreeze(shard, "ops")
    assert await refused(admin.move(shard, "c", "ops")) == "conflict"
    assert nodes.owners()[shard] == "b"


async def test_a_shard_is_moved_there_and_back_and_there_again(nodes: Nodes) -> None:
    a, b, _ = await nodes.start("a", "b", "c")
    shard = shard_of(nodes, b)
    for to in ("a", "b", "a", "b"):
        await a.node.admin.move(shard, to, "ops")
        await moved(nodes, shard, to)


async def test_a_pinned_shard_goes_there_and_stays_through_everything(nodes: Nodes) -> None:
    a, b, _ = await nodes.start("a", "b", "c")
    shard = shard_of(nodes, b)
    await a.node.admin.pin(shard, "a", "ops")
    await moved(nodes, shard, "a", 2.0)
    await nodes.start("d")
    assert nodes.owners()[shard] == "a"
    await nodes.kill(a)
    await until(lambda: len(nodes.owners()) == SLOT_COUNT, 10.0)
    assert nodes.owners()[shard] != "a", "better elsewhere than nowhere"
    again = nodes.new("a")
    await again.start()
    await moved(nodes, shard, "a", 10.0)
    await nodes.alive[0].node.admin.unpin(shard, "ops")
    assert nodes.tables.shards[shard].pinned_to is None
    assert await refused(again.node.admin.pin(shard, "z", "ops")) == "unknown_instance"


async def test_a_frozen_shard_stays_though_its_instance_is_drained(nodes: Nodes) -> None:
    a, b, _ = await nodes.start("a", "b", "c")
    shard = shard_of(nodes, b)
    await a.node.admin.freeze(shard, "a look at it", "ops")
    await a.node.admin.drain("b", "ops")
    await until(lambda: len(b.shards) == 1, 10.0)
    await asyncio.sleep(2.0)
    assert nodes.owners()[shard] == "b"
    await a.node.admin.unfreeze(shard, "ops")
    await until(lambda: not b.shards, 2.0)


# -- one instance ------------------------------------------------------------------------------


async def test_a_drained_instance_gets_its_share_back_afterwards(
    nodes: Nodes,
) -> None:
    a, b, _ = await nodes.start("a", "b", "c")
    await a.node.admin.drain("b", "ops")
    await until(lambda: not b.shards, 10.0)
    assert next(n for n in (await a.node.admin.view()).instances if n.instance == "b").state == (
        "draining"
    )
    assert b.node.availability.problem() is None, "it answers all the same"
    assert await b.reply(nodes.address_on(a), "get") == 0
    await a.node.admin.undrain("b", "ops")
    await nodes.settled()
    assert nodes.counts()["b"] > 70


async def test_an_evicted_instance_is_not_asked(nodes: Nodes) -> None:
    a, b, _ = await nodes.start("a", "b", "c")
    b.journal.pause()  # it is sick: it would not let go
    await a.node.admin.evict("b", "ops")
    await until(lambda: "b" not in nodes.owners().values(), 1.0)
    b.journal.resume()
    await until(lambda: not b.shards, 2.0)
    assert nodes.counts()["b"] == 0
    await a.node.admin.undrain("b", "ops")
    await nodes.settled()


async def test_the_last_and_unknown_instances_are_not_evicted(nodes: Nodes) -> None:
    a, *_ = await nodes.start("a")
    assert await refused(a.node.admin.evict("a", "ops")) == "conflict"
    assert await refused(a.node.admin.drain("z", "ops")) == "unknown_instance"
    assert nodes.tables.entries == []


# -- the log -----------------------------------------------------------------------------------


async def test_everything_is_in_the_log_with_who_did_it(nodes: Nodes) -> None:
    a, b, _ = await nodes.start("a", "b", "c")
    admin, shard = a.node.admin, shard_of(nodes, b)
    await admin.pin(shard, "a", "anna")
    await admin.unpin(shard, "anna")
    await admin.freeze(shard, "a look at it", "bert")
    await admin.unfreeze(shard, "bert")
    await admin.drain("c", "cleo")
    await admin.undrain("c", "cleo")
    lines = await nodes.alive[2].node.admin.log(10, None)
    assert [(line.who, line.what) for line in lines] == [
        ("cleo", "undrain"),
        ("cleo", "drain"),
        ("bert", "unfreeze"),
        ("bert", "freeze"),
        ("anna", "unpin"),
        ("anna", "pin"),
    ]
    assert await admin.log(2, lines[3].id) == lines[4:]


async def test_without_the_database_nothing_is_promised(nodes: Nodes) -> None:
    a, b, _ = await nodes.start("a", "b", "c")
    shard = shard_of(nodes, b)
    nodes.journal_away()
    for asked in (a.node.admin.plan(), a.node.admin.move(shard, "a", "ops"), a.node.admin.view()):
        with pytest.raises(JournalError):
            await asked
