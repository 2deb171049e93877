"""One of the journal's two databases is away: its shards are refused, the others' calls succeed,
and an instance that is lost meanwhile is replaced as far as the other database goes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from booking import audit
from booking.embedded import EmbeddedServers
from booking.schema import parts
from tests.support.api_client import Api, Reply, eventually, new_user
from tests.support.cluster import Cluster, cluster
from tests.support.probes import users_of
from tests.support.servers import temporary_data_dir
from tests.support.stock import import_catalogue
from tests.support.told import Tell

AWAY_S = 3.0
INSTANCES = 2
TRIED_EVERY_S = 0.2
REPLACED_MAX_S = 24.0
"""As with one database: 3 s, and three times the promise on a machine that is too slow for it."""


class Second:
    """A PostgreSQL of its own for the second database, which goes away and comes back."""

    def __init__(self, directory: Path, redis_url: str) -> None:
        self._directory = directory
        self._redis_url = redis_url
        self._servers: EmbeddedServers | None = None

    def start(self) -> str:
        """Its URL, the same at every start."""
        assert self._servers is None
        self._servers = EmbeddedServers.start(
            self._directory, durable=False, redis_url=self._redis_url
        )
        return self._servers.database_url

    def stop(self) -> None:
        if self._servers is not None:
            self._servers.stop(quick=True)
            self._servers = None


@contextmanager
def second_database(redis_url: str) -> Iterator[Second]:
    with temporary_data_dir() as directory:
        second = Second(directory, redis_url)
        try:
            yield second
        finally:
            second.stop()


@asynccontextmanager
async def apis(running: Cluster) -> AsyncIterator[list[Api]]:
    """A client of each instance."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(Api(one.url, fresh=True)) for one in running.instances
        ]


async def charged(clients: Sequence[Api], users: Collection[str]) -> list[Reply]:
    """Charge each of these, through each of the instances."""
    return await asyncio.gather(*(api.charge(user, 1) for api in clients for user in users))


@pytest.mark.slow
async def test_only_shards_of_the_lost_database_are_refused(
    database_url: str, redis_url: str, tmp_path: Path, tell: Tell
) -> None:
    here = users_of(range(0, 256, 16), new_user)
    there = users_of(range(1, 256, 16), new_user)
    with second_database(redis_url) as second:
        urls = [database_url, second.start()]
        await parts.prepare(urls)
        await import_catalogue(database_url)
        settings: dict[str, Any] = {"BOOKING_JOURNAL_URLS": urls[1]}
        async with (
            cluster(database_url, redis_url, tmp_path, INSTANCES, **settings) as running,
            apis(running) as clients,
        ):
            assert {one.status for one in await charged(clients, here + there)} == {200}
            second.stop()
            served, refused = await while_away(running, clients, here, there)
            tell(f"one of two databases away: {served} calls served, {refused} refused")

            victim, *others = running.instances
            victim.kill()
            began_s = time.monotonic()

            async def all_served() -> bool:
                return {one.status for one in await charged(clients[1:], here)} == {200}

            await eventually(all_served, within_s=REPLACED_MAX_S)
            tell(
                f"  an instance killed meanwhile: replaced {time.monotonic() - began_s:.2f} s later"
            )

            second.start()

            async def all_back() -> bool:
                return {one.status for one in await charged(clients[1:], there)} == {200}

            await eventually(all_back, within_s=REPLACED_MAX_S)
            await victim.start()
            await running.balanced()
            assert {one.status for one in await charged(clients, here + there)} == {200}
            assert others[0].running
        report = await audit.run(*urls)
        assert report.ok


async def while_away(
    running: Cluster, clients: Sequence[Api], here: Collection[str], there: Collection[str]
) -> tuple[int, int]:
    """How many calls were served and refused, as they ought to be."""
    served = refused = 0
    ends_s = time.monotonic() + AWAY_S
    first = await charged(clients, there)
    assert {one.status for one in first} == {503}
    while time.monotonic() < ends_s:
        answers = await charged(clients, here)
        assert {one.status for one in answers} == {200}, answers
        served += len(answers)
        answers = await charged(clients, there)
        assert {one.status for one in answers} == {503}
        assert all(int(one.headers["Retry-After"]) >= 1 for one in answers)
        assert {one.code for one in answers} == {"journal_unavailable"}
        refused += len(answers)
        for api in clients:
            assert (await api.call("GET", "/readyz")).status == 200
        await asyncio.sleep(TRIED_EVERY_S)
    assert len(running.in_rotation()) == len(clients)
    assert refused > 3 * len(there) * len(clients), "nobody is kept waiting for a refusal"
    return served, refused
