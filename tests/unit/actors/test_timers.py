"""A timer fires when it is due, whatever happened to its instance meanwhile."""

from __future__ import annotations

import asyncio

from actors.address import Address
from actors.core.context import Limits
from tests.support.runtimes import Cluster, Instance, pass_time, until
from tests.support.virtual_time import START_MS

ANN = Address("alarm", "ann")
MINUTE_MS = 60_000


async def test_a_timer_fires_on_time(one: Instance) -> None:
    await one.ask(ANN, ("set", START_MS + 300_000))
    await pass_time(299.9)
    assert one.alarm.fired == []
    await until(lambda: one.alarm.fired)
    assert 300_000 <= one.alarm.fired[0][1] - START_MS <= 300_010


async def test_a_disarmed_timer_does_not_fire(one: Instance) -> None:
    await one.ask(ANN, ("set", START_MS + MINUTE_MS))
    await one.ask(ANN, ("unset",))
    await pass_time(120.0)
    assert one.alarm.fired == []
    assert one.runtime.health.statistics().timers == 0


async def test_a_timer_moves_to_an_earlier_and_to_a_later_time(one: Instance) -> None:
    ben = Address("alarm", "ben")
    await one.ask(ANN, ("set", START_MS + 2 * MINUTE_MS))
    await one.ask(ANN, ("set", START_MS + 1 * MINUTE_MS))
    await one.ask(ben, ("set", START_MS + 1 * MINUTE_MS))
    await one.ask(ben, ("set", START_MS + 2 * MINUTE_MS))
    await pass_time(60.5)
    assert [address for address, _ in one.alarm.fired] == [ANN]
    await pass_time(60.0)
    assert [address for address, _ in one.alarm.fired] == [ANN, ben]


async def test_a_timer_at_the_moment_of_an_idle_one_is_not_put_off(one: Instance) -> None:
    await one.ask(ANN, ("set", START_MS + MINUTE_MS))
    await pass_time(60.0 - 0.0005)
    one.alarm.stubborn = True
    # TimerFired is in the mailbox behind a command that has just armed the timer anew.
    moved = one.ask(ANN, ("set", START_MS + MINUTE_MS + 25))
    one.runtime._entities._timer_fired(one.runtime.shards.by_number[ANN.slot], ANN)
    await moved
    await until(lambda: len(one.alarm.fired) == 2, wait_max_s=0.1)
    assert one.alarm.fired[1][1] - START_MS <= MINUTE_MS + 30


async def test_a_timer_armed_for_the_past_fires_at_once(one: Instance) -> None:
    await one.ask(ANN, ("set", START_MS - MINUTE_MS))
    await until(lambda: one.alarm.fired, wait_max_s=0.1)


async def test_timers_survive_the_end_of_their_instance(cluster: Cluster, one: Instance) -> None:
    addresses = [Address("alarm", f"user-{number}") for number in range(500)]
    asked = [one.ask(address, ("set", START_MS + MINUTE_MS)) for address in addresses]
    await asyncio.gather(*asked)
    await cluster.stop(one)
    two = await cluster.start("one-2")
    await until(lambda: two.runtime.health.statistics().timers == 500)
    assert two.journal.loads == 3
    await pass_time(61.0)
    assert {address for address, _ in two.alarm.fired} == set(addresses)


async def test_a_timer_due_while_nobody_ran_fires_after_the_start(
    cluster: Cluster, one: Instance
) -> None:
    await one.ask(ANN, ("set", START_MS + MINUTE_MS))
    await cluster.stop(one)
    await pass_time(600.0)
    two = await cluster.start("one-2")
    await until(lambda: two.alarm.fired, wait_max_s=1.0)


async def test_timers_survive_passivation(cluster: Cluster) -> None:
    one = await cluster.start(limits=Limits(entities_max=10))
    await one.ask(ANN, ("set", START_MS + MINUTE_MS))
    others = [Address("alarm", f"user-{number}") for number in range(50)]
    for start in range(0, 50, 5):
        await asyncio.gather(*[one.ask(a, ("unset",)) for a in others[start:][:5]])
    assert one.runtime.health.statistics().entities <= 11
    await pass_time(59.0)
    await until(lambda: one.alarm.fired)
    assert one.alarm.fired[0][0] == ANN


async def test_a_timer_entry_is_written_once_and_taken_back_later(
    cluster: Cluster, one: Instance
) -> None:
    before = one.journal.appends
    await one.ask(ANN, ("set", START_MS + 1_000))
    assert one.journal.appends == before + 1
    assert ANN in cluster.store.timers
    await pass_time(10.0)
    assert ANN not in cluster.store.timers
    await one.ask(ANN, ("set", START_MS + MINUTE_MS))
    assert ANN in cluster.store.timers


async def test_arming_again_writes_no_second_timer_entry(one: Instance) -> None:
    for number in range(10):
        await one.ask(ANN, ("set", START_MS + MINUTE_MS + number))
    assert one.journal.timers_written == 1


async def test_a_timer_entry_of_an_earlier_owner_is_taken_back(
    cluster: Cluster, one: Instance
) -> None:
    await one.ask(ANN, ("set", START_MS + MINUTE_MS))
    await one.ask(ANN, ("unset",))
    two = await cluster.start("two-1")
    assert ANN in cluster.store.timers
    await until(lambda: ANN not in cluster.store.timers)
    assert two.runtime.health.problem() is None


async def test_an_ignored_timer_does_not_fire_in_a_tight_loop(one: Instance) -> None:
    one.alarm.stubborn = True
    await one.ask(ANN, ("set", START_MS + 1_000))
    await pass_time(11.0)
    assert 20 <= len(one.alarm.fired) <= 41


async def test_a_timer_whose_command_crashed_fires_again_later(one: Instance) -> None:
    one.alarm.crashing = True
    await one.ask(ANN, ("set", START_MS + 1_000))
    await pass_time(5.0)
    assert len(one.alarm.fired) == 1
    one.alarm.crashing = False
    await until(lambda: len(one.alarm.fired) == 2)
    assert one.runtime.health.statistics().crashes == 1
    assert one.runtime.health.problem() is None


async def test_thousands_of_timers_due_at_one_moment_all_fire(one: Instance) -> None:
    addresses = [Address("alarm", f"user-{number}") for number in range(3_000)]
    for start in range(0, 3_000, 1_000):
        asked = [one.ask(a, ("set", START_MS + MINUTE_MS)) for a in addresses[start:][:1_000]]
        await asyncio.gather(*asked)
    await pass_time(61.0)
    assert len(one.alarm.fired) == 3_000


async def test_a_wall_clock_that_is_set_forward_is_noticed_soon(one: Instance) -> None:
    await one.ask(ANN, ("set", START_MS + 10 * MINUTE_MS))
    await pass_time(1.0)
    one.clock.wall_offset_ms += 10 * MINUTE_MS
    await until(lambda: one.alarm.fired, wait_max_s=0.6)
