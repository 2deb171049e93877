"""PostgreSQL restarts under load: 503 with Retry-After while it is away, then all goes on."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator

import pytest

from booking.embedded import EmbeddedServers
from booking.schema import migrate
from tests.cluster.conftest import UnderLoad
from tests.support.api_client import eventually
from tests.support.cluster import Cluster
from tests.support.load import Load
from tests.support.processes import wait_until
from tests.support.servers import TestServers, own_servers
from tests.support.stock import import_catalogue
from tests.support.told import Tell

GOES_ON_MAX_S = 15.0
"""From the signal until every shard answers again; the server itself takes a second."""
HOW = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT, "killed": signal.SIGKILL}


@pytest.fixture
def own_postgres(servers: TestServers) -> Iterator[EmbeddedServers]:
    """A PostgreSQL that this test may end, beside everybody's Redis."""
    with own_servers(redis_url=servers.redis_url) as embedded:
        yield embedded


@pytest.fixture
async def stocked_database_url(own_postgres: EmbeddedServers) -> str:
    """The clusters of this module are on that one."""
    await migrate.migrate(own_postgres.database_url)
    await import_catalogue(own_postgres.database_url)
    return own_postgres.database_url


async def restart(
    load: Load, cluster: Cluster, postgres: EmbeddedServers, how: str, tell: Tell
) -> None:
    """Its guardian starts it again as soon as it has ended."""
    at_s = time.monotonic()
    before = postgres.pids["postgres"]
    os.kill(before, HOW[how])
    await asyncio.to_thread(_started_again, postgres, before)

    async def noticed() -> bool:
        return bool(load.felt(at_s).failed_first)

    await eventually(noticed, within_s=GOES_ON_MAX_S)
    await cluster.served_again_s(through=cluster.instances)
    away_s = time.monotonic() - at_s
    assert away_s < GOES_ON_MAX_S
    await cluster.balanced()
    await load.answers(150)
    felt = load.felt(at_s)
    tell(f"PostgreSQL {how}: every shard answers again after {away_s:.2f} s")
    tell(f"  {felt}")
    # The instances never went away. The storm checks that each 503 says when to come back.
    assert {one.status for one in felt.failed_first} == {503}, felt


def _started_again(postgres: EmbeddedServers, before: int) -> None:
    def again() -> bool:
        postgres.news()
        return postgres.pids.get("postgres", before) != before

    wait_until(again, "PostgreSQL is started again")


async def test_a_restart_of_postgres_costs_a_moment_and_nothing_else(
    under_load: UnderLoad, own_postgres: EmbeddedServers, tell: Tell
) -> None:
    async with under_load() as (cluster, load):
        for how in ("fast", "killed"):
            await restart(load, cluster, own_postgres, how, tell)


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_restarts_of_postgres_again_and_again(
    under_load: UnderLoad, own_postgres: EmbeddedServers, tell: Tell
) -> None:
    async with under_load() as (cluster, load):
        for _ in range(3):
            for how in HOW:
                await restart(load, cluster, own_postgres, how, tell)
                # The guardian gives a server up that ends five times within 30 s.
                await asyncio.sleep(8.0)
