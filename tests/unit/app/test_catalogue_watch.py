"""The watch of the catalogue outlives whatever a database does."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from booking.catalogue.store import DATABASE_TROUBLE, PostgresCatalogue
from booking.instance import background


@pytest.mark.parametrize("trouble", DATABASE_TROUBLE)
async def test_a_watch_that_meets_trouble_looks_again(
    trouble: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    twice = asyncio.Event()

    async def connect(*arguments: Any, **options: Any) -> None:
        nonlocal looks
        looks += 1
        if looks == 2:
            twice.set()
        raise trouble("the server is starting up")

    monkeypatch.setattr(asyncpg, "connect", connect)
    monkeypatch.setattr(background, "CATALOGUE_POLL_S", 0.001)
    unused: Any = None
    watch = background.CatalogueWatch(PostgresCatalogue("postgresql:///"), unused, unused)
    running = asyncio.create_task(watch.run())
    try:
        async with asyncio.timeout(30):
            await twice.wait()
        assert not running.done()
    finally:
        running.cancel()
