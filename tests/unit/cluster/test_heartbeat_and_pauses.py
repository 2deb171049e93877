"""How an instance says that it lives, and how it notices that it stood still."""

from __future__ import annotations

import asyncio

import pytest

from actors.clock import JUMP_S, PauseDetector
from actors.cluster.heartbeat import SMOOTHED_S, LoadRates
from actors.errors import StaleError, UnavailableError
from tests.support.nodes import Nodes
from tests.support.runtimes import until
from tests.support.virtual_time import VirtualClock

# -- rates -------------------------------------------------------------------------------------


def test_a_steady_rate_is_approached_and_kept() -> None:
    rates = LoadRates()
    for beat in range(1, 601):
        now = rates.update({7: beat * 50}, 0.5)
    assert now[7] == pytest.approx(100, rel=0.01)


def test_a_gust_hardly_shows() -> None:
    rates = LoadRates()
    for beat in range(1, 301):
        rates.update({7: beat * 50}, 0.5)
    assert rates.update({7: 300 * 50 + 1_000}, 0.5)[7] < 100 + 2_000 * 0.5 / SMOOTHED_S


def test_a_count_that_fell_is_that_of_a_new_claim() -> None:
    rates = LoadRates()
    rates.update({7: 1_000}, 0.5)
    assert rates.update({7: 10}, 0.5)[7] < 1_000 / 0.5 * 0.5 / SMOOTHED_S + 10
    assert rates.update({7: 10}, 0.5)[7] >= 0


def test_a_shard_that_is_gone_is_forgotten() -> None:
    rates = LoadRates()
    rates.update({7: 100, 8: 100}, 0.5)
    assert rates.update({8: 200}, 0.5).keys() == {8}
    assert rates.update({7: 100, 8: 300}, 0.5)[7] == pytest.approx(200 * 0.5 / SMOOTHED_S)


# -- beats -------------------------------------------------------------------------------------


async def test_beats_grow_and_tell_load_and_health(nodes: Nodes) -> None:
    a, *_ = await nodes.start("a", "b")
    address = nodes.address_on(a)
    await a.ask(address, ("add", 1))
    first = nodes.members.announced["a"][0].beat
    await asyncio.sleep(5.0)
    member = nodes.members.announced["a"][0]
    assert 9 <= member.beat - first <= 11
    assert {shard for shard, _, _ in member.health.loads} == set(a.shards)
    assert member.health.commit_age_ms is not None
    # At rest it was given a snapshot, which is a commit, too.
    assert 1_000 < member.health.commit_age_ms <= 5_100
    [answers_s] = member.health.journal_answers_s
    assert answers_s > 4.0


async def test_an_outage_of_redis_is_told_and_over_when_it_is_over(nodes: Nodes) -> None:
    a, *_ = await nodes.start("a", "b")
    nodes.redis_away()
    await asyncio.sleep(1.0)
    assert a.node.heartbeat.problem == "membership is out of reach"
    nodes.redis_back(empty=True)
    await asyncio.sleep(1.0)
    assert a.node.heartbeat.problem is None
    assert set(nodes.members.announced) == {"a", "b"}


# -- the guard ---------------------------------------------------------------------------------


class JumpingClock(VirtualClock):
    """A clock that jumps while the loop does not."""

    jumped_s = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.jumped_s


async def test_a_jump_is_noticed_once_and_by_whoever_asks_first() -> None:
    clock, jumps = JumpingClock(), []
    guard = PauseDetector(clock, asyncio.get_running_loop())
    guard.start(lambda: jumps.append(clock.monotonic()))
    await asyncio.sleep(10.0)
    assert jumps == []
    clock.jumped_s = JUMP_S + 0.2
    assert guard.jumped(clock.monotonic())
    assert not guard.jumped(clock.monotonic())
    await asyncio.sleep(1.0)
    assert len(jumps) == 1
    guard.close()


async def test_a_jump_that_nobody_asks_about_is_noticed_by_the_tick() -> None:
    clock, jumps = JumpingClock(), []
    guard = PauseDetector(clock, asyncio.get_running_loop())
    guard.start(lambda: jumps.append(clock.monotonic()))
    clock.jumped_s = 5.0
    await asyncio.sleep(0.15)
    assert len(jumps) == 1
    assert guard.lag_s == pytest.approx(5.0)
    await asyncio.sleep(5.0)
    assert guard.lag_s < 0.1, "what is told is about the last moments"
    guard.close()


async def test_a_short_pause_is_no_jump() -> None:
    clock, jumps = JumpingClock(), []
    guard = PauseDetector(clock, asyncio.get_running_loop())
    guard.start(lambda: jumps.append(clock.monotonic()))
    for _ in range(10):
        clock.jumped_s += JUMP_S - 0.2
        await asyncio.sleep(0.15)
    assert jumps == []
    guard.close()
    clock.jumped_s += 60
    assert not guard.jumped(clock.monotonic()), "it is over"


async def test_nothing_is_decided_after_a_pause_before_the_journal(nodes: Nodes) -> None:
    """Another instance may own the shards by now."""
    a, b, _ = await nodes.start("a", "b", "c")
    mine, other = nodes.address_on(a), nodes.address_on(b)
    await a.reply(mine, ("add", 1))
    a.stand_still()
    await asyncio.sleep(JUMP_S + 0.1)
    a.journal.pause()
    asked = a.ask(mine, "get")
    a.go_on()
    await asyncio.sleep(1.0)
    assert not asked.done()
    assert not a.node.runtime.shards.trustworthy
    for slot in (mine.slot, other.slot):
        with pytest.raises(StaleError):
            a.node.availability.check(slot)
    with pytest.raises(UnavailableError):
        await b.reply(mine, "get", timeout_s=0.5)
    a.journal.resume()
    assert (await asked).reply == 1
    await until(lambda: a.node.runtime.shards.trustworthy, 1.0)
    a.node.availability.check(mine.slot)
