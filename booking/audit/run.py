"""One pass over the journal, from one moment's snapshot, while the service runs."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Protocol, cast

import asyncpg
import msgspec

from actors.address import SLOT_COUNT
from actors.connections.postgres import connected, texts
from actors.journal.contract import part_number
from actors.journal.partitioned import together
from booking.archive.files import ArchiveError, rows_of
from booking.audit.blocked import check_blocked
from booking.audit.events import digest
from booking.audit.journal import JournalAudit, JournalRow, LeaseRecord
from booking.audit.report import AuditReport, Findings
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
MISMATCHES_MAX = 1_000
"""Rows named for each book that says what another does not; people look at the first few."""

_SQL = texts("booking.audit", "statements.sql")

FAILURES = (
    *(OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError, SchemaMismatch),
    *(ArchiveError, EOFError),
)
"""What keeps an audit from coming to its end."""


class AuditError(Exception):
    """The audit could not be run to its end. Says nothing about the journal."""


async def run(
    *dsns: str, payment_limit_s: float = PAYMENT_LIMIT_S, archive: Path | None = None
) -> AuditReport:
    """Check the whole journal as it is at this moment, while the service may go on.

    Payments under way are violations once they are older than ``payment_limit_s``. With several
    databases, appends are held up for some milliseconds, so that the snapshots are of one moment.
    Memory holds one shard's entities at a time. Rows that left the database are read from
    ``archive``. Raises :class:`AuditError`.
    """
    started = time.monotonic()
    async with _snapshots(dsns) as conns:
        return await _audit(conns, payment_limit_s, started, archive)


class JournalReader(Protocol):
    """Takes the rows of a journal."""

    found: Findings
    """Takes note of rows that are in the wrong place."""

    def take(self, shard: int, rows: Iterable[JournalRow]) -> None:
        """The next rows; all of this shard, and shards one after the other."""


async def read_rows(*dsns: str, reader: JournalReader, archive: Path | None = None) -> None:
    """Hand the whole journal to ``reader`` as :func:`run` reads it. Raises :class:`AuditError`."""
    async with _snapshots(dsns) as conns:
        await _hand_over(conns, reader, archive)


async def concerts_of(dsn: str) -> dict[str, str]:
    """The concert of each date. Raises :class:`AuditError`."""
    async with _snapshots((dsn,)) as [conn]:
        return {row["id"]: row["concert_id"] for row in await conn.fetch(_SQL["concerts"])}


@asynccontextmanager
async def _snapshots(dsns: Sequence[str]) -> AsyncIterator[list[asyncpg.Connection]]:
    """A connection to each database, all of one moment."""
    try:
        await parts.match(dsns)
        async with AsyncExitStack() as stack:
            readers = [await stack.enter_async_context(connection(dsn)) for dsn in dsns]
            if len(dsns) == 1:
                await stack.enter_async_context(snapshot(readers[0]))
            else:
                await _one_moment(dsns, readers, stack)
            yield readers
    except FAILURES as error:
        raise AuditError(str(error) or type(error).__name__) from error


def connection(dsn: str) -> AbstractAsyncContextManager[asyncpg.Connection]:
    """A connection for an audit."""
    return connected(dsn, CONNECT_TIMEOUT_S, "booking audit")


@asynccontextmanager
async def snapshot(conn: asyncpg.Connection) -> AsyncIterator[int]:
    """Everything read in the block is of one moment: the given ms of the database's clock."""
    async with conn.transaction(isolation="repeatable_read", readonly=True):
        # The first query: the snapshot is taken here.
        yield int(await conn.fetchval(_SQL["now_ms"]))


async def _one_moment(
    dsns: Sequence[str], readers: Sequence[asyncpg.Connection], stack: AsyncExitStack
) -> None:
    """Take all snapshots while no append is under way anywhere. Otherwise one database's could show
    a payment's end and another's, a little older, not yet its beginning."""
    for tries_left in reversed(range(HOLDS_MAX)):
        async with AsyncExitStack() as held:
            holders = [await held.enter_async_context(connection(dsn)) for dsn in dsns]
            for holder in holders:
                await held.enter_async_context(holder.transaction())
            try:
                await together(_hold_appends(holder) for holder in holders)
            except asyncpg.LockNotAvailableError:
                if not tries_left:
                    raise
                continue
            for reader in readers:
                await stack.enter_async_context(snapshot(reader))
            return


