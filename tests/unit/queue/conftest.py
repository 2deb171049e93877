"""Everything in this folder runs on virtual time: nothing sleeps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import pytest

from actors.journal.memory import MemoryStore
from tests.support.virtual_time import VirtualTimeLoop
from tests.support.waiting_room import WaitingRoom

StartRoom = Callable[..., Awaitable[WaitingRoom]]


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, type[VirtualTimeLoop]]:
    return {"virtual": VirtualTimeLoop}


@pytest.fixture
async def start_room() -> AsyncIterator[StartRoom]:
    """Starts instances over one journal; errors that nobody retrieved fail the test."""
    store, rooms = MemoryStore(), list[WaitingRoom]()

    async def start(*args: Any, **options: Any) -> WaitingRoom:
        room = WaitingRoom(store, *args, **options)
        rooms.append(room)
        await room.start()
        return room

    yield start
    for room in rooms:
        await room.stop()
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    loop.assert_no_problems()
