"""Everything in this folder runs on virtual time: nothing sleeps."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import pytest

from tests.support.candidates import House
from tests.support.virtual_time import VirtualTimeLoop


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, type[VirtualTimeLoop]]:
    return {"virtual": VirtualTimeLoop}


@pytest.fixture
async def house() -> AsyncIterator[House]:
    """The stores that candidates share; whoever still runs at the end is stopped."""
    house = House()
    yield house
    await house.close()
