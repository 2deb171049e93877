"""Every test here talks to a running edge over a socket, and does not wait long."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.edge import Edge, running
from tests.support.websockets import FAST


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    async with running(settings=FAST) as started:
        yield started
