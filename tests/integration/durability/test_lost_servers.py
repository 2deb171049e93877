"""The servers beneath fail while clients book: PostgreSQL is cut off or dies, Redis stops or dies.

Without PostgreSQL nothing can be promised, so clients are told 503 and when to come back; without
Redis nobody may notice anything. Either way all goes on by itself.
"""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
import redis.asyncio as redis

from actors.membership.contract import MembershipError
from actors.membership.redis import RedisMembership
from booking.embedded import EmbeddedServers
from booking.identity import Identity
from booking.schema import migrate
from tests.support.api_client import Api, eventually
from tests.support.served import Served, served
from tests.support.servers import TestServers, own_servers
from tests.support.stock import import_catalogue
from tests.support.storm import Storm
from tests.support.verdict import all_is_true

CLIENTS, SEED = 40, 7


@asynccontextmanager
async def storming(instance: Served, seats: list[str]) -> AsyncIterator[Storm]:
    await instance.start()
    async with Storm([instance.url], seats, clients=CLIENTS, seed=SEED) as storm:
        await storm.answers(150)
        yield storm


async def test_cut_connections_to_postgres_cost_a_moment_and_nothing_else(
    stocked_database_url: str,
    redis_url: str,
    tmp_path: Path,
    dates: list[str],
    seats: list[str],
) -> None:
    with served(stocked_database_url, redis_url, tmp_path) as instance:
        async with storming(instance, seats) as storm:
            for _ in range(2):
                assert await cut_all_connections(stocked_database_url) >= 2
                await storm.answers(300)
            await storm.settle()
            # The service itself never went away, and said so in its own words where it had to.
            assert {one.status for one in storm.failures} <= {503}, storm.tries
            async with Api(instance.url) as api:
                await all_is_true(storm, api, dates, stocked_database_url)


async def cut_all_connections(database_url: str) -> int:
    connection = await asyncpg.connect(database_url)
    try:
        cut = await connection.fetchval(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return int(cut)
    finally:
        await connection.close()


@pytest.fixture
def own_postgres() -> Iterator[EmbeddedServers]:
    """A PostgreSQL that this test may kill, and a Redis with it."""
    with own_servers() as embedded:
        yield embedded


async def test_a_killed_postgres_is_waited_for(
    own_postgres: EmbeddedServers, tmp_path: Path, dates: list[str], seats: list[str]
) -> None:
    url = own_postgres.database_url
    await migrate.migrate(url)
    await import_catalogue(url)
    with served(url, own_postgres.redis_url, tmp_path) as instance:
        async with storming(instance, seats) as storm:
            os.kill(own_postgres.pids["postgres"], signal.SIGKILL)
            await refused(storm, 503)
            # Its guardian starts it again on the same data directory.
            await storm.answers(300)
            await storm.settle()
            assert {one.status for one in storm.failures} == {503}, storm.tries
            assert any("postgres ended" in news for news in own_postgres.news())
            async with Api(instance.url) as api:
                await all_is_true(storm, api, dates, url)


async def refused(storm: Storm, status: int) -> None:
    async def seen() -> bool:
        return any(one.status == status for one in storm.failures)

    await eventually(seen)


@pytest.fixture
def own_redis(servers: TestServers) -> Iterator[EmbeddedServers]:
    """A Redis that this test may stop, beside everybody's PostgreSQL."""
    with own_servers(durable=True, database_url=servers.database_url) as embedded:
        try:
            yield embedded
        finally:
            # A stopped process takes no signal but this one and SIGKILL.
            embedded.news()
            os.kill(embedded.pids["valkey"], signal.SIGCONT)


async def test_nobody_notices_that_redis_is_stopped_flushed_or_killed(
    own_redis: EmbeddedServers,
    stocked_database_url: str,
    tmp_path: Path,
    dates: list[str],
    seats: list[str],
) -> None:
    with served(stocked_database_url, own_redis.redis_url, tmp_path) as instance:
        async with storming(instance, seats) as storm:
            os.kill(own_redis.pids["valkey"], signal.SIGSTOP)
            await said(instance, "membership is out of reach")
            await storm.answers(200)
            os.kill(own_redis.pids["valkey"], signal.SIGCONT)
            await said(instance, "membership is back")
            await flush(own_redis.redis_url)
            await announced(own_redis.redis_url, stocked_database_url)
            os.kill(own_redis.pids["valkey"], signal.SIGKILL)
            await announced(own_redis.redis_url, stocked_database_url)
            await storm.answers(100)
            await storm.settle()
            assert storm.failures == []
            async with Api(instance.url) as api:
                await all_is_true(storm, api, dates, stocked_database_url)


async def flush(redis_url: str) -> None:
    async with redis.from_url(redis_url) as client:
        await client.flushall()


async def announced(redis_url: str, database_url: str) -> None:
    """Wait until Redis, which forgot everything, knows the instance again."""
    connection = await asyncpg.connect(database_url)
    record = await connection.fetchrow("SELECT journal, generation FROM journal_part")
    await connection.close()
    assert record is not None
    membership = RedisMembership(redis_url, Identity(*record).cluster)

    async def known() -> bool:
        try:
            return [member.instance for member in await membership.members()] == ["test"]
        except MembershipError:
            return False

    try:
        await eventually(known)
    finally:
        await membership.close()


async def said(instance: Served, words: str) -> None:
    async def there() -> bool:
        return words in instance.said

    await eventually(there)
