"""One pass over the journal, from one snapshot, while the service runs."""

from __future__ import annotations

import asyncio
import time
from itertools import groupby
from operator import itemgetter
from typing import cast

import asyncpg

from booking.audit.book import Audit
from booking.audit.report import AuditReport, Findings
from booking.audit.shard import Claims, JournalRow
from booking.catalogue.statements import statements

PAGE_ROWS = 500
"""Rows fetched at a time: some 100 kB, so that the next page fits into the socket's buffers while
this one is worked on, and a service that runs the audit itself is not held up for over 5 ms."""
PAYMENT_LIMIT_S = 60.0
"""The longest retry of a payment; one begun longer ago has to have ended."""
CONNECT_TIMEOUT_S = 10.0
CULPRITS_MAX = 1_000
"""Rows read when the sums of two books differ; the first few are named anyway."""

_SQL = statements("booking.audit", "statements.sql")


class AuditError(Exception):
    """The audit could not be run to its end. Says nothing about the journal."""


async def run(dsn: str, *, payment_limit_s: float = PAYMENT_LIMIT_S) -> AuditReport:
    """Check the whole journal as it is at this moment.

    Reads one REPEATABLE READ snapshot, so that the service may go on; payments under way are no
    violations until they are older than ``payment_limit_s``. Memory holds one shard's entities at
    a time. Raises :class:`AuditError` if the database cannot be read.
    """
    started = time.monotonic()
    try:
        conn = await asyncpg.connect(
            dsn, timeout=CONNECT_TIMEOUT_S, server_settings={"application_name": "booking audit"}
        )
        try:
            async with conn.transaction(isolation="repeatable_read", readonly=True):
                return await _audit(conn, payment_limit_s, started)
        finally:
            await conn.close()
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise AuditError(str(error) or type(error).__name__) from error


async def _audit(conn: asyncpg.Connection, payment_limit_s: float, started: float) -> AuditReport:
    claims = await _claims(conn)  # the first query: the snapshot is taken here
    now_ms = int(await conn.fetchval(_SQL["now_ms"]))
    audit = Audit(claims, now_ms - int(payment_limit_s * 1000))
    await _read_all(conn, audit)
    audit.close()
    if not audit.sales.agree:
        await _name_sales(conn, audit.found, audit.sales.on_its_way)
    if not audit.holds.agree:
        await _name_reservations(conn, audit.found)
    return audit.found.close(now_ms, time.monotonic() - started)


async def _claims(conn: asyncpg.Connection) -> dict[int, Claims]:
    claims = {row["shard"]: Claims(row["epoch"], {}, 0) for row in await conn.fetch(_SQL["shards"])}
    for row in await conn.fetch(_SQL["epochs"]):
        claimed = claims.setdefault(row["shard"], Claims(0, {}, 0))
        claimed.incarnations[row["epoch"]] = row["incarnation"]
    for row in await conn.fetch(_SQL["snapshot_ends"]):
        claims.setdefault(row["shard"], Claims(0, {}, 0)).snapshot_end = row["seq"]
    return claims


async def _read_all(conn: asyncpg.Connection, audit: Audit) -> None:
    """Hand the journal to the audit page by page; the database prepares the next one meanwhile."""
    cursor = await conn.cursor(_SQL["rows"])
    page = await cursor.fetch(PAGE_ROWS)
    while page:
        try:
            async with asyncio.TaskGroup() as group:
                upcoming = group.create_task(cursor.fetch(PAGE_ROWS))
                await asyncio.sleep(0)  # the request leaves before this page is worked on
                _take(audit, page)
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        page = upcoming.result()


def _take(audit: Audit, page: list[asyncpg.Record]) -> None:
    # Records unpack like tuples, in the order of the columns.
    rows = cast("list[JournalRow]", page)
    if rows[0][0] == rows[-1][0]:
        audit.take(rows[0][0], rows)
    else:
        for shard, piece in groupby(rows, itemgetter(0)):
            audit.take(shard, piece)


# -- when two books differ -------------------------------------------------------------------------


async def _name_sales(conn: asyncpg.Connection, found: Findings, on_its_way: list[str]) -> None:
    culprits = await _first_rows(conn, "unmatched_sales", on_its_way)
    for row in culprits:
        other = "completed payment" if row["sold"] else "sale of its seat"
        message = f"payment {row['payment']} has no {other} on the same terms"
        found.report("I7", message, row["shard"], row["seq"], row["address"])
    if not culprits:
        found.report("I7", "sales and completed payments differ, but no row stands out")


async def _name_reservations(conn: asyncpg.Connection, found: Findings) -> None:
    for row in await _first_rows(conn, "unmatched_reservations"):
        message = f"reservation {row['reservation']} is of a hold that no seat has"
        found.report("I1", message, row["shard"], row["seq"], row["address"])


async def _first_rows(
    conn: asyncpg.Connection, statement: str, *args: list[str]
) -> list[asyncpg.Record]:
    cursor = await conn.cursor(_SQL[statement], *args)
    return await cursor.fetch(CULPRITS_MAX)
