"""A journal to publish, and the command that does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from subprocess import Popen
from typing import NamedTuple

import asyncpg
import pytest

from booking.events.contract import CloudEvent, source_of
from booking.events.mapping import Places, translate
from booking.schema import parts
from tests.support.journals import JournalBuilder, JournalRow, write
from tests.support.processes import python
from tests.support.public_events import event_of
from tests.support.servers import temporary_data_dir

RunRelay = Callable[..., AbstractContextManager[Popen[str]]]


class Journal(NamedTuple):
    """What is in a database, and what has to be told of it."""

    dsn: str
    source: str
    told: list[CloudEvent]


@pytest.fixture
def directory() -> Iterator[Path]:
    with temporary_data_dir() as path:
        yield path


@pytest.fixture
def run_relay(database_url: str) -> RunRelay:
    """Starts ``booking relay``; it is killed at the end."""

    @contextmanager
    def started(*options: str, **environ: str) -> Iterator[Popen[str]]:
        settings = {"BOOKING_DATABASE_URL": database_url, "BOOKING_LOG": "text"} | environ
        command = ("-P", "-m", "booking.cli.main", "relay", *options)
        with python(*command, environ=settings) as process:
            yield process

    return started


async def fill(dsn: str, book: JournalBuilder, rows: list[JournalRow] | None = None) -> Journal:
    """Write a journal."""
    rows = rows or book.sorted_rows()
    await write(dsn, rows, book.epochs())
    source = source_of((await parts.check([dsn])).cluster)
    events = [event_of(row) for row in rows if not row.address.startswith("ledger/")]
    return Journal(dsn, source, list(translate(events, source, Places())))


async def all_done(dsn: str, book: JournalBuilder) -> bool:
    """Whether the offsets say that everything is published."""
    return await is_done(dsn, len(book.rows))


async def is_done(dsn: str, events: int) -> bool:
    """Whether the offsets say that so many are."""
    connection = await asyncpg.connect(dsn)
    try:
        return bool(await connection.fetchval("SELECT sum(seq) FROM consumer_offsets") == events)
    finally:
        await connection.close()


async def answers(dsn: str) -> bool:
    """Whether the database takes connections."""
    try:
        connection = await asyncpg.connect(dsn)
    except (OSError, asyncpg.PostgresError):
        return False
    await connection.close()
    return True
