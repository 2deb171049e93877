"""A client of a server that does as it is told, and hardly waits."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from booking_client import AsyncBooking, Retry
from tests.support.edge import Edge, running
from tests.support.faulty_server import FaultyServer, faulty_server

HASTY = Retry(first_wait_s=0.001, wait_max_s=0.002)


@pytest.fixture
async def server() -> AsyncIterator[FaultyServer]:
    async with faulty_server() as running:
        yield running


@pytest.fixture
async def client(server: FaultyServer) -> AsyncIterator[AsyncBooking]:
    async with AsyncBooking(server.url, retry=HASTY) as booking:
        yield booking


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    async with running() as ready:
        yield ready