async def _hold_appends(holder: asyncpg.Connection) -> None:
    await holder.execute(_SQL["give_up_after"], f"{HOLD_S}s")
    await holder.execute(_SQL["hold_appends"])


async def _audit(
    readers: Sequence[asyncpg.Connection],
    payment_limit_s: float,
    started: float,
    archive: Path | None,
) -> AuditReport:
    now_ms = max([int(await conn.fetchval(_SQL["now_ms"])) for conn in readers])
    leases: dict[int, LeaseRecord] = {}
    if archive is not None and not any([await _archived(conn) for conn in readers]):
        archive = None
    for number, conn in enumerate(readers):
        found = await _leases(conn)
        leases |= {s: lease for s, lease in found.items() if part_number(s, len(readers)) == number}
    audit = JournalAudit(leases, now_ms - int(payment_limit_s * 1000))
    await _hand_over(readers, audit, archive)
    for conn in readers:
        await _note_losses(conn, audit.found)
    audit.close()
    await check_blocked(readers, audit.found)
    if archive is not None:
        _compare_sums(audit)
        return audit.found.close(now_ms, time.monotonic() - started)
    if not audit.sales.agree:
        await _name_sales(readers, audit.found, audit.sales.on_its_way)
    if not audit.holds.agree:
        for row in await _beyond(readers, "noted", await _count(readers, "held"), ()):
            _name(
                audit.found, "I1", row, f"reservation {row['name']} is of a hold that no seat has"
            )
    return audit.found.close(now_ms, time.monotonic() - started)


async def _hand_over(
    conns: Sequence[asyncpg.Connection], reader: JournalReader, archive: Path | None
) -> None:
    for number, conn in enumerate(conns):
        if archive is None:
            await refuse_archived(conn)
        archived = _Archived(reader, await _archived_rows(conn, archive, number))
        await _read_all(conn, reader, number, len(conns), archived)


async def refuse_archived(conn: asyncpg.Connection) -> None:
    """Raise :class:`AuditError` if the first rows of the journal are not in the database."""
    if rows := await _archived(conn):
        raise AuditError(
            f"its first {rows:,} rows are in an archive, and what comes after cannot be checked"
            " without them: booking audit --archive DIR and BOOKING_ARCHIVE read them,"
            " booking archive --load DIR puts them back"
        )


async def _archived(conn: asyncpg.Connection) -> int:
    """How many rows are archived."""
    if await conn.fetchval(_SQL["has_archive"]) is None:
        return 0  # of an earlier release
    return int(await conn.fetchval(_SQL["archived"]) or 0)


async def _note_losses(conn: asyncpg.Connection, found: Findings) -> None:
    """Tell what a fail-over lost. It is a violation until an operator has accepted it."""
    if await conn.fetchval(_SQL["has_losses"]) is None:
        return  # of an earlier release
    for row in await conn.fetch(_SQL["losses"]):
        found.checked["I3"] += 1
        first, last, shard = row["kept_seq"] + 1, row["seq"], row["shard"]
        names = ", ".join(msgspec.json.decode(row["entities"])) or "entities not known"
        words = f"seqs {first} to {last} were committed and are lost ({names})"
        words += f", as {row['instance']} noticed at {row['noticed_at']:%Y-%m-%d %H:%M:%S} UTC"
        if row["accepted_at"] is None:
            found.report("I3", words, shard=shard, seq=0, entity="")
        else:
            found.losses.append(f"shard {shard}: {words}; accepted by {row['accepted_by']}")


async def _leases(conn: asyncpg.Connection) -> dict[int, LeaseRecord]:
    leases = {row["shard"]: LeaseRecord(row["epoch"]) for row in await conn.fetch(_SQL["shards"])}
    for row in await conn.fetch(_SQL["epochs"]):
        lease = leases.setdefault(row["shard"], LeaseRecord())
        lease.incarnations[row["epoch"]] = row["incarnation"]
    for row in await conn.fetch(_SQL["snapshot_ends"]):
        leases.setdefault(row["shard"], LeaseRecord()).snapshot_end = row["seq"]
    return leases


class _Archived:
    """Rows that left a database, for the audit ahead of those of the same shard that did not."""

    def __init__(self, reader: JournalReader, rows: Iterator[JournalRow]) -> None:
        self._reader = reader
        self._shards = groupby(rows, itemgetter(0))
        self._next = next(self._shards, None)

    def take(self, last_shard: int) -> None:
        """Hand over those of all shards up to this one."""
        while self._next is not None and self._next[0] <= last_shard:
            self._reader.take(*self._next)
            self._next = next(self._shards, None)


