"""Real sockets on loopback, and real time."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.peer_links import Pair


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    """Two instances; the test starts the one that answers and makes the one that asks."""
    pair = Pair()
    yield pair
    await pair.close()
