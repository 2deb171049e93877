"""Everything in this folder runs on virtual time: nothing sleeps."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import pytest

from tests.support.consumers import Following
from tests.support.virtual_time import VirtualTimeLoop


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, type[VirtualTimeLoop]]:
    return {"virtual": VirtualTimeLoop}


@pytest.fixture
async def following() -> AsyncIterator[Following]:
    following = Following()
    yield following
    await following.stop()
