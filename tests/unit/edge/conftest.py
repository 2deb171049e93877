"""Every test here talks to a running edge over a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.edge import Edge, running
from tests.support.instance import Instance


@pytest.fixture
async def front() -> AsyncIterator[Edge]:
    """Nothing is served behind it: for requests that get no further."""
    async with running(Instance(serving=False)) as started:
        yield started


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    async with running() as started:
        yield started
