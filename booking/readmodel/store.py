"""The schema in PostgreSQL: its migrations, writing a batch, and swapping a new one in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg

from actors.connections.postgres import texts
from booking.catalogue.domain import Catalogue, Schedule
from booking.readmodel.projection import ReadBatch
from booking.schema import migrate

SCHEMA = "booking_read"
NEXT = "booking_read_next"
"""Where it is built anew, to take the place of the other."""

DATES_TOGETHER = 20
"""Dates whose seats are one statement: a catalogue of 2,000 is copied within one call."""

_SQL = texts("booking.readmodel", "statements.sql")


def in_schema(dsn: str, schema: str) -> str:
    """The database's address for connections that see this schema alone. Each statement is planned
    for the tables as they are: a plan made while they are empty would read them whole later."""
    parts = urlsplit(dsn)
    query = dict(parse_qsl(parts.query))
    query |= {"search_path": schema, "plan_cache_mode": "force_custom_plan"}
    return urlunsplit(parts._replace(query=urlencode(query)))


def migrations() -> Sequence[migrate.Migration]:
    """Those of the schema. The first makes tables, and the others what queries need besides."""
    return migrate.known("booking.readmodel")


@asynccontextmanager
async def connected(dsn: str, schema: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection for a task on a schema, which is made if it is not there."""
    async with migrate.connection_to(in_schema(dsn, schema)) as connection:
        async with connection.transaction():
            await connection.execute(_SQL["one_at_a_time"], migrate.LOCK)
            await connection.execute(_SQL["create_schema"].format(schema=schema))
        yield connection


async def prepare(dsn: str) -> list[str]:
    """Bring the schema to the newest version; the names of what was applied now. Raises
    :class:`~booking.schema.migrate.SchemaMismatch`, and what asyncpg raises."""
    await migrate.refuse_pooler(dsn)
    async with connected(dsn, SCHEMA) as connection:
        return await migrate.apply(connection, migrations())


async def check(dsn: str) -> None:
    """Raise :class:`~booking.schema.migrate.SchemaMismatch` unless the schema is there as this
    program knows it."""
    try:
        await migrate.check(in_schema(dsn, SCHEMA), migrations())
    except migrate.SchemaMismatch as error:
        raise migrate.SchemaMismatch(f"BOOKING_READ_URL: {error}") from None


# -- a batch ---------------------------------------------------------------------------------------


async def write(connection: asyncpg.Connection, batch: ReadBatch) -> None:
    """Write what a batch changes, in the transaction that the connection is in."""
    known: list[Any] = []
    if batch.admitting:
        found = await connection.fetch(_SQL["draws"], list(batch.admitting))
        known = [tuple(row) for row in found]
    for statement, columns in batch.rows(known).items():
        await connection.execute(_SQL[statement], *columns)


async def catalogue_version(connection: asyncpg.Connection) -> int:
    """Of the catalogue's tables; -1 before the first time."""
    return int(await connection.fetchval(_SQL["catalogue_version"]))


async def dates(connection: asyncpg.Connection) -> set[str]:
    """The dates that are in the catalogue's tables."""
    return {row["id"] for row in await connection.fetch(_SQL["dates"])}


async def put_catalogue(connection: asyncpg.Connection, catalogue: Catalogue) -> None:
    """Bring the catalogue's tables up to this version, unless they are, in the transaction that
    the connection is in. Which seats are free stays."""
    if await connection.fetchval(_SQL["hold_catalogue_version"]) >= catalogue.version:
        return
    dates = list(catalogue.schedules.values())
    concerts = {date.concert_id: (date.concert_name, date.queue) for date in dates}
    names = [name for name, _ in concerts.values()]
    queues = [queue for _, queue in concerts.values()]
    await connection.execute(_SQL["put_concerts"], list(concerts), names, queues)
    columns = [list(column) for column in zip(*map(_schedule, dates), strict=True)]
    await connection.execute(_SQL["put_schedules"], *(columns or [[]] * 7))
    for first in range(0, len(dates), DATES_TOGETHER):
        some = dates[first : first + DATES_TOGETHER]
        seats = [(date.id, *priced) for date in some for priced in date.prices.items()]
        places = [list(column) for column in zip(*seats, strict=True)] or [[], [], []]
        await connection.execute(_SQL["put_seats"], *places)
        await connection.execute(_SQL["drop_seats"], [date.id for date in some], *places[:2])
    await connection.execute(_SQL["drop_schedules"], list(catalogue.schedules))
    await connection.execute(_SQL["drop_concerts"], list(concerts))
    await connection.execute(_SQL["set_catalogue_version"], catalogue.version)


def _schedule(date: Schedule) -> tuple[Any, ...]:
    times = (date.open_ms, date.close_ms, date.booking_start_ms, date.booking_end_ms)
    return (date.id, date.concert_id, date.total_seats, *times)


# -- another one in its place ----------------------------------------------------------------------


async def swap(connection: asyncpg.Connection) -> None:
    """Have the next schema take the place of the present one, which goes.

    Whoever moves an offset of the present one holds a lock until its transaction ends, so none has
    half of its statements here and half there.
    """
    async with connection.transaction():
        await connection.execute(_SQL["create_schema"].format(schema=SCHEMA))
        if await connection.fetchval(_SQL["has_offsets"], f"{SCHEMA}.consumer_offsets"):
            await connection.execute(_SQL["hold_offsets"].format(schema=SCHEMA))
        await connection.execute(_SQL["swap"].format(schema=SCHEMA, next=NEXT))
