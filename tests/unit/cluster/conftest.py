"""Everything in this folder runs on virtual time: nothing sleeps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

import pytest

from tests.support.nodes import Nodes
from tests.support.standstill import StoppableLoop


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, type[StoppableLoop]]:
    return {"virtual": StoppableLoop}


@pytest.fixture
async def nodes() -> AsyncIterator[Nodes]:
    """The stores, and the nodes a test starts; errors that nobody retrieved fail the test."""
    nodes = Nodes()
    yield nodes
    await nodes.close()
    loop = asyncio.get_running_loop()
    assert isinstance(loop, StoppableLoop)
    loop.assert_no_problems()
