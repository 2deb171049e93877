"""Redis stops and comes back empty, or stands still: no request fails.

Who owns what is in PostgreSQL; Redis only says who is alive. While it does not, every owner keeps
its shards.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from tests.cluster.conftest import StartCluster, UnderLoad
from tests.support.cluster import Cluster
from tests.support.forms import slow
from tests.support.load import Load
from tests.support.own_redis import OwnRedis, own_redis
from tests.support.told import Tell

STOPPED_S, STOPPED_LONG_S = 8.0, 30.0
"""Longer is not to be had: at this load the seats of the catalogue last for a minute and a half."""
FROZEN_S = 8.0
BACK_S = 3.0
WITHOUT_REDIS_MAX_S = 20.0
"""Measured: 5 to 6.5 s. A busy machine may need more."""


@pytest.fixture
def redis() -> Iterator[OwnRedis]:
    """A Redis that this test may end or freeze."""
    with own_redis() as own:
        yield own


@pytest.fixture
def redis_url(redis: OwnRedis) -> str:
    """The clusters of this module are on that one."""
    return redis.url


async def nobody_notices(
    load: Load, cluster: Cluster, away_s: float, tell: Tell, what: str
) -> None:
    """Requests succeed for so long, and each instance can be read."""
    began_s = time.monotonic()
    while time.monotonic() - began_s < away_s:
        await load.answers(20)
        assert load.failures == []
        for instance in cluster.instances:
            assert await load.read_meter(instance.url, load.meters[0])
    tell(f"Redis {what} for {away_s:.0f} s: {load.felt(began_s)}")


async def stopped_and_frozen(
    load: Load, cluster: Cluster, redis: OwnRedis, stopped_s: float, tell: Tell
) -> None:
    redis.stop()
    await nobody_notices(load, cluster, stopped_s, tell, "stopped")
    redis.start()
    # Nobody is known to it at first; nobody may be taken for dead for that.
    await nobody_notices(load, cluster, BACK_S, tell, "empty")
    await cluster.balanced()
    redis.freeze()
    await nobody_notices(load, cluster, FROZEN_S, tell, "frozen")
    redis.thaw()
    await nobody_notices(load, cluster, BACK_S, tell, "thawed")
    await cluster.balanced()
    await load.settle()
    assert load.failures == []


@pytest.mark.parametrize("stopped_s", [STOPPED_S, slow(STOPPED_LONG_S, limit_s=600)])
async def test_nobody_notices_an_outage_of_redis_or_its_empty_return(
    under_load: UnderLoad, redis: OwnRedis, tell: Tell, stopped_s: float
) -> None:
    async with under_load() as (cluster, load):
        await stopped_and_frozen(load, cluster, redis, stopped_s, tell)


@pytest.mark.slow
async def test_who_ends_while_redis_is_away_is_missed_when_it_is_back(
    under_load: UnderLoad, redis: OwnRedis, tell: Tell
) -> None:
    async with under_load() as (cluster, load):
        victim, *others = cluster.instances
        redis.stop()
        victim.kill()
        await asyncio.to_thread(redis.start)
        if others:
            away_s = await cluster.served_again_s(through=others)
            tell(f"killed while Redis restarts: every shard answers again after {away_s:.2f} s")
        await victim.start()
        await cluster.balanced()
        await load.answers(100)


@pytest.mark.slow
async def test_an_instance_is_replaced_and_restarts_without_redis(
    under_load: UnderLoad, redis: OwnRedis, tell: Tell
) -> None:
    """Somebody leads by a row in the database, where instances also say that they live."""
    async with under_load() as (cluster, load):
        victim, *others = cluster.instances
        redis.stop()
        victim.kill()
        if others:
            away_s = await cluster.served_again_s(through=others)
            tell(f"killed as Redis goes: every shard answers again after {away_s:.2f} s")
            assert away_s < WITHOUT_REDIS_MAX_S
            await load.answers(100)
        await victim.start()
        await cluster.balanced()
        if others:
            victim.kill()
            away_s = await cluster.served_again_s(through=others)
            tell(f"killed without Redis: every shard answers again after {away_s:.2f} s")
            assert away_s < WITHOUT_REDIS_MAX_S
            await victim.start()
        failed = len(load.failures)
        redis.start()
        await cluster.balanced()
        await load.answers(100)
        assert load.failures[failed:] == []
        tell(f"  {load.felt()}")


async def test_a_cluster_starts_without_redis(
    start_cluster: StartCluster, redis: OwnRedis, tell: Tell
) -> None:
    redis.stop()
    began_s = time.monotonic()
    async with start_cluster() as cluster:
        tell(f"started and balanced without Redis within {time.monotonic() - began_s:.1f} s")
        claimed = {name for name, _ in (await cluster.owners()).values()}
        assert claimed == set(cluster.by_name)
        redis.start()
        await cluster.balanced()
