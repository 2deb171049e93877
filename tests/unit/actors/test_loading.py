"""Entities come from the journal when they are needed and leave memory when there are too many."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import pytest

from actors.address import Address
from actors.core.context import Limits
from actors.errors import DeadlineExceededError, EntityCrashedError
from actors.journal.contract import Batch
from tests.support.runtimes import Cluster, Instance, pass_time, until

ANN = Address("counter", "ann")
A, B = Address("pair", "left", "a"), Address("pair", "left", "b")


async def test_an_entity_is_what_its_events_made_it(cluster: Cluster, one: Instance) -> None:
    for amount in (1, 2, 3):
        await one.ask(ANN, ("add", amount))
    two = await cluster.start("two-1")
    assert await two.reply(ANN, "get") == 6


async def test_many_cold_entities_are_loaded_with_few_queries(one: Instance) -> None:
    addresses = [Address("counter", f"user-{number}") for number in range(1_000)]
    states = await one.runtime.load_state(addresses)
    assert states == [0] * 1_000
    assert one.journal.loads == 5


async def test_at_most_two_loads_run_at_a_time(one: Instance) -> None:
    one.journal.latency_s = 1.0
    addresses = [Address("counter", f"user-{number}") for number in range(1_000)]
    began = one.clock.monotonic()
    await one.runtime.load_state(addresses)
    assert one.clock.monotonic() - began == pytest.approx(3.0)


async def test_load_state_tells_the_newest_states_in_the_order_asked(one: Instance) -> None:
    ben = Address("counter", "ben")
    await one.ask(ANN, ("add", 5))
    assert await one.runtime.load_state([ben, ANN, ben]) == [0, 5, 0]


async def test_callers_come_before_recovery(cluster: Cluster, one: Instance) -> None:
    marked = [Address("alarm", f"user-{number}") for number in range(1_000)]
    far_ms = one.clock.now_ms() + 10**9
    await asyncio.gather(*[one.ask(address, ("set", far_ms)) for address in marked])
    two = cluster.new("two-1")
    two.journal.latency_s = 0.5
    await two.runtime.start()
    began = two.clock.monotonic()
    assert await two.reply(ANN, "get") == 0
    assert two.clock.monotonic() - began <= 1.0
    await until(lambda: two.runtime.health.statistics().timers == 1_000)
    assert two.clock.monotonic() - began >= 2.0


async def test_only_so_many_entities_stay_in_memory(cluster: Cluster) -> None:
    one = await cluster.start(limits=Limits(entities_max=100))
    addresses = [Address("counter", f"user-{number}") for number in range(1_000)]
    for start in range(0, 1_000, 50):
        await asyncio.gather(*[one.ask(a, ("add", 1)) for a in addresses[start:][:50]])
    assert one.runtime.health.statistics().entities <= 151
    assert await one.runtime.load_state(addresses) == [1] * 1_000


async def test_an_entity_in_use_stays_in_memory(cluster: Cluster) -> None:
    one = await cluster.start(limits=Limits(entities_max=10))
    for number in range(200):
        await one.ask(Address("counter", f"user-{number}"), ("add", 1))
        await one.ask(ANN, ("add", 1))
    assert one.runtime.health.statistics().loads <= 202


async def test_an_entity_with_uncommitted_events_is_not_forgotten(cluster: Cluster) -> None:
    one = await cluster.start(limits=Limits(entities_max=5))
    addresses = [Address("counter", f"user-{number}") for number in range(50)]
    await one.runtime.load_state(addresses[:5])
    answers = [one.ask(address, ("add", 1)) for address in addresses]
    await asyncio.gather(*answers)
    assert await one.runtime.load_state(addresses) == [1] * 50


async def test_enough_event_bytes_make_a_snapshot_that_is_used(cluster: Cluster) -> None:
    one = await cluster.start(limits=Limits(snapshot_bytes_min=1_000))
    for _ in range(100):
        await one.ask(ANN, ("add", 1))
        await one.ask(ANN, ("pad", 100))
    snapshot = cluster.store.snapshots[ANN]
    rows = cluster.store.events(ANN)
    assert sum(len(row.payload) for row in rows if row.seq > snapshot.seq) <= 1_000
    two = await cluster.start("two-1")
    assert await two.reply(ANN, "get") == 100


async def test_a_snapshot_is_written_with_the_events_it_covers(cluster: Cluster) -> None:
    one = await cluster.start(limits=Limits(snapshot_bytes_min=1_000))
    await one.ask(ANN, ("add", 1))
    before = one.journal.appends
    await one.ask(ANN, ("pad", 2_000))
    assert one.journal.appends == before + 1
    assert cluster.store.snapshots[ANN].seq == 2


async def test_snapshots_of_a_large_state_grow_rarer(cluster: Cluster) -> None:
    one = await cluster.start(limits=Limits(snapshot_bytes_min=100))
    one.counter.encode_state = lambda state: b"%d%s" % (state, b" " * 5_000)  # type: ignore[method-assign]  # a large state
    taken: set[int] = set()
    for _ in range(100):
        await one.ask(ANN, ("pad", 100))
        if ANN in cluster.store.snapshots:
            taken.add(cluster.store.snapshots[ANN].seq)
    assert len(taken) <= 3


async def test_a_snapshot_of_an_older_shape_is_left_aside(cluster: Cluster) -> None:
    one = await cluster.start(limits=Limits(snapshot_bytes_min=10))
    for _ in range(20):
        await one.ask(ANN, ("add", 1))
    assert ANN in cluster.store.snapshots
    two = cluster.new("two-1")
    two.counter.snapshots_readable = False
    await two.runtime.start()
    assert await two.reply(ANN, "get") == 20


async def test_a_companion_is_loaded_before_the_decision(cluster: Cluster, one: Instance) -> None:
    assert await one.reply(A, ("move", 3)) == [7, 13] or await one.reply(A, "sum") == 20
    assert await one.runtime.load_state([A, B]) == [7, 13]
    two = await cluster.start("two-1")
    assert await two.reply(B, ("move", 1)) == (12, 8)


async def test_a_message_that_waits_for_its_companion_keeps_its_place(one: Instance) -> None:
    await one.runtime.load_state([A])
    one.journal.latency_s = 0.1
    answers = [one.ask(A, ("move", number)) for number in (1, 2, 3)]
    replies = [(await answer).reply for answer in answers]
    assert replies == [(9, 11), (7, 13), (4, 16)]


async def test_both_companions_may_be_busy_with_each_other(one: Instance) -> None:
    answers = [one.ask(at, ("move", 1)) for _ in range(100) for at in (A, B)]
    await asyncio.gather(*answers)
    assert await one.reply(A, "sum") == 20


async def test_companions_stay_in_memory_until_the_turn_is_over(cluster: Cluster) -> None:
    """
    Given a stock of one, unused for a while, and a full memory
    When two customers order, and the first order's line comes into memory beside the stock
    Then the stock stays there until its change is journalled, so one order is refused.
    """
    stock, first, second = (Address("shop", "corner", name) for name in ("stock", "ann", "ben"))
    one = await cluster.start(limits=Limits(entities_max=3))
    await one.runtime.load_state([stock, first, second])
    pool = one.runtime.shards.entities.pool
    for activation in pool._ring:
        activation.touched = activation.address != stock
    append = one.journal.append

    async def slow(lane: int, batch: Batch) -> Collection[int]:
        await pass_time(0.02)  # a commit takes longer than a look-up
        return await append(lane, batch)

    one.journal.append = slow  # type: ignore[method-assign]
    orders = [one.ask(first, ("order", 1))]
    await pass_time(0.005)
    orders.append(one.ask(second, ("order", 2)))
    assert [(await order).reply for order in orders] == ["sold", "sold out"]
    assert await one.reply(stock, "get") == 0


async def test_a_companion_is_held_while_another_is_loaded(cluster: Cluster) -> None:
    """However many entities come by meanwhile."""
    stock, ann = Address("shop", "corner", "stock"), Address("shop", "corner", "ann")
    one = await cluster.start(limits=Limits(entities_max=2))
    await one.runtime.load_state([ann])
    one.journal.latency_s = 1.0
    line = one.runtime.shards.entities.open(
        one.runtime.shards.by_number[ann.slot], Address("shop", "corner", "line-1")
    )
    order = one.ask(ann, ("order", 1))
    await pass_time(0.1)
    others = [one.ask(Address("counter", str(number)), "get") for number in range(50)]
    await pass_time(0.1)
    assert not line.gone
    assert (await order).reply == "sold"
    assert await one.reply(stock, "get") == 0
    await asyncio.gather(*others)
    assert line.pins == 0


async def test_a_failed_load_is_answered_and_tried_again(
    one: Instance,
) -> None:
    one.counter.unreadable.add("ann")
    answers = [one.ask(ANN, "get") for _ in range(3)]
    for answer in answers:
        with pytest.raises(EntityCrashedError):
            await answer
    one.counter.unreadable.clear()
    assert await one.reply(ANN, "get") == 0


async def test_a_hanging_load_does_not_outlast_its_callers_deadline(
    one: Instance,
) -> None:
    one.journal.pause()
    with pytest.raises(DeadlineExceededError):
        await one.ask(ANN, "get")
    one.journal.resume()
    await pass_time(0.1)
    assert one.runtime.health.statistics().mailbox_depth == 0


async def test_an_entity_read_ahead_needs_only_newer_events(
    cluster: Cluster, one: Instance
) -> None:
    for amount in (1, 2, 3):
        await one.ask(ANN, ("add", amount))
    two = await cluster.start("two-1", shards=())
    warm = await two.runtime.shards.preload([ANN])
    await one.ask(ANN, ("add", 10))
    seen = cluster.store.leases[ANN.slot].epoch
    await two.runtime.shards.adopt(
        lambda: two.journal.claim([(ANN.slot, seen)], "two", "two-1"), [ANN.slot], warm
    )
    assert await two.reply(ANN, "get") == 16
    assert await two.reply(ANN, ("add", 1)) == 17
    assert [address for address, _ in two.views.loads] == [ANN]


async def test_what_cannot_be_read_ahead_is_left_to_the_owner_to_be(
    cluster: Cluster, one: Instance
) -> None:
    ben = Address("counter", "ben")
    await one.ask(ANN, ("add", 1))
    one.counter.unreadable.add("ben")
    assert set(await one.runtime.shards.preload([ANN, ben])) == {ANN}
