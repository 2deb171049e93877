"""Clusters under load: a stocked database, the number of instances, and a line for each result.

Every test here starts real `booking serve` processes on one PostgreSQL and one Redis, runs the
whole booking flow through random instances while something fails, and ends with everything that a
client was told being true everywhere. ``BOOKING_TEST_INSTANCES`` changes how many instances there
are.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from random import Random

import pytest

from booking.embedded import EmbeddedServers
from booking.schema import migrate
from tests.support.api_client import new_user
from tests.support.cluster import Cluster, cluster
from tests.support.cluster_verdict import all_is_true_everywhere
from tests.support.load import CLIENTS, Load
from tests.support.own_redis import OwnRedis, own_redis
from tests.support.probes import users_of
from tests.support.servers import TestServers, temporary_data_dir
from tests.support.stock import import_catalogue, seats_to_draw

INSTANCES = int(os.environ.get("BOOKING_TEST_INSTANCES", "3"))
SEED = int(os.environ.get("BOOKING_TEST_SEED", "20240611"))
METERED_SLOTS = range(0, 256, 16)
WARM_UP_ANSWERS = 150
"""Of the load before anything fails."""

Loaded = Callable[..., AbstractAsyncContextManager[Load]]
"""Takes a :class:`Cluster`, and may take the number of clients (``clients``), and how many of the
slots have a meter (``metered``)."""
StartCluster = Callable[..., AbstractAsyncContextManager[Cluster]]
Tell = Callable[[str], None]


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Tell:
    """Prints a result past pytest's capture: figures are wanted from tests that pass, too."""

    def say(line: str) -> None:
        with capsys.disabled():
            print(f"\n  {line}", end="", flush=True)

    return say


@pytest.fixture
def random() -> Random:
    """Says what fails when; the interleaving is the machine's."""
    return Random(SEED)


@pytest.fixture
async def stocked_database_url(database_url: str) -> str:
    """A fresh database with the catalogue in it."""
    await import_catalogue(database_url)
    return database_url


@pytest.fixture
def own_postgres(servers: TestServers) -> Iterator[EmbeddedServers]:
    """A PostgreSQL that this test may end, beside everybody's Redis."""
    with temporary_data_dir() as directory:
        embedded = EmbeddedServers.start(directory, durable=False, redis_url=servers.redis_url)
        try:
            yield embedded
        finally:
            embedded.stop(quick=True)


@pytest.fixture
async def own_database_url(own_postgres: EmbeddedServers) -> str:
    """The stocked database of :func:`own_postgres`."""
    await migrate.migrate(own_postgres.database_url)
    await import_catalogue(own_postgres.database_url)
    return own_postgres.database_url


@pytest.fixture
def redis() -> Iterator[OwnRedis]:
    """A Redis that this test may end or freeze."""
    with own_redis() as own:
        yield own


@pytest.fixture
def start_cluster(tmp_path: Path) -> StartCluster:
    """Starts instances on a database and a Redis."""

    def start(
        database_url: str, redis_url: str, *, with_wires: bool = False
    ) -> AbstractAsyncContextManager[Cluster]:
        return cluster(database_url, redis_url, tmp_path, INSTANCES, with_wires=with_wires)

    return start


@pytest.fixture
def loaded() -> Loaded:
    """A warm load on a cluster; it is settled, and all of it found true, at the end."""

    @asynccontextmanager
    async def load_on(
        running: Cluster, *, clients: int = CLIENTS, metered: Collection[int] = METERED_SLOTS
    ) -> AsyncIterator[Load]:
        meters = users_of(metered, new_user)
        seats = seats_to_draw()
        async with Load(
            running.in_rotation, seats, seed=SEED, clients=clients, meters=meters
        ) as load:
            await load.answers(WARM_UP_ANSWERS)
            yield load
            await load.settle()
            database_url = running.instances[0].environ["BOOKING_DATABASE_URL"]
            await all_is_true_everywhere(load, running, database_url)

    return load_on
