"""A running service with the catalogue that `booking up` begins with."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from booking.catalogue import document
from booking.catalogue.demo import demo_catalogue
from tests.support.service import StartService


@pytest.fixture
async def running_service(start_service: StartService) -> str:
    """Its base URL."""
    catalogue = msgspec.json.decode(document.encode(demo_catalogue(datetime.now(UTC))))
    return (await start_service(catalogue)).url
