"""A journal spread over two databases, one of which dies in the middle of a storm."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from booking.embedded import EmbeddedServers
from booking.schema import parts
from tests.support.api_client import Api, eventually
from tests.support.served import served
from tests.support.servers import own_servers
from tests.support.stock import import_catalogue
from tests.support.storm import Storm
from tests.support.verdict import all_is_true

CLIENTS, SEED = 40, 11


@pytest.fixture
def second_server() -> Iterator[EmbeddedServers]:
    """A PostgreSQL of its own for the second database, which this test may kill."""
    with own_servers() as embedded:
        yield embedded


async def test_bookings_over_two_databases_outlive_the_loss_of_one_and_a_kill(
    database_url: str,
    second_server: EmbeddedServers,
    redis_url: str,
    tmp_path: Path,
    dates: list[str],
    seats: list[str],
) -> None:
    urls = [database_url, second_server.database_url]
    await parts.prepare(urls)
    await import_catalogue(database_url)
    with served(database_url, redis_url, tmp_path, BOOKING_JOURNAL_URLS=urls[1]) as instance:
        await instance.start()
        async with Storm([instance.url], seats, clients=CLIENTS, seed=SEED) as storm:
            await storm.answers(200)
            os.kill(second_server.pids["postgres"], signal.SIGKILL)

            async def refused() -> bool:
                return any(one.status == 503 for one in storm.failures)

            await eventually(refused)
            # Its guardian starts it again on the same data directory.
            await storm.answers(300)
            assert {one.status for one in storm.failures} == {503}, storm.tries
            instance.kill()
            await instance.start()
            await storm.answers(300)
            await storm.settle()
            async with Api(instance.url) as api:
                await all_is_true(storm, api, dates, *urls)
    assert [await shards_in(url) for url in urls] == [{0}, {1}]


async def test_two_instances_over_two_databases_take_each_others_shards_over(
    database_url: str,
    second_database_url: str,
    redis_url: str,
    tmp_path: Path,
    dates: list[str],
    seats: list[str],
) -> None:
    urls = [database_url, second_database_url]
    await parts.prepare(urls)
    await import_catalogue(database_url)
    settings = {"BOOKING_JOURNAL_URLS": second_database_url}
    with (
        served(database_url, redis_url, tmp_path, BOOKING_INSTANCE="one", **settings) as one,
        served(database_url, redis_url, tmp_path, BOOKING_INSTANCE="two", **settings) as two,
    ):
        await one.start()
        await two.start()
        async with Storm([one.url, two.url], seats, clients=CLIENTS, seed=SEED) as storm:
            await storm.answers(300)
            await eventually(lambda: both_own(urls))
            one.kill()

            async def taken_over() -> bool:
                return await owners_in(urls) == {"two"}

            await eventually(taken_over)
            await one.start()
            await storm.answers(300)
            await storm.settle()
            async with Api(two.url) as api:
                await all_is_true(storm, api, dates, *urls)


async def both_own(urls: list[str]) -> bool:
    """Both instances have shards."""
    return await owners_in(urls) == {"one", "two"}


async def owners_in(urls: list[str]) -> set[str]:
    """Who owns shards, each asked in its own database."""
    owners: set[str] = set()
    for number, url in enumerate(urls):
        connection = await asyncpg.connect(url)
        try:
            rows = await connection.fetch("SELECT owner FROM shards WHERE shard % 2 = $1", number)
        finally:
            await connection.close()
        owners |= {row["owner"] for row in rows}
    return owners


async def shards_in(url: str) -> set[int]:
    """The shards with events in a database, modulo 2."""
    connection = await asyncpg.connect(url)
    try:
        return {row[0] for row in await connection.fetch("SELECT DISTINCT shard % 2 FROM journal")}
    finally:
        await connection.close()
