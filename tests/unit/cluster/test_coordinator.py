"""The leader says where shards ought to be, in good order, and nobody else does."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from actors.cluster.coordinator import ShardCoordinator
from actors.placement.inputs import Rules
from actors.placement.planner import score
from tests.support.nodes import Nodes
from tests.support.runtimes import until


async def test_only_the_leader_plans(nodes: Nodes) -> None:
    await nodes.start("a", "b", "c")
    await asyncio.sleep(5.0)
    assert [node.name for node in nodes.alive if node.node.sharding.coordinator.rounds] == [
        node.name for node in nodes.alive if node.leads
    ]


async def test_a_leader_whose_term_is_over_writes_nothing(nodes: Nodes) -> None:
    """It was stopped in the middle of a round, and another one led meanwhile."""
    await nodes.start("a", "b", "c")
    old = nodes.leader()
    assert old is not None
    old.stand_still()
    nodes.alive.remove(old)
    await until(lambda: nodes.leader() is not None, 10.0)
    await nodes.settled()
    nodes.alive.append(old)
    wished = {shard: row.desired_term for shard, row in enumerate(nodes.tables.shards)}
    old.go_on()
    await nodes.settled()
    assert nodes.tables.leadership.term == 2
    assert all(row.desired_term >= wished[shard] for shard, row in enumerate(nodes.tables.shards))
    assert [node.name for node in nodes.alive if node.leads] != [old.name]


async def test_hand_overs_are_paced_and_takeovers_are_not(nodes: Nodes) -> None:
    rules = Rules(moves_max=2, moves_per_instance_max=1)
    await nodes.start("a", "b", "c", rules=rules)
    joining = nodes.new("d", rules=rules)
    for node in nodes.alive:
        node.journal.latency_s = 0.02
    await joining.start()
    most = 0

    def joined() -> bool:
        nonlocal most
        under_way = sum(
            row.desired != lease.owner
            for row, lease in zip(nodes.tables.shards, nodes.store.leases, strict=True)
        )
        most = max(most, under_way)
        return len(joining.shards) > 50

    await until(joined, 60.0)
    assert most <= 2
    await nodes.settled()
    await nodes.kill(next(node for node in nodes.alive if not node.leads))
    wanted: set[int] = set()

    def taken_over() -> bool:
        wanted.add(len(nodes.owners()))
        return len(nodes.owners()) == 256

    await until(taken_over, 10.0)
    assert len(wanted) <= 4, "all at once, by three claims at most"


async def test_joins_that_come_together_are_planned_together(nodes: Nodes) -> None:
    await nodes.start("a", "b")
    claims = len(nodes.store.claims)
    for name in ("c", "d"):
        await nodes.new(name).start()
        await asyncio.sleep(0.1)
    await nodes.settled()
    moved = [claim.shard for claim in nodes.store.claims[claims:]]
    assert len(moved) == len(set(moved)), "no shard moved twice"


async def test_once_everything_is_where_it_ought_to_be_nothing_moves(nodes: Nodes) -> None:
    await nodes.start("a", "b", "c")
    claims = len(nodes.store.claims)
    await asyncio.sleep(60.0)
    assert len(nodes.store.claims) == claims


async def test_an_operators_move_under_way_is_not_taken_back_by_balance(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given two moves that operators ask for, of the shards that balance would send back first.
    Then both are begun once. The leader took one back to begin the other, and so on, round after
    round without a pause, and nothing else ran."""
    rules = Rules(count_slack=0.0)
    a, b = await nodes.start("a", "b", rules=rules)
    asked = sorted(a.shards, key=lambda shard: score(shard, "b") / score(shard, "a"))[:2]
    claims, kicks, kick = len(nodes.store.claims), itertools.count(), ShardCoordinator.kick

    def counted(coordinator: ShardCoordinator) -> None:
        assert next(kicks) < 200, "the leader writes and writes"
        kick(coordinator)

    monkeypatch.setattr(ShardCoordinator, "kick", counted)
    for shard in asked:
        await a.node.admin.move(shard, "b", "ops")
    await until(lambda: set(asked) <= {each.shard for each in nodes.store.claims[claims:]}, 30.0)
    await nodes.settled()
    assert abs(len(a.shards) - len(b.shards)) <= 1


async def test_without_the_database_the_leader_waits_and_goes_on(nodes: Nodes) -> None:
    await nodes.start("a", "b", "c")
    joining = nodes.new("d")
    await joining.start()
    nodes.journal_away()
    await asyncio.sleep(5.0)
    nodes.journal_back()
    await nodes.settled()
    assert len(joining.shards) > 50
