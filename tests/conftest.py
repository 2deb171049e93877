"""What every test may ask for: real servers, started once for each process when asked, and a place
for figures. And how a run of several processes shares the tests out."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.lanes import pytest_xdist_make_scheduler as pytest_xdist_make_scheduler
from tests.support.servers import TestServers
from tests.support.stock import import_catalogue
from tests.support.told import pytest_terminal_summary as pytest_terminal_summary
from tests.support.told import tell as tell


@pytest.fixture(scope="session")
def servers() -> Iterator[TestServers]:
    """A private PostgreSQL and Valkey, or the running ones that the environment names."""
    with TestServers.running() as running:
        yield running


@pytest.fixture
def database_url(servers: TestServers) -> Iterator[str]:
    """A fresh database with the current schema, cloned from a template."""
    with servers.database(migrated=True) as url:
        yield url


@pytest.fixture
async def stocked_database_url(database_url: str) -> str:
    """That one with a catalogue to book from under load in it."""
    await import_catalogue(database_url)
    return database_url


@pytest.fixture
def second_database_url(servers: TestServers) -> Iterator[str]:
    """Another such database."""
    with servers.database(migrated=True) as url:
        yield url


@pytest.fixture
def empty_database_url(servers: TestServers) -> Iterator[str]:
    """A fresh database without any table."""
    with servers.database(migrated=False) as url:
        yield url


@pytest.fixture
def redis_url(servers: TestServers) -> str:
    """An empty logical database."""
    return servers.redis()
