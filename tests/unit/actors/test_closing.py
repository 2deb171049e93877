"""Shards with many entities come and go a few entities at a time, and the loop goes on between."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from actors.core import entities
from actors.core.context import Limits
from actors.core.entities import Entities, Pool
from actors.core.shard import Activation
from actors.ownership import partition
from tests.support.runtimes import Cluster, pass_time, same_shard

FEW = 10


async def test_a_shard_that_is_closed_forgets_its_entities_some_at_a_time(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a shard with 45 entities in memory, when it is handed over, then it is empty at once,
    and their states go ten at a time."""
    monkeypatch.setattr(entities, "FORGOTTEN_TOGETHER", FEW)
    one, together, forget = await cluster.start(), Counter[float](), Pool.forget
    addresses = same_shard("counter", 45)
    await asyncio.gather(*(one.ask(address, ("add", 1)) for address in addresses))
    shard = one.runtime.shards.by_number[addresses[0].slot]
    activations = list(shard.activations.values())

    def noted(pool: Pool, activation: Activation) -> None:
        together[asyncio.get_running_loop().time()] += 1
        forget(pool, activation)

    monkeypatch.setattr(Pool, "forget", noted)
    assert await one.runtime.shards.release(shard.number, 0.2)
    assert (len(activations), one.runtime.shards.entities.pool.size) == (45, 0)
    assert all(activation.gone for activation in activations)
    await pass_time(1.0)
    assert sorted(together.values()) == [5, FEW, FEW, FEW, FEW]


async def test_a_stop_lets_go_of_one_shard_after_the_other(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, close = await cluster.start(shards=range(20)), Entities.close
    turns, closed = 0, list[int]()

    async def turning() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    def noted(*of: object) -> None:
        closed.append(turns)
        close(*of)  # type: ignore[arg-type]  # as it was called

    monkeypatch.setattr(Entities, "close", noted)
    async with asyncio.TaskGroup() as group:
        beside = group.create_task(turning())
        await cluster.stop(one)
        beside.cancel()
    assert len(closed) == len(set(closed)) == 20


async def test_empty_places_of_the_ring_are_cleared_as_others_come(cluster: Cluster) -> None:
    """Given a shard that was closed again and again, the ring of passivation stays small: it has
    at most as many empty places as there may be entities, and some."""
    one = await cluster.start(limits=Limits(entities_max=FEW))
    addresses, pool = same_shard("counter", FEW), one.runtime.shards.entities.pool
    number = addresses[0].slot
    for _ in range(10):
        await one.runtime.shards.claim([number])
        await asyncio.gather(*(one.ask(address, "get") for address in addresses))
        assert await one.runtime.shards.release(number, 0.2)
    assert pool.size == 0
    assert len(pool._ring) <= 3 * FEW


async def test_a_claim_looks_at_entities_with_timers_some_at_a_time(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a shard with 45 timer entries (a hall of 100,000 held seats has as many as seats), when
    it is claimed, then the loop has turns between each ten, and all of them are recovered."""
    monkeypatch.setattr(partition, "ARMED_TOGETHER", FEW)
    addresses = same_shard("counter", 45)

    async def turns_of(armed: int) -> int:
        cluster.store.timers = {address: address.slot for address in addresses[:armed]}
        one, turns = cluster.new(f"one-{armed}"), 0
        claiming = asyncio.ensure_future(one.runtime.start([addresses[0].slot]))
        while not claiming.done():
            turns += 1
            await asyncio.sleep(0)
        shard = one.runtime.shards.by_number[addresses[0].slot]
        assert list(shard.armed) == addresses[:armed]
        await pass_time(1.0)
        assert len(shard.activations) == armed
        await cluster.stop(one)
        return turns

    assert await turns_of(45) >= await turns_of(0) + 4
