"""Whose clock decides: the database's, whatever the machines' clocks say."""

from __future__ import annotations

import asyncio

import pytest

from actors.address import Address
from actors.behaviour import Folded
from actors.clock import SKEW_MAX_MS, DatabaseClock
from actors.core.shard import LEAD_MAX_MS
from actors.journal.contract import Batch, Row, SnapshotRow
from actors.journal.memory import MemoryStore
from tests.support.manual_clock import ManualClock
from tests.support.runtimes import Cluster, Instance, until
from tests.support.toys import Alarm
from tests.support.virtual_time import START_MS, VirtualClock

ANN = Address("alarm", "ann")
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


# -- the clock ---------------------------------------------------------------------------------


def test_before_the_first_comparison_the_machine_tells_the_time() -> None:
    assert DatabaseClock(ManualClock(now_ms=5_000)).now_ms() == 5_000


def test_the_first_comparison_halves_the_round_trip() -> None:
    """given a question sent at 2 s and answered at 2.2 s, then it was read at 2.1 s."""
    machine = ManualClock(now_ms=77)
    machine.advance(2_200)
    clock = DatabaseClock(machine)
    clock.compare(1_000_000.0, sent_s=2.0)
    assert clock.now_ms() == 1_000_100


def test_it_runs_on_the_monotonic_clock_and_not_on_the_wall_clock() -> None:
    machine = ManualClock(now_ms=77)
    clock = DatabaseClock(machine)
    clock.compare(1_000_000.0, sent_s=0.0)
    machine._start_ms += DAY_MS
    machine.advance(250)
    assert clock.now_ms() == 1_000_250


def test_an_answer_that_may_agree_changes_nothing() -> None:
    """A slow network makes comparisons wide; the clock must not waver with them."""
    machine = ManualClock()
    clock = DatabaseClock(machine)
    clock.compare(1_000_000.0, sent_s=0.0)
    machine.advance(3_000)
    assert clock.compare(1_000_100.0, sent_s=0.0) == 0.0
    assert clock.now_ms() == 1_003_000


@pytest.mark.parametrize("step_ms", [-5_000.0, -20.0, 20.0, 5_000.0])
def test_what_the_database_contradicts_is_corrected(step_ms: float) -> None:
    machine = ManualClock()
    clock = DatabaseClock(machine)
    clock.compare(1_000_000.0, sent_s=0.0)
    assert clock.compare(1_000_000.0 + step_ms, sent_s=0.0) == -step_ms
    assert clock.now_ms() == 1_000_000 + step_ms


def test_a_clock_over_a_clock_of_the_database_is_the_same() -> None:
    clock = DatabaseClock(ManualClock())
    assert DatabaseClock.over(clock) is clock


# -- decisions ---------------------------------------------------------------------------------


@pytest.fixture
def timed() -> Cluster:
    """Instances over a database with a clock of its own."""
    cluster = Cluster()
    cluster.store.clock = VirtualClock()
    return cluster


def database_clock(cluster: Cluster) -> VirtualClock:
    assert isinstance(cluster.store.clock, VirtualClock)
    return cluster.store.clock


async def decided_ms(one: Instance) -> int:
    """When the instance decides something now."""
    at_ms: int = await one.reply(ANN, ("unset",))
    return at_ms


@pytest.mark.parametrize("wrong_ms", [-DAY_MS, -HOUR_MS, -1_500, 1_500, HOUR_MS, DAY_MS])
async def test_a_wrong_wall_clock_decides_nothing(timed: Cluster, wrong_ms: int) -> None:
    """given a machine whose wall clock is wrong, when it decides, then by the database's clock."""
    one = timed.new()
    one.clock.wall_offset_ms += wrong_ms
    await one.runtime.start()
    assert abs(await decided_ms(one) - database_clock(timed).now_ms()) < 50
    await timed.stop_all()


async def test_a_wall_clock_that_steps_decides_nothing(timed: Cluster) -> None:
    one = await timed.start()
    for step_ms in (HOUR_MS, -2 * HOUR_MS, DAY_MS):
        one.clock.wall_offset_ms += step_ms
        assert abs(await decided_ms(one) - database_clock(timed).now_ms()) < 50
        await asyncio.sleep(2.0)
    await timed.stop_all()


async def test_timers_fire_by_the_clock_that_decides(timed: Cluster) -> None:
    one = timed.new()
    one.clock.wall_offset_ms -= HOUR_MS
    await one.runtime.start()
    await one.ask(ANN, ("set", database_clock(timed).now_ms() + 60_000))
    await asyncio.sleep(59.0)
    assert not one.alarm.fired
    await until(lambda: one.alarm.fired, wait_max_s=1.5)
    await timed.stop_all()


