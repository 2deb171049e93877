"""One pass over the journal, from one moment's snapshot, while the service runs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import groupby
from operator import itemgetter
from typing import cast

import asyncpg

from actors.journal.partitioned import together
from booking.audit.book import Audit
from booking.audit.culprits import Books
from booking.audit.report import AuditReport
from booking.audit.shard import Claims, JournalRow
from booking.catalogue.statements import statements
from booking.schema import parts
from booking.schema.migrate import SchemaMismatch

PAGE_ROWS = 500
"""Rows fetched at a time: some 100 kB, so that the next page fits into the socket's buffers while
this one is worked on, and a service that runs the audit itself is not held up for over 5 ms."""
PAYMENT_LIMIT_S = 60.0
"""The longest retry of a payment; one begun longer ago has to have ended."""
CONNECT_TIMEOUT_S = 10.0
HOLD_S = 1
"""How long appends may be made to wait for the snapshots of several databases: well under the time
after which an instance doubts its journal. It takes a few milliseconds unless one of them hangs."""
HOLDS_MAX = 5
"""Tries, since a claim or an automatic clean-up may be in the way for a moment."""

_SQL = statements("booking.audit", "statements.sql")


FAILURES = (
    OSError,
    ValueError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    SchemaMismatch,
)


class AuditError(Exception):
    """The audit could not be run to its end. Says nothing about the journal."""


async def run(*dsns: str, payment_limit_s: float = PAYMENT_LIMIT_S) -> AuditReport:
    """Check the whole journal as it is at this moment.

    Reads one REPEATABLE READ snapshot of each of its databases, so that the service may go on;
    payments under way are no violations until they are older than ``payment_limit_s``. With more
    than one database, appends are held up for some milliseconds, so that the snapshots are of one
    moment. Memory holds one shard's entities at a time. Raises :class:`AuditError` if a database
    cannot be read.
    """
    started = time.monotonic()
    try:
        await parts.match(dsns)
        async with AsyncExitStack() as stack:
            readers = [await stack.enter_async_context(_connected(dsn)) for dsn in dsns]
            if len(dsns) == 1:
                await stack.enter_async_context(_snapshot(readers[0]))
            else:
                await _one_moment(dsns, readers, stack)
            return await _audit(readers, payment_limit_s, started)
    except FAILURES as error:
        raise AuditError(str(error) or type(error).__name__) from error


@asynccontextmanager
async def _connected(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    conn = await asyncpg.connect(
        dsn, timeout=CONNECT_TIMEOUT_S, server_settings={"application_name": "booking audit"}
    )
    try:
        yield conn
    finally:
        await conn.close()


@asynccontextmanager
async def _snapshot(conn: asyncpg.Connection) -> AsyncIterator[None]:
    async with conn.transaction(isolation="repeatable_read", readonly=True):
        await conn.fetchval(_SQL["now_ms"])  # the first query: the snapshot is taken here
        yield


async def _one_moment(
    dsns: Sequence[str], readers: Sequence[asyncpg.Connection], stack: AsyncExitStack
) -> None:
    """Take all snapshots while no append is under way anywhere. Otherwise one database's could show
    a payment's end and another's, a little older, not yet its beginning."""
    for tries_left in reversed(range(HOLDS_MAX)):
        async with AsyncExitStack() as held:
            holders = [await held.enter_async_context(_connected(dsn)) for dsn in dsns]
            for holder in holders:
                await held.enter_async_context(holder.transaction())
            try:
                await together(_hold_appends(holder) for holder in holders)
            except asyncpg.LockNotAvailableError:
                if not tries_left:
                    raise
                continue
            for reader in readers:
                await stack.enter_async_context(_snapshot(reader))
            return


async def _hold_appends(holder: asyncpg.Connection) -> None:
    await holder.execute(_SQL["give_up_after"], f"{HOLD_S}s")
    await holder.execute(_SQL["hold_appends"])


async def _audit(
    readers: Sequence[asyncpg.Connection], payment_limit_s: float, started: float
) -> AuditReport:
    now_ms = max([int(await conn.fetchval(_SQL["now_ms"])) for conn in readers])
    claims: dict[int, Claims] = {}
    for number, conn in enumerate(readers):
        found = await _claims(conn)
        claims |= {s: claim for s, claim in found.items() if s % len(readers) == number}
    audit = Audit(claims, now_ms - int(payment_limit_s * 1000))
    for number, conn in enumerate(readers):
        await _read_all(conn, audit, number, len(readers))
    audit.close()
    books = Books(readers)
    if not audit.sales.agree:
        await books.name_sales(audit.found, audit.sales.on_its_way)
    if not audit.holds.agree:
        await books.name_reservations(audit.found)
    return audit.found.close(now_ms, time.monotonic() - started)


async def _claims(conn: asyncpg.Connection) -> dict[int, Claims]:
    claims = {row["shard"]: Claims(row["epoch"], {}, 0) for row in await conn.fetch(_SQL["shards"])}
    for row in await conn.fetch(_SQL["epochs"]):
        claimed = claims.setdefault(row["shard"], Claims(0, {}, 0))
        claimed.incarnations[row["epoch"]] = row["incarnation"]
    for row in await conn.fetch(_SQL["snapshot_ends"]):
        claims.setdefault(row["shard"], Claims(0, {}, 0)).snapshot_end = row["seq"]
    return claims


async def _read_all(conn: asyncpg.Connection, audit: Audit, number: int, count: int) -> None:
    """Hand one database's journal to the audit page by page; the database prepares the next one
    meanwhile."""
    cursor = await conn.cursor(_SQL["rows"])
    page = await cursor.fetch(PAGE_ROWS)
    while page:
        try:
            async with asyncio.TaskGroup() as group:
                upcoming = group.create_task(cursor.fetch(PAGE_ROWS))
                await asyncio.sleep(0)  # the request leaves before this page is worked on
                _take(audit, page, number, count)
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        page = upcoming.result()


def _take(audit: Audit, page: list[asyncpg.Record], number: int, count: int) -> None:
    # Records unpack like tuples, in the order of the columns.
    rows = cast("list[JournalRow]", page)
    if count == 1 and rows[0][0] == rows[-1][0]:
        audit.take(rows[0][0], rows)
        return
    for shard, piece in groupby(rows, itemgetter(0)):
        if shard % count == number:
            audit.take(shard, piece)
        else:
            first = next(piece)
            message = f"is in database {number + 1}, where this shard does not live"
            audit.found.report("I4", message, shard, first[1], first[6])
