"""Every test here talks to a running edge over a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.edge import Edge, running


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    async with running() as started:
        yield started