async def test_owners_with_different_clocks_agree(timed: Cluster) -> None:
    """given an owner whose wall clock is a day ahead, when another takes over, then the shard's
    time goes on from the database's: a hold of five minutes ends in five minutes."""
    ahead = timed.new("one-1")
    ahead.clock.wall_offset_ms += DAY_MS
    await ahead.runtime.start()
    await ahead.ask(ANN, ("set", database_clock(timed).now_ms() + HOUR_MS))
    await timed.stop(ahead)
    after = await timed.start("two-1")
    assert abs(await decided_ms(after) - database_clock(timed).now_ms()) < 50
    await timed.stop_all()


# -- a database's clock that steps -------------------------------------------------------------


async def test_a_small_step_back_lets_the_time_stand_still(timed: Cluster) -> None:
    one = await timed.start()
    first = await decided_ms(one)
    database_clock(timed).wall_offset_ms -= LEAD_MAX_MS - 100
    await asyncio.sleep(2.0)
    database_clock(timed).wall_offset_ms -= 2_000
    await asyncio.sleep(0.1)
    assert await decided_ms(one) >= first
    await timed.stop_all()


@pytest.mark.parametrize("step_ms", [-HOUR_MS, -5_000, 5_000, HOUR_MS])
async def test_a_step_of_the_databases_clock_is_followed(timed: Cluster, step_ms: int) -> None:
    """given a database whose clock steps, then its shards are left until the clocks agree again,
    and afterwards decisions are made by its new time."""
    one = await timed.start()
    await decided_ms(one)
    database_clock(timed).wall_offset_ms += step_ms
    await until(lambda: one.runtime.shards.journal_away, 2.0)
    assert "ms apart" in str(one.runtime.health.problem())
    await until(lambda: not one.runtime.shards.journal_away, 1.0)
    assert abs(await decided_ms(one) - database_clock(timed).now_ms()) < 50
    await timed.stop_all()


async def test_no_row_leads_the_databases_clock(timed: Cluster) -> None:
    """A row from the future is refused as one of a past owner is, and nothing of its shard is
    written: whoever comes after would have to go on from there."""
    one = await timed.start()
    await one.ask(ANN, ("unset",))
    database_clock(timed).wall_offset_ms -= SKEW_MAX_MS + 500
    refused = one.ask(ANN, ("unset",))
    await asyncio.wait([refused])
    assert refused.exception() is not None
    latest_ms = max(row.at_ms for row in timed.store.rows[ANN.slot])
    assert latest_ms <= database_clock(timed).now_ms() + SKEW_MAX_MS + 600
    await timed.stop_all()


async def test_a_database_whose_clock_differs_from_the_first_serves_nothing() -> None:
    cluster = Cluster()
    cluster.store.clock = VirtualClock()
    one = cluster.new(databases=2)
    odd, apart = one.databases[1], VirtualClock()
    apart.wall_offset_ms += 3_000

    async def now_ms() -> float:
        return float(apart.now_ms())

    await one.runtime.start()
    odd.now_ms = now_ms  # type: ignore[method-assign]
    await until(lambda: one.runtime.shards.journal_away, 3.0)
    shards = {number for number in range(256) if number % 2}
    await asyncio.sleep(6.0)
    first, second = one.runtime.shards.journal_answers_s
    assert first > 5.0
    assert second < -5.0, "as good as away: others take its shards, if it answers them"
    del odd.now_ms
    await until(lambda: not one.runtime.shards.journal_away, 5.0)
    assert shards <= one.runtime.shards.epochs().keys()
    await cluster.stop_all()


# -- the time of a shard that was poisoned before ----------------------------------------------


def poison(store: MemoryStore, lead_ms: int) -> None:
    """The last row of the shard was decided by a clock that was ahead by so much."""
    behaviour = Alarm()
    kind, version, payload = behaviour.encode_event(("set", START_MS + lead_ms + 1))
    row = Row(ANN.slot, 1, 0, ANN, kind, version, payload, START_MS + lead_ms)
    store.rows[ANN.slot].append(row)
    store._of_entity[ANN].append(row)


async def test_a_shard_with_a_time_far_ahead_recovers(timed: Cluster) -> None:
    poison(timed.store, DAY_MS)
    one = await timed.start()
    assert abs(await decided_ms(one) - database_clock(timed).now_ms()) < 50
    await timed.stop_all()


async def test_time_goes_on_from_the_last_row_behind_a_snapshot(timed: Cluster) -> None:
    """given a shard whose entity is loaded from a snapshot without a tail, when it is taken over
    by an instance that is a little behind, then its time does not fall."""
    poison(timed.store, LEAD_MAX_MS - 50)
    folded = Folded(Alarm(), Alarm().initial(ANN))
    for row in timed.store.events(ANN):
        folded.add(row, folded.decode(row))
    state = SnapshotRow(ANN.slot, 0, ANN, 1, Alarm().encode_state(folded.state))
    timed.store.write(Batch(snapshots=[state]))
    one = await timed.start()
    assert await decided_ms(one) >= START_MS + LEAD_MAX_MS - 50
    await timed.stop_all()
