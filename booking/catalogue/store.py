"""The catalogue in Postgres: read whole, changed only by importing a document, all or nothing."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager

import asyncpg
import msgspec
from msgspec.structs import asdict, replace

from actors.address import stable_hash
from actors.connections.postgres import numbered, texts
from actors.journal.contract import JournalError
from booking.catalogue.contract import CatalogueSaved
from booking.catalogue.document import (
    ConcertEntry,
    DateEntry,
    Document,
    check,
    date_entry,
    parse,
    parse_concert,
    schedule_of,
)
from booking.catalogue.domain import Catalogue, Schedule, seat_id
from booking.domain.persistent import Prices
from booking.entities import ledger_address

CONNECT_TIMEOUT_S = 10.0
COMMAND_TIMEOUT_S = 60.0
"""An import of the largest document writes two million seats; the ordinary one takes a moment."""

_SQL = texts("booking.catalogue", "statements.sql")
_PUT_CONCERT, _PUT_SCHEDULE = (numbered(_SQL[name]) for name in ("put_concert", "put_schedule"))

DATABASE_TROUBLE: tuple[type[Exception], ...] = (
    OSError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    # The server closed the connection while nothing was asked, and the driver has not seen the end
    # of the stream yet: it reports an "operation in progress".
    asyncpg.InternalClientError,
)
"""What a database that restarts or is out of reach raises; background loops catch it and retry."""

Connection = asyncpg.Connection | asyncpg.pool.PoolConnectionProxy

NOTHING = Catalogue({})


class CatalogueError(Exception):
    """The document does not fit what the tables and the journal hold. Nothing was done."""

    def __init__(self, reasons: Sequence[str]) -> None:
        super().__init__("\n".join(reasons))
        self.reasons = list(reasons)


async def version(conn: Connection) -> int:
    """The number that every change of the catalogue raises."""
    return int(await conn.fetchval(_SQL["version"]))


async def load(source: str | Connection, known: Catalogue = NOTHING) -> Catalogue:
    """The whole catalogue at one version. A date that is as in ``known`` is the same object."""
    async with (
        _connected(source) as conn,
        conn.transaction(isolation="repeatable_read", readonly=True),
    ):
        return await _read(conn, known)


async def export(dsn: str) -> Document:
    """The whole catalogue as a document in normal form."""
    async with (
        _connected(dsn) as conn,
        conn.transaction(isolation="repeatable_read", readonly=True),
    ):
        concerts = await _concerts(conn)
        catalogue = await _read(conn)
    dates: dict[str, list[DateEntry]] = {concert: [] for concert in concerts}
    for schedule in catalogue.schedules.values():
        dates[schedule.concert_id].append(date_entry(schedule))
    return Document(tuple(replace(each, dates=tuple(dates[each.id])) for each in concerts.values()))


async def save(dsn: str, document: Document) -> int:
    """Import whole concerts and return the catalogue's version, the same if nothing changes.

    Concerts that are not in the document stay; dates of its concerts that are not in it go. A date
    with events in the journal is neither removed nor gets other seat numbers:
    :class:`CatalogueError`. Raises :class:`~booking.catalogue.problems.DocumentError` too.
    """
    document = check(document)
    async with _connected(dsn) as conn, conn.transaction():
        seen = int(await conn.fetchval(_SQL["lock_version"]))
        now = await _read(conn)
        change = change_of(document, now, await _concerts(conn))
        refuse(change, now, await _journaled(conn, change.bound))
        if change.empty:
            return seen
        await _write(conn, change)
        return int(await conn.fetchval(_SQL["raise_version"]))


# -- reading ---------------------------------------------------------------------------------------


@asynccontextmanager
async def _connected(source: str | Connection) -> AsyncIterator[Connection]:
    if not isinstance(source, str):
        yield source
        return
    conn = await asyncpg.connect(
        source, timeout=CONNECT_TIMEOUT_S, command_timeout=COMMAND_TIMEOUT_S
    )
    try:
        yield conn
    finally:
        await conn.close()


async def _concerts(conn: Connection) -> dict[str, ConcertEntry]:
    """All concerts by id, without their dates."""
    return {row["id"]: ConcertEntry(**row, dates=()) for row in await conn.fetch(_SQL["concerts"])}


async def _read(conn: Connection, known: Catalogue = NOTHING) -> Catalogue:
    at = await version(conn)
    schedules = {}
    for row in await conn.fetch(_SQL["schedules"]):
        facts = dict(row)
        prices = Prices(zip(facts.pop("numbers"), facts.pop("prices"), strict=True))
        schedule, was = Schedule(**facts, prices=prices), known.schedules.get(row["id"])
        schedules[schedule.id] = was if was is not None and was == schedule else schedule
        # A date of 100,000 seats takes some 10 ms; there may be dozens of them.
        await asyncio.sleep(0)
    return Catalogue(schedules, at)


# -- changing --------------------------------------------------------------------------------------


class Change(msgspec.Struct):
    """What a document does to the tables."""

    concerts: list[ConcertEntry] = []
    """New, renamed, or moved to another queue."""
    schedules: list[Schedule] = []
    """New or different."""
    seats: list[Schedule] = []
    """Dates whose seats are written anew."""
    removed: list[str] = []
    renumbered: list[str] = []
    moved: list[tuple[str, str, str]] = []
    """Date, the concert it belongs to, the concert the document puts it under."""

    @property
    def bound(self) -> list[str]:
        """Dates that must not change like this once they have bookings."""
        return [*self.removed, *self.renumbered]

    @property
    def empty(self) -> bool:
        """Whether the tables say all of it already."""
        return not (self.concerts or self.schedules or self.seats or self.removed)


def change_of(document: Document, now: Catalogue, concerts: dict[str, ConcertEntry]) -> Change:
    """What importing the document changes; ``concerts`` are the known ones without their dates."""
    change = Change()
    mentioned = {concert.id for concert in document.concerts}
    wanted: set[str] = set()
    for concert in document.concerts:
        if concerts.get(concert.id) != replace(concert, dates=()):
            change.concerts.append(concert)
        for date in concert.dates:
            wanted.add(date.id)
            _change_date(change, schedule_of(concert, date), now.schedules.get(date.id))
    change.removed = [
        schedule.id
        for schedule in now.schedules.values()
        if schedule.concert_id in mentioned and schedule.id not in wanted
    ]
    return change


def _change_date(change: Change, new: Schedule, old: Schedule | None) -> None:
    if old is not None and old.concert_id != new.concert_id:
        change.moved.append((new.id, old.concert_id, new.concert_id))
        return
    if old != new:
        change.schedules.append(new)
    if old is None or old.prices != new.prices:
        change.seats.append(new)
    if old is not None and not old.prices.same_seats(new.prices):
        change.renumbered.append(new.id)


def refuse(change: Change, now: Catalogue, journaled: Iterable[str]) -> None:
    """Raise :class:`CatalogueError` if the change contradicts the ``journaled`` dates' bookings."""
    booked = set(journaled)
    reasons = [
        f"date {date!r} belongs to concert {old!r} and cannot move to {new!r}"
        for date, old, new in change.moved
    ]
    reasons += [
        f"date {date!r} of concert {now.schedules[date].concert_id!r} has bookings in the journal"
        " and cannot be removed"
        for date in change.removed
        if date in booked
    ]
    reasons += [
        f"date {date!r} has bookings in the journal and its seat numbers cannot change"
        for date in change.renumbered
        if date in booked
    ]
    if reasons:
        raise CatalogueError(reasons)


