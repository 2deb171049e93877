"""A broken invariant harms one caller, then the entity is what the journal says."""

from __future__ import annotations

import asyncio
import logging

import pytest

from actors.address import Address
from actors.core.context import Limits
from actors.errors import EntityCrashedError, NotOwnedError
from tests.support.runtimes import Cluster, Instance, pass_time, same_shard, until
from tests.support.toys import Counter

ANN = Address("counter", "ann")
A, B = Address("pair", "left", "a"), Address("pair", "left", "b")


@pytest.mark.parametrize("command", ["crash", "poison"])
async def test_a_crash_leaves_nothing_half_applied(one: Instance, command: str) -> None:
    await one.ask(ANN, ("add", 5))
    with pytest.raises(EntityCrashedError):
        await one.ask(ANN, command)
    assert await one.reply(ANN, "get") == 5
    assert one.runtime.health.statistics().crashes == 1


async def test_an_event_for_an_entity_that_is_no_companion_is_a_crash(
    cluster: Cluster, one: Instance
) -> None:
    ben = same_shard("counter", 2)[1]
    with pytest.raises(EntityCrashedError):
        await one.ask(same_shard("counter", 1)[0], ("elsewhere", ben))
    assert cluster.store.events(ben) == []


async def test_a_behaviour_without_a_first_state_is_a_crash(
    one: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal is asked only once."""
    monkeypatch.setattr(Counter, "initial", lambda self, address: None)
    with pytest.raises(EntityCrashedError):
        await one.ask(ANN, "get")
    assert one.journal.loads == 1


async def test_messages_around_a_crash_are_decided(one: Instance) -> None:
    commands = [("add", 1), ("add", 1), "crash", ("add", 1)]
    results = await asyncio.gather(*[one.ask(ANN, c) for c in commands], return_exceptions=True)
    assert [getattr(result, "reply", type(result)) for result in results] == [
        1,
        2,
        EntityCrashedError,
        3,
    ]


async def test_an_entity_is_reloaded_once_its_events_are_in_the_journal(one: Instance) -> None:
    await one.reply(ANN, "get")
    one.journal.latency_s = 0.1
    added = one.ask(ANN, ("add", 5))
    crashed = one.ask(ANN, "crash")
    later = one.ask(ANN, "get")
    with pytest.raises(EntityCrashedError):
        await crashed
    assert not added.done()
    assert ((await added).reply, (await later).reply) == (5, 5)
    assert one.journal.loads == 2


async def test_companions_of_a_crashed_decision_are_loaded_again_too(one: Instance) -> None:
    await one.ask(A, ("move", 3))
    before = one.runtime.health.statistics().loads
    with pytest.raises(EntityCrashedError):
        await one.ask(A, "crash")
    assert await one.runtime.load_state([A, B]) == [7, 13]
    assert one.runtime.health.statistics().loads == before + 2


async def test_neighbours_of_a_crashed_entity_stay_in_memory(one: Instance) -> None:
    crashing, healthy = same_shard("counter", 2)
    await one.ask(healthy, ("add", 1))
    loads = one.journal.loads
    with pytest.raises(EntityCrashedError):
        await one.ask(crashing, "crash")
    assert await one.reply(healthy, "get") == 1
    assert one.journal.loads == loads + 1


async def test_the_log_names_the_place_and_never_the_content(
    one: Instance, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(EntityCrashedError), caplog.at_level(logging.ERROR):
        await one.ask(ANN, "crash")
    assert "counter/ann crashed on str: ValueError at" in caplog.text
    assert "toys.py" in caplog.text
    assert "secret" not in caplog.text


async def test_a_crash_loop_fences_its_shard_for_a_while_and_no_other(cluster: Cluster) -> None:
    one = await cluster.start(limits=Limits(crashes_max=2, crash_backoff_s=5.0))
    await one.ask(ANN, ("add", 5))
    for _ in range(3):
        with pytest.raises(EntityCrashedError):
            await one.ask(ANN, "crash")
    with pytest.raises(NotOwnedError) as refusal:
        await one.ask(ANN, "get")
    assert refusal.value.retry_after_s > 0
    assert one.runtime.health.problem() is not None
    assert await one.reply(Address("counter", "ben"), "get") == 0
    await until(lambda: one.runtime.health.problem() is None)
    assert await one.reply(ANN, "get") == 5
    assert one.runtime.health.statistics().epochs[ANN.slot] == 2
    assert one.views.lost_shards == []


async def test_crashes_that_are_far_apart_fence_nothing(cluster: Cluster) -> None:
    one = await cluster.start(limits=Limits(crashes_max=2))
    for _ in range(6):
        with pytest.raises(EntityCrashedError):
            await one.ask(ANN, "crash")
        await pass_time(31.0)
    assert one.runtime.health.statistics().epochs[ANN.slot] == 1


async def test_what_was_submitted_before_a_crash_loop_is_still_answered(cluster: Cluster) -> None:
    one = await cluster.start(limits=Limits(crashes_max=0))
    other = same_shard("counter", 2)
    await one.runtime.load_state(other)
    one.journal.latency_s = 0.5
    added = one.ask(other[0], ("add", 5))
    with pytest.raises(EntityCrashedError):
        await one.ask(other[1], "crash")
    assert (await added).reply == 5
    await until(lambda: one.runtime.health.problem() is None)
    assert await one.reply(other[0], "get") == 5


# -- entities that cannot be read ------------------------------------------------------------------


def unreadable(instance: Instance, tries: int) -> None:
    """The bank's events cannot be decoded so many times, then they can."""
    decode, left = instance.bank.decode_event, [tries]

    def broken(event_type: str, version: int, payload: bytes) -> object:
        if left[0]:
            left[0] -= 1
            raise MemoryError("secret words of a user")
        return decode(event_type, version, payload)

    instance.bank.decode_event = broken  # type: ignore[method-assign]


@pytest.mark.parametrize("tries", [1, 4])
async def test_a_recovery_that_fails_is_repeated(cluster: Cluster, tries: int) -> None:
    """
    Given an owner that died between two steps of a transfer
    When the next owner cannot read the payer at first
    Then it reads the payer again by itself, and the transfer ends, though nobody asks.
    """
    rich, poor = Address("bank", "rich"), Address("bank", "poor")
    one = await cluster.start(shards={rich.slot, poor.slot})
    await one.reply(rich, ("deposit", "d1", 100))
    one.journal.latency_s = 0.01
    one.ask(rich, ("send", "t1", "poor", 40)).add_done_callback(lambda sent: sent.exception())
    await until(lambda: len(cluster.store.events(rich)) == 2)
    one.journal.pause()
    two = cluster.new("two-1")
    unreadable(two, tries)
    await two.runtime.start({rich.slot, poor.slot})
    await until(lambda: two.runtime.health.statistics().unreadable == 1)
    await until(lambda: len(cluster.store.events(rich)) == 3)
    assert two.runtime.health.statistics().unreadable == 0
    assert two.runtime.health.statistics().crashes == tries
    await until(lambda: rich not in cluster.store.timers)
    await pass_time(300)
    assert two.runtime.health.statistics().crashes == tries


async def test_an_entity_nobody_can_read_is_tried_ever_more_rarely(
    cluster: Cluster,
) -> None:
    rich = Address("bank", "rich")
    one = await cluster.start(shards=[rich.slot])
    await one.reply(rich, ("deposit", "d1", 100))
    await cluster.stop(one)
    two = cluster.new("two-1")
    unreadable(two, 10**9)
    await two.runtime.start([rich.slot])
    for _ in range(3):
        with pytest.raises(EntityCrashedError):
            await two.reply(rich, "get")
    loads = two.journal.loads
    await pass_time(3600)
    assert 60 <= two.journal.loads - loads <= 130
    assert two.runtime.health.statistics().unreadable == 1


async def test_an_unreadable_entity_fences_nothing(cluster: Cluster, one: Instance) -> None:
    """
    Given events that this release cannot read, as after an upgrade that is under way
    When its user asks again and again
    Then the user is refused, and everybody else in the shard is served.
    """
    broken, healthy = same_shard("counter", 2)
    await one.ask(healthy, ("add", 1))
    one.counter.unreadable.add(broken.key)
    for _ in range(50):
        with pytest.raises(EntityCrashedError):
            await one.ask(broken, "get")
        assert await one.reply(healthy, "get") == 1
    assert one.runtime.health.statistics().epochs[healthy.slot] == 1
    assert one.runtime.health.statistics().unreadable == 1


async def test_a_timer_of_an_unknown_kind_is_left_alone(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    """A newer release may have armed it; an owner that knows the kind finds it again."""
    newer = Address("newer", "ann")
    cluster.store.timers[newer] = newer.slot
    one = await cluster.start()
    assert await one.reply(Address("counter", "ben"), "get") == 0
    await pass_time(60.0)
    assert newer in cluster.store.timers
    assert "newer/ann has a timer, and a kind that is not known here" in caplog.text
    assert not one.runtime.failed.done()
