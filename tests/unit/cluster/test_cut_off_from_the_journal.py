"""An instance that cannot reach PostgreSQL, while others can, is replaced; and only then."""

from __future__ import annotations

import asyncio

import pytest

from actors.address import Address
from actors.errors import StaleError, UnavailableError
from tests.support.nodes import Node, Nodes
from tests.support.runtimes import until

REPLACED_MAX_S = 10.0
"""The promise, from the cut on."""


def shards_of(nodes: Nodes, node: Node) -> int:
    return sum(owner == node.name for owner in nodes.owners().values())


async def replaced(nodes: Nodes, sick: Node, within_s: float = REPLACED_MAX_S) -> float:
    """Until the others serve everything; returns how long it took."""
    began_s = nodes.clock.monotonic()
    others = nodes.others(sick)

    def served() -> bool:
        return sum(len(node.shards) for node in others) == 256

    await until(served, within_s)
    return nodes.clock.monotonic() - began_s


async def counted(node: Node, address: Address, times: int) -> int:
    """How many of so many increments are acknowledged."""
    acknowledged = 0
    for _ in range(times):
        try:
            await node.reply(address, ("add", 1), timeout_s=0.5)
            acknowledged += 1
        except UnavailableError:
            await asyncio.sleep(0.1)
    return acknowledged


@pytest.mark.parametrize("leads", [False, True])
async def test_who_alone_lost_the_journal_is_replaced(nodes: Nodes, leads: bool) -> None:
    """given an instance that alone cannot reach PostgreSQL, be it the leader or not, then its
    shards are served elsewhere within 10 s, and nothing acknowledged is lost."""
    await nodes.start("a", "b", "c")
    leader = nodes.leader()
    assert leader is not None
    sick = leader if leads else nodes.others(leader)[0]
    well = nodes.others(sick)[0]
    address = nodes.address_on(sick)
    acknowledged = await counted(well, address, 3)
    sick.lose_journal()
    took_s = await replaced(nodes, sick)
    assert took_s > 4.0, "a short outage moves nothing"
    acknowledged += await counted(well, address, 3)
    assert acknowledged == 6
    assert nodes.state(address) == acknowledged
    sick.find_journal()
    await nodes.settled()


async def test_its_own_answers_are_refused_until_it_is_back(nodes: Nodes) -> None:
    await nodes.start("a", "b", "c")
    leader = nodes.leader()
    assert leader is not None
    sick = nodes.others(leader)[0]
    address = nodes.address_on(sick)
    await sick.reply(address, ("add", 1))
    sick.lose_journal()
    await replaced(nodes, sick)
    for _ in range(6):
        with pytest.raises(UnavailableError):
            await sick.reply(address, ("add", 1), timeout_s=1.0)
        with pytest.raises(StaleError):
            sick.node.availability.check(address.slot)
        assert sick.node.runtime.health.problem() is not None, "it is not ready"
        await asyncio.sleep(0.5)
    sick.find_journal()
    await nodes.settled()
    assert len(sick.shards) > 70, "it comes back by itself"
    await sick.reply(address, ("add", 1))
    assert nodes.state(address) == 2


async def test_it_is_given_nothing_before_it_has_been_well_for_a_while(nodes: Nodes) -> None:
    """A connection that comes and goes must not move shards each time."""
    await nodes.start("a", "b", "c")
    leader = nodes.leader()
    assert leader is not None
    sick = nodes.others(leader)[0]
    sick.lose_journal()
    await replaced(nodes, sick)
    claims = len(nodes.store.claims)
    for _ in range(2):
        sick.find_journal()
        await asyncio.sleep(3.0)
        sick.lose_journal()
        await asyncio.sleep(6.0)
    assert len(nodes.store.claims) == claims
    sick.find_journal()
    await nodes.settled()


async def test_a_short_outage_of_one_moves_nothing(nodes: Nodes) -> None:
    await nodes.start("a", "b", "c")
    claims, before = len(nodes.store.claims), nodes.owners()
    for node in list(nodes.alive):
        node.lose_journal()
        await asyncio.sleep(3.0)
        node.find_journal()
        await asyncio.sleep(6.0)
    await nodes.settled()
    assert (len(nodes.store.claims), nodes.owners()) == (claims, before)