async def _journaled(conn: Connection, dates: Sequence[str]) -> set[str]:
    ledgers = [ledger_address(date) for date in dates]
    names = [ledger.text for ledger in ledgers]
    shards, entities = [ledger.slot for ledger in ledgers], [stable_hash(name) for name in names]
    rows = await conn.fetch(_SQL["journaled"], dates, shards, entities, names)
    return {row["id"] for row in rows}


async def _write(conn: Connection, change: Change) -> None:
    concerts = [_PUT_CONCERT.arguments(asdict(concert)) for concert in change.concerts]
    await conn.executemany(_PUT_CONCERT.text, concerts)
    await conn.execute(_SQL["drop_seats"], change.removed + [s.id for s in change.seats])
    await conn.execute(_SQL["drop_schedules"], change.removed)
    dates = [
        asdict(date_entry(new)) | {"concert_id": new.concert_id, "total_seats": new.total_seats}
        for new in change.schedules
    ]
    await conn.executemany(_PUT_SCHEDULE.text, [_PUT_SCHEDULE.arguments(date) for date in dates])
    await conn.copy_records_to_table(
        "seat",
        columns=("id", "schedule_id", "number", "price"),
        records=(
            (seat_id(s.id, number), s.id, number, price)
            for s in change.seats
            for number, price in s.prices.pairs()
        ),
    )


# -- at a running instance -------------------------------------------------------------------------


class PostgresCatalogue:
    """Implements :class:`booking.catalogue.contract.CatalogueStore`."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: asyncpg.Connection | None = None
        self._known = NOTHING
        """The catalogue as it was read last."""
        self._one_at_a_time = asyncio.Lock()
        """A document of the largest size is some 100 MB while it is worked on."""

    async def version(self) -> int:
        """See the contract."""
        async with self._connected() as connection:
            return await version(connection)

    async def load(self) -> Catalogue:
        """See the contract."""
        async with self._connected() as connection:
            self._known = await load(connection, self._known)
        return self._known

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[asyncpg.Connection]:
        try:
            if self._connection is None:
                self._connection = await asyncpg.connect(
                    self._dsn, timeout=5.0, command_timeout=30.0
                )
            yield self._connection
        except DATABASE_TROUBLE as error:
            await self.close()
            raise JournalError(str(error) or type(error).__name__) from error

    async def save(self, text: bytes) -> CatalogueSaved:
        """See the contract."""
        return await self._import(lambda: parse(text))

    async def save_concert(self, concert: str, text: bytes) -> CatalogueSaved:
        """See the contract."""
        return await self._import(lambda: parse_concert(text, concert))

    async def _import(self, read: Callable[[], Document]) -> CatalogueSaved:
        # In a thread with a loop of its own: reading a large document takes seconds of computing,
        # in which this instance would otherwise answer nobody.
        async with self._one_at_a_time:
            return await asyncio.to_thread(self._import_now, read)

    def _import_now(self, read: Callable[[], Document]) -> CatalogueSaved:
        wanted = read()
        try:
            version = asyncio.run(save(self._dsn, wanted))
        except DATABASE_TROUBLE as error:
            raise JournalError(str(error) or type(error).__name__) from error
        dates = sum(len(concert.dates) for concert in wanted.concerts)
        return CatalogueSaved(concerts=len(wanted.concerts), dates=dates, version=version)

    async def close(self) -> None:
        """See the contract."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.terminate()
