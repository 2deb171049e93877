"""Everything in this folder runs on virtual time: nothing sleeps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

import pytest

from tests.support.runtimes import Cluster, Instance
from tests.support.virtual_time import VirtualTimeLoop


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, type[VirtualTimeLoop]]:
    return {"virtual": VirtualTimeLoop}


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    """A store and the instances a test starts; errors that nobody retrieved fail the test."""
    cluster = Cluster()
    yield cluster
    await cluster.stop_all()
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    loop.assert_no_problems()


@pytest.fixture
async def one(cluster: Cluster) -> Instance:
    """A running instance that owns every shard."""
    return await cluster.start()
