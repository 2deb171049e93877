"""Fixtures for tests against the whole service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from booking.catalogue import document
from booking.catalogue.demo import demo_catalogue
from tests.support.service import Service, StartService
from tests.support.service import start_service as start


@pytest.fixture
async def start_service(database_url: str, redis_url: str) -> AsyncIterator[StartService]:
    """Starts services that are stopped at the end of the test, the last one first."""
    started: list[Service] = []

    async def start_one(catalogue: dict[str, Any], **settings: str) -> Service:
        service = await start(database_url, redis_url, catalogue, settings)
        started.append(service)
        return service

    yield start_one
    for service in reversed(started):
        await service.stop()


@pytest.fixture
async def running_service(start_service: StartService) -> str:
    """The base URL of a service with the catalogue that `booking up` begins with."""
    catalogue = msgspec.json.decode(document.encode(demo_catalogue(datetime.now(UTC))))
    return (await start_service(catalogue)).url
