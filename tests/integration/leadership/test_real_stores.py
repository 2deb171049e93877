"""The loop over a real Redis and a real PostgreSQL, on the machine's clock."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest
from redis.asyncio import Redis

from actors.clock import SystemClock
from actors.election.leadership import Leader
from actors.election.redis import RedisElection
from actors.placement.postgres import PostgresPlacement
from actors.tasks import Tasks
from tests.support.journal_rows import until

Stand = Callable[[str], Leader]


@pytest.fixture
async def stores(
    database_url: str, redis_url: str
) -> AsyncIterator[Callable[[], tuple[RedisElection, PostgresPlacement]]]:
    opened: list[RedisElection | PostgresPlacement] = []

    def connect() -> tuple[RedisElection, PostgresPlacement]:
        pair = RedisElection(redis_url), PostgresPlacement(database_url)
        opened.extend(pair)
        return pair

    yield connect
    for one in opened:
        await one.close()


@pytest.fixture
async def stand(
    stores: Callable[[], tuple[RedisElection, PostgresPlacement]],
) -> AsyncIterator[Stand]:
    """Starts candidates."""
    tasks = Tasks("candidates")

    def stand_one(name: str) -> Leader:
        told: list[int] = []
        leader = Leader(
            *stores(), name, SystemClock(), on_elected=told.append, on_deposed=told.clear
        )
        tasks.spawn(leader.run(), name)
        return leader

    yield stand_one
    await tasks.close()
    assert not tasks.failed.done()


async def test_a_leader_survives_a_lost_key_and_hands_over_when_it_stops(
    stand: Stand,
    stores: Callable[[], tuple[RedisElection, PostgresPlacement]],
    redis_url: str,
) -> None:
    candidates = [stand("anna-1"), stand("bert-1")]
    _, store = stores()

    async def one_leads() -> bool:
        return [one.term is None for one in candidates].count(False) == 1

    await until(one_leads)
    first, second = sorted(candidates, key=lambda one: one.term is None)
    assert first.term == 1
    assert (await store.write_desired(1, {9: (0, "anna")})).shards == {9}

    async with Redis.from_url(redis_url) as redis:
        await redis.flushdb()

        async def the_key_is_back() -> bool:
            return await redis.get("booking:leader") == first.view().holder.encode()

        await until(the_key_is_back)
    assert (first.term, second.term) == (1, None)

    first.stop()

    async def second_leads() -> bool:
        return second.term == 2

    await until(second_leads)
    assert not (await store.write_desired(1, {9: (0, "anna")})).current
    assert (await store.leadership()).holder == second.view().holder