async def _archived_rows(
    conn: asyncpg.Connection, archive: Path | None, number: int
) -> Iterator[JournalRow]:
    if archive is None:
        return iter(())
    wanted = {row["segment"]: row["manifest"] for row in await conn.fetch(_SQL["archives"])}
    name = str(await conn.fetchval(_SQL["journal_name"]))
    return cast("Iterator[JournalRow]", rows_of(archive, name, number, wanted))


def _compare_sums(audit: JournalAudit) -> None:
    """Say which books differ. Rows are not named, because not all can be searched again."""
    audit.found.seq, audit.found.entity = 0, ""
    if not audit.sales.agree:
        audit.found.report("I7", "sales and completed payments differ")
    if not audit.holds.agree:
        audit.found.report("I1", "holds of seats and reservations of accounts differ")


async def _read_all(
    conn: asyncpg.Connection, reader: JournalReader, number: int, count: int, archived: _Archived
) -> None:
    """Hand one database's journal to the reader page by page."""
    # In a database of an earlier release there is no such column.
    here = await conn.fetchval(_SQL["has_archive"]) is not None
    cursor = await conn.cursor(_SQL["rows"].format(where="WHERE segment > 0" if here else ""))
    page = await cursor.fetch(PAGE_ROWS)
    while page:
        try:
            async with asyncio.TaskGroup() as group:
                upcoming = group.create_task(cursor.fetch(PAGE_ROWS))
                await asyncio.sleep(0)  # the request leaves before this page is worked on
                _take(reader, page, number, count, archived)
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        page = upcoming.result()
    archived.take(SLOT_COUNT)


def _take(
    reader: JournalReader,
    page: list[asyncpg.Record],
    number: int,
    count: int,
    archived: _Archived,
) -> None:
    # Records unpack like tuples, in the order of the columns.
    rows = cast("list[JournalRow]", page)
    if count == 1 and rows[0][0] == rows[-1][0]:
        archived.take(rows[0][0])
        reader.take(rows[0][0], rows)
        return
    for shard, piece in groupby(rows, itemgetter(0)):
        archived.take(shard)
        if part_number(shard, count) == number:
            reader.take(shard, piece)
        else:
            message = f"is in database {number + 1}, where this shard does not live"
            _, seq, *_, address, _, _ = next(piece)
            reader.found.report("I4", message, shard=shard, seq=seq, entity=address)


# -- a second look: which rows differ when the sums of two books do --------------------------------


async def _name_sales(
    readers: Sequence[asyncpg.Connection], found: Findings, on_its_way: Collection[str]
) -> None:
    """Name sales without their completed payment and the other way round."""
    sold, completed = await _count(readers, "sold"), await _count(readers, "completed")
    unpaid = await _beyond(readers, "sold", completed, {name.split()[0] for name in on_its_way})
    unsold = await _beyond(readers, "completed", sold, ())
    for rows, other in ((unpaid, "completed payment"), (unsold, "sale of its seat")):
        for row in rows:
            _name(found, "I7", row, f"payment {row['name']} has no {other} on the same terms")
    if not unpaid and not unsold:
        found.report("I7", "sales and completed payments differ, but no row stands out")


def _name(found: Findings, check: str, row: asyncpg.Record, message: str) -> None:
    found.report(check, message, shard=row["shard"], seq=row["seq"], entity=row["address"])


async def _count(readers: Sequence[asyncpg.Connection], book: str) -> Counter[int]:
    return Counter([digest(row["fact"]) async for row in _rows(readers, book)])


async def _beyond(
    readers: Sequence[asyncpg.Connection], book: str, other: Counter[int], excused: Collection[str]
) -> list[asyncpg.Record]:
    """The rows of one book that the other has not, or not as often."""
    excused, seen = set(excused), Counter[int]()
    beyond: list[asyncpg.Record] = []
    async for row in _rows(readers, book):
        fact = digest(row["fact"])
        seen[fact] += 1
        if seen[fact] > other[fact] and row["name"] not in excused:
            beyond.append(row)
            if len(beyond) == MISMATCHES_MAX:
                break
    return beyond


async def _rows(readers: Sequence[asyncpg.Connection], book: str) -> AsyncIterator[asyncpg.Record]:
    for conn in readers:
        cursor = await conn.cursor(_SQL[book])
        while page := await cursor.fetch(PAGE_ROWS):
            for row in page:
                yield row