async def test_when_nobody_can_commit_nobody_is_moved(nodes: Nodes) -> None:
    """... nor afterwards, though some find the journal later than others."""
    await nodes.start("a", "b", "c")
    claims, before = len(nodes.store.claims), nodes.owners()
    nodes.journal_away()
    await asyncio.sleep(15.0)
    nodes.tables.away = nodes.standby.away = False
    for node in nodes.alive:
        node.journal.come_back()
        await asyncio.sleep(1.5)
    await asyncio.sleep(8.0)
    await nodes.settled()
    assert (len(nodes.store.claims), nodes.owners()) == (claims, before)


@pytest.mark.parametrize("latency_s", [0.3, 1.2])
async def test_a_slow_journal_moves_nothing(nodes: Nodes, latency_s: float) -> None:
    """given one instance for which every statement takes long, then it keeps its shards."""
    a, *_ = await nodes.start("a", "b", "c")
    claims, before = len(nodes.store.claims), nodes.owners()
    a.journal.latency_s = latency_s
    await asyncio.sleep(20.0)
    a.journal.latency_s = 0.002
    await nodes.settled()
    assert (len(nodes.store.claims), nodes.owners()) == (claims, before)


async def test_statements_that_hang_are_no_answers_either(nodes: Nodes) -> None:
    """given packets that are dropped, so that nothing fails and everything hangs."""
    await nodes.start("a", "b", "c")
    leader = nodes.leader()
    assert leader is not None
    sick = nodes.others(leader)[0]
    for store in (sick.journal, sick.placement, sick.operations, sick.standby):
        store.pause()
    await replaced(nodes, sick)
    for store in (sick.journal, sick.placement, sick.operations, sick.standby):
        store.resume()
    await nodes.settled()


async def test_who_reaches_no_store_and_answers_on_its_links_is_replaced(nodes: Nodes) -> None:
    """given an instance that lost Redis together with PostgreSQL, when it still answers pings of
    the others, then what it does not say of its health counts."""
    await nodes.start("a", "b", "c")
    leader = nodes.leader()
    assert leader is not None
    sick = nodes.others(leader)[0]
    sick.lose_journal()
    sick.membership.go_away()
    sick.election.go_away()
    await replaced(nodes, sick)
    sick.find_journal()
    sick.membership.come_back()
    sick.election.come_back()
    await nodes.settled()


async def test_who_lost_redis_alone_keeps_its_shards(nodes: Nodes) -> None:
    """It is heard in the standby, which is in PostgreSQL: it can commit."""
    await nodes.start("a", "b", "c")
    leader = nodes.leader()
    assert leader is not None
    lonely = nodes.others(leader)[0]
    before = shards_of(nodes, lonely)
    lonely.membership.go_away()
    await asyncio.sleep(12.0)
    assert shards_of(nodes, lonely) == before
    lonely.membership.come_back()
    await nodes.settled()


async def test_without_redis_who_lost_the_journal_is_replaced(nodes: Nodes) -> None:
    await nodes.start("a", "b", "c")
    nodes.redis_away()
    await asyncio.sleep(10.0)
    leader = nodes.leader()
    assert leader is not None
    sick = nodes.others(leader)[0]
    sick.lose_journal()
    await replaced(nodes, sick)
    nodes.redis_back(empty=True)
    sick.find_journal()
    await nodes.settled()


async def test_what_an_operator_sees(nodes: Nodes) -> None:
    await nodes.start("a", "b", "c")
    leader = nodes.leader()
    assert leader is not None
    sick = nodes.others(leader)[0]
    sick.lose_journal()
    await replaced(nodes, sick)
    view = await leader.process.spawn(leader.node.admin.view())
    assert {each.instance: each.state for each in view.instances}[sick.name] == "cut_off"
    sick.find_journal()
    await nodes.settled()


# -- wrong clocks ------------------------------------------------------------------------------


async def test_instances_with_wrong_clocks_decide_by_one(nodes: Nodes) -> None:
    """given machines that are minutes and hours apart, when a shard moves from one to the other,
    then its time goes on as the database's does."""
    wrong_ms = {"a": -3_600_000, "b": 90_000, "c": 86_400_000}
    for name, ms in wrong_ms.items():
        node = nodes.new(name)
        node.clock.wall_offset_ms += ms
        await node.start()
    await nodes.settled()
    alarm = Address("alarm", "ann")
    owner = nodes.owner(alarm)
    other = nodes.others(owner)[0]
    first_ms = await other.reply(alarm, ("unset",))
    owner.lose_journal()
    await replaced(nodes, owner)
    then_ms = await other.reply(alarm, ("unset",))
    assert first_ms < then_ms
    assert abs(then_ms - nodes.clock.now_ms()) < 100
    owner.find_journal()
    await nodes.settled()
