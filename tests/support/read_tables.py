"""The tables of ``booking_read`` as plain data, and ways to fill them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import asyncpg

from actors.consumers.contract import Event, Step
from actors.consumers.postgres import PostgresOffsets
from actors.journal.partitioned import journal_over
from booking.readmodel import store
from booking.readmodel.consumer import ReadModel
from booking.readmodel.rebuild import Progress, events_of, rebuild
from tests.support.journals import JournalBuilder, JournalRow

TABLES = (
    "users",
    "cash",
    "cash_history",
    "waiting_queue",
    "concert",
    "concert_schedule",
    "seat",
    "seat_reservation",
    "payment",
)
Tables = dict[str, list[tuple[Any, ...]]]


async def tables(dsn: str, schema: str = store.SCHEMA) -> Tables:
    """All rows of every table, in an order of their own."""
    connection = await asyncpg.connect(store.in_schema(dsn, schema))
    try:
        return {
            table: [
                tuple(row)
                for row in await connection.fetch(f"SELECT * FROM {table} AS t ORDER BY t::text")
            ]
            for table in TABLES
        }
    finally:
        await connection.close()


async def value(dsn: str, question: str) -> Any:
    """One value of the schema."""
    connection = await asyncpg.connect(store.in_schema(dsn, store.SCHEMA))
    try:
        return await connection.fetchval(question)
    finally:
        await connection.close()


def quiet(what: str, done: int, total: int) -> None:
    """Nobody looks at how far it is."""


async def rebuilt(dsn: str, progress: Progress = quiet, read: str = "") -> int:
    """Rebuild the tables from the journal in ``dsn``, beside it or in another database."""
    journal = journal_over([dsn], lanes_each=0, pool_size=2)
    try:
        return await rebuild(read or dsn, dsn, journal, progress)
    finally:
        await journal.close()


async def follow(dsn: str, batch: int) -> None:
    """Take what the tables do not have yet, as instances do: so many events of all shards at a
    time."""
    await store.prepare(dsn)
    consumer = ReadModel(dsn).consumer(dsn)
    journal, offsets = journal_over([dsn], lanes_each=0, pool_size=1), PostgresOffsets(consumer, "")
    try:
        done = {each.shard: each.seq for each in await offsets.open(dict.fromkeys(range(256), 0))}
        while rows := await journal.read(done, batch):
            last = {row.shard: row for row in rows}
            steps = {n: Step(done[n], row.seq, row.epoch) for n, row in last.items()}
            async with offsets.moving(steps) as (live, connection):
                assert live == steps.keys()
                await consumer.handle(events_of(rows, consumer.kinds), connection)
            done |= {n: row.seq for n, row in last.items()}
    finally:
        await offsets.close()
        await journal.close()


async def take(dsn: str, events: Sequence[Event]) -> None:
    """Have these written in a transaction of their own, without offsets."""
    connection = await asyncpg.connect(store.in_schema(dsn, store.SCHEMA))
    try:
        async with connection.transaction():
            await ReadModel(dsn).handle(events, connection)
    finally:
        await connection.close()


def with_user_ids(book: JournalBuilder) -> list[JournalRow]:
    """The rows of a queue whose users are called otherwise, as users with ids."""
    rows = book.sorted_rows()
    for row in rows:
        if name := row.payload.get("user"):
            row.payload["user"] = str(uuid_of(name))
    return rows


def uuid_of(name: str) -> UUID:
    """The id of a user who is called so."""
    return uuid5(NAMESPACE_URL, name)
