"""`booking audit --follow` over real journal tables: what it tells, when, and where it goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import asyncpg

from booking.audit.follow import Follower, Found
from tests.support.journal_rows import until
from tests.support.journals import (
    COLUMNS,
    JournalRow,
    busy_season,
    season,
    write,
)

CLEAN = season()
TOLD_WITHIN_S = 2.0
"""The promise. A busy machine may need more, so tests wait longer and only say so."""


class Heard:
    """Implements :class:`booking.audit.follow.Reporter`."""

    def __init__(self) -> None:
        self.follower: Follower
        self.told: list[Found] = []
        self.rows = -1
        self.problems: list[str] = []

    def violation(self, found: Found) -> None:
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


async def append(url: str, rows: list[JournalRow]) -> None:
    """Write rows as the service does: in order, all of one decision at once."""
    conn = await asyncpg.connect(url)
    try:
        values = [row.values for row in rows]
        await conn.copy_records_to_table("journal", columns=COLUMNS, records=values)
    finally:
        await conn.close()


def thirds(rows: list[JournalRow]) -> list[list[JournalRow]]:
    """Three parts, cut where users join: what was begun before has ended there."""
    joined = [index for index, row in enumerate(rows) if row.type == "Joined"]
    one, two = joined[len(joined) // 3], joined[2 * len(joined) // 3]
    return [rows[:one], rows[one:two], rows[two:]]


async def execute(url: str, statement: str) -> None:
    conn = await asyncpg.connect(url)
    try:
        await conn.execute(statement)
    finally:
        await conn.close()


async def test_a_clean_journal_is_followed_in_silence(database_url: str) -> None:
    """Given a journal of which a part is checked, when the rest is written while it is followed
    and between two runs, nothing is told, and a run goes on where the one before ended."""
    book = busy_season(3_000, users=40)
    first, second, third = thirds(book.rows)
    await write(database_url, first, book.epochs())
    async with following(database_url) as heard:
        assert heard.rows == len(first)
        await append(database_url, second)
        await heard.until(lambda heard: heard.follower.rows == len(first + second))
    await append(database_url, third)
    async with following(database_url) as again:
        assert len(third) <= again.rows < len(book.rows)
    assert (heard.told, again.told) == ([], [])
