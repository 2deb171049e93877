"""When small entities get a snapshot: sooner or later, each of them, and never in anybody's way."""

from __future__ import annotations

import asyncio

from actors.address import Address
from actors.core.context import Limits
from actors.ownership.owned_shards import SAVED_MAX
from tests.support.runtimes import Cluster, Instance, pass_time, same_shard, until

ANN = Address("counter", "ann")


async def all_at_once(one: Instance, addresses: list[Address]) -> None:
    for start in range(0, len(addresses), 1_000):
        some = addresses[start : start + 1_000]
        await asyncio.gather(*[one.ask(address, ("add", 1)) for address in some])


async def test_an_entity_at_rest_gets_a_snapshot(cluster: Cluster, one: Instance) -> None:
    for _ in range(3):
        await one.ask(ANN, ("add", 1))
    assert ANN not in cluster.store.snapshots
    await pass_time(6.0)
    assert cluster.store.snapshots[ANN].seq == 3
    appends = one.journal.appends
    await pass_time(60.0)
    assert one.journal.appends == appends, "once is enough"
    two = await cluster.start("two-1")
    assert await two.reply(ANN, "get") == 3


async def test_an_entity_in_use_is_left_alone(cluster: Cluster, one: Instance) -> None:
    for _ in range(20):
        await one.ask(ANN, ("add", 1))
        await pass_time(1.0)
    assert ANN not in cluster.store.snapshots


async def test_what_another_owner_left_without_one_gets_one_when_it_is_loaded(
    cluster: Cluster, one: Instance
) -> None:
    await one.ask(ANN, ("add", 1))
    two = await cluster.start("two-1")
    assert await two.reply(ANN, "get") == 1
    await pass_time(6.0)
    assert cluster.store.snapshots[ANN].seq == 1


async def test_an_entity_that_leaves_memory_has_one(cluster: Cluster) -> None:
    one = await cluster.start(limits=Limits(entities_max=100, housekeeping_s=1e6))
    addresses = [Address("counter", f"user-{number}") for number in range(1_000)]
    for start in range(0, 1_000, 50):
        await asyncio.gather(*[one.ask(a, ("add", 1)) for a in addresses[start:][:50]])
    await pass_time(1.0)
    entities = one.runtime.health.statistics().entities
    assert len(cluster.store.snapshots) >= 1_000 - entities
    assert await one.runtime.load_state(addresses) == [1] * 1_000


async def test_a_round_of_housekeeping_saves_so_many_and_the_next_ones_the_rest(
    cluster: Cluster,
) -> None:
    one = await cluster.start(limits=Limits(saved_max=100))
    addresses = [Address("counter", f"user-{number}") for number in range(1_000)]
    await all_at_once(one, addresses)
    await pass_time(4.5)
    assert 0 < len(cluster.store.snapshots) <= 200
    await until(lambda: len(cluster.store.snapshots) == 1_000, 60.0)


async def test_a_hand_over_saves_some_and_does_not_wait_for_a_thousand(
    cluster: Cluster, one: Instance
) -> None:
    addresses = same_shard("counter", 1_000)
    await asyncio.gather(*[one.ask(address, ("add", 1)) for address in addresses])
    encoded: list[int] = []
    encode = one.counter.encode_state

    def counted(state: int) -> bytes:
        encoded.append(state)
        return encode(state)

    one.counter.encode_state = counted  # type: ignore[method-assign]  # a witness
    appends = one.journal.appends
    assert await one.runtime.shards.release(addresses[0].slot, 0.2)
    assert len(encoded) == SAVED_MAX
    assert one.journal.appends <= appends + 1
    assert len(cluster.store.snapshots) == SAVED_MAX
