"""An audit that follows a journal, and what it has told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from booking.audit.follow import Follower, ViolationRecord
from tests.support.journal_rows import until


class Heard:
    """Implements :class:`booking.audit.follow.FollowListener`."""

    def __init__(self) -> None:
        self.follower: Follower
        self.told: list[ViolationRecord] = []
        self.rows = -1
        self.problems: list[str] = []

    def violation(self, found: ViolationRecord) -> None:
        self.told.append(found)

    def caught_up(self, rows: int) -> None:
        self.rows = rows

    def away(self, words: str) -> None:
        self.problems.append(words)

    async def until(self, condition: Callable[[Heard], bool]) -> None:
        async def holds() -> bool:
            return condition(self)

        await until(holds)


@asynccontextmanager
async def following(*urls: str, limit_s: float = 60.0) -> AsyncIterator[Heard]:
    """A follower that has caught up."""
    heard, stop = Heard(), asyncio.Event()
    heard.follower = Follower(urls, heard, limit_s)
    running = asyncio.ensure_future(heard.follower.run(stop))
    try:
        await heard.until(lambda heard: heard.rows >= 0 or running.done())
        yield heard
    finally:
        stop.set()
        await running
