"""The catalogue in Postgres: read whole, changed only by importing a document, all or nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
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
    moments,
    parse,
    parse_concert,
    plan_rules,
    schedule_of,
)
from booking.catalogue.domain import (
    Block,
    Catalogue,
    Schedule,
    blocking,
    seat_id,
    since,
    spans,
)
from booking.catalogue.problems import spell
from booking.catalogue.venue import VenueEntry, mark_of, venue_of
from booking.domain.persistent import Prices
from booking.domain.plan import Venue
from booking.entities import ledger_address, seat_address

CONNECT_TIMEOUT_S = 10.0
COMMAND_TIMEOUT_S = 60.0
"""An import of the largest document writes two million seats; the ordinary one takes a moment."""

_SQL = texts("booking.catalogue", "statements.sql")
_PUT_CONCERT, _PUT_SCHEDULE = (numbered(_SQL[name]) for name in ("put_concert", "put_schedule"))

_MOMENTS = ("open_at", "close_at", "booking_start", "booking_end")

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
        catalogue, texts = await _read(conn), await conn.fetch(_SQL["venues"])
    dates: dict[str, list[DateEntry]] = {concert: [] for concert in concerts}
    for schedule in catalogue.schedules.values():
        date = date_entry(schedule, catalogue.plan_of(schedule))
        dates[schedule.concert_id].append(date)
    whole = (replace(each, dates=tuple(dates[each.id])) for each in concerts.values())
    venues = [msgspec.json.decode(row["document"], type=VenueEntry) for row in texts]
    return Document(tuple(whole), tuple(venues))


async def save(dsn: str, document: Document) -> int:
    """Import whole concerts and return the catalogue's version, the same if nothing changes.

    Concerts that are not in the document stay; dates of its concerts that are not in it go. A date
    with events in the journal is neither removed nor gets other seat numbers:
    :class:`CatalogueError`. Raises :class:`~booking.catalogue.problems.DocumentError` too.
    """
    document = check(document)
    async with _connected(dsn) as conn, conn.transaction():
        seen = int(await conn.fetchval(_SQL["lock_version"]))
        now, now_ms = await _read(conn), int(await conn.fetchval(_SQL["now_ms"]))
        change = change_of(document, now, await _concerts(conn), now_ms)
        return await _apply(conn, change, now, seen)


async def block(dsn: str, date: str, seats: str, reason: str) -> int:
    """Block seats of a date, or open them without a reason, and return the catalogue's version.
    Raises :class:`CatalogueError`."""
    async with _connected(dsn) as conn, conn.transaction():
        seen = int(await conn.fetchval(_SQL["lock_version"]))
        now, now_ms = await _read(conn), int(await conn.fetchval(_SQL["now_ms"]))
        new = reblocked(now, date, seats, reason, now_ms)
        change = Change()
        _change_date(change, new, now.schedules[date])
        return await _apply(conn, change, now, seen)


def reblocked(
    catalogue: Catalogue, date: str, seats: str, reason: str, now_ms: int = 0
) -> Schedule:
    """The date with these seats blocked, or open without a reason; :class:`CatalogueError`."""
    schedule = catalogue.schedules.get(date)
    if schedule is None:
        raise CatalogueError([f"there is no date {date!r}"])
    try:
        return blocking(schedule, spans(seats), reason, now_ms)
    except ValueError as error:
        raise CatalogueError([f"seats: {error}"]) from None
    except KeyError as error:
        raise CatalogueError([f"seats: {error} is not a seat of date {date!r}"]) from None


async def _apply(conn: Connection, change: Change, now: Catalogue, version: int) -> int:
    refuse(change, now, await _journaled(conn, change.bound), await _taken(conn, change.blocked))
    if change.empty:
        return version
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


async def _venues(conn: Connection, known: Catalogue) -> dict[str, Venue]:
    venues = {}
    for row in await conn.fetch(_SQL["venues"]):
        was, text = known.venues.get(row["id"]), row["document"].encode()
        if was is None or was.mark != mark_of(text):
            # In a thread: 100,000 listed seats take a second, and this instance may be serving.
            was = await asyncio.to_thread(_venue, text)
        venues[was.id] = was
    return venues


def _venue(text: bytes) -> Venue:
    return venue_of(msgspec.json.decode(text, type=VenueEntry))


async def _read(conn: Connection, known: Catalogue = NOTHING) -> Catalogue:
    at, venues = await version(conn), await _venues(conn, known)
    schedules = {}
    for row in await conn.fetch(_SQL["schedules"]):
        facts = dict(row)
        blocked = msgspec.json.decode(facts.pop("blocked"), type=tuple[Block, ...])
        pairs = list(zip(facts.pop("numbers"), facts.pop("prices"), strict=True))
        if blocked:  # An import by the release before this one puts them on sale: they are not.
            off_sale = {number for each in blocked for number in each.numbers}
            pairs = [pair for pair in pairs if pair[0] not in off_sale]
        schedule = Schedule(**facts, prices=Prices(pairs), blocked=blocked)
        old = known.schedules.get(schedule.id)
        schedules[schedule.id] = old if old is not None and old == schedule else schedule
        # A date of 100,000 seats takes some 10 ms; there may be dozens of them.
        await asyncio.sleep(0)
    return Catalogue(schedules, at, venues)


# -- changing --------------------------------------------------------------------------------------


class Change(msgspec.Struct):
    """What a document does to the tables."""

    venues: dict[str, VenueEntry] = {}
    """New or different."""
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
    blocked: dict[str, list[int]] = {}
    """By date, the seats that are for sale and will not be."""
    wrong: list[str] = []
    """What does not fit the venues there are."""

    @property
    def bound(self) -> list[str]:
        """Dates that must not change like this once they have bookings."""
        return [*self.removed, *self.renumbered]

    @property
    def empty(self) -> bool:
        """Whether the tables say all of it already."""
        return not (self.venues or self.concerts or self.schedules or self.seats or self.removed)


def change_of(
    document: Document, now: Catalogue, concerts: dict[str, ConcertEntry], now_ms: int
) -> Change:
    """What importing the document changes; ``concerts`` are the known ones without their dates."""
    change = Change()
    mentioned = {concert.id for concert in document.concerts}
    wanted: set[str] = set()
    venues = now.venues | {venue.id: venue_of(venue) for venue in document.venues}
    for concert in document.concerts:
        if concerts.get(concert.id) != replace(concert, dates=()):
            change.concerts.append(concert)
        for date in concert.dates:
            wanted.add(date.id)
            old = now.schedules.get(date.id)
            if (new := _schedule(change, concert, date, venues)) is not None:
                _change_date(change, since(new, old, now_ms), old)
    _change_venues(change, document, now, venues, wanted)
    change.removed = [
        schedule.id
        for schedule in now.schedules.values()
        if schedule.concert_id in mentioned and schedule.id not in wanted
    ]
    return change


def _schedule(
    change: Change, concert: ConcertEntry, date: DateEntry, venues: Mapping[str, Venue]
) -> Schedule | None:
    venue = venues.get(date.venue or "")
    if date.venue is not None and venue is None:
        change.wrong.append(f"date {date.id!r}: venue: there is no venue {date.venue!r}")
        return None
    plan = None if venue is None else venue.plan
    wrong = [f"date {date.id!r}: {spell(path)}: {why}" for path, why in plan_rules(date, plan)]
    change.wrong += wrong
    return None if wrong else schedule_of(concert, date, plan)


def _change_venues(
    change: Change,
    document: Document,
    now: Catalogue,
    venues: Mapping[str, Venue],
    wanted: Collection[str],
) -> None:
    for entry in document.venues:
        old, new = now.venues.get(entry.id), venues[entry.id]
        if old is not None and old.mark == new.mark:
            continue
        change.venues[entry.id] = entry
        here = [date for date in now.schedules.values() if date.venue == entry.id]
        change.wrong += [
            f"venue {entry.id!r} has {new.plan.seats} seats now, and date {each.id!r}, which is not"
            f" in the document, has {each.all_seats}"
            for each in here
            if each.id not in wanted and each.all_seats != new.plan.seats
        ]
        if old is not None and not old.plan.same_places(new.plan):
            change.renumbered += [date.id for date in here]


def _change_date(change: Change, new: Schedule, old: Schedule | None) -> None:
    if old is not None and old.concert_id != new.concert_id:
        change.moved.append((new.id, old.concert_id, new.concert_id))
        return
    if old != new:
        change.schedules.append(new)
    if old is None or old.prices != new.prices:
        change.seats.append(new)
    if old is None:
        return
    change.blocked[new.id] = [
        number for each in new.blocked for number in each.numbers if number in old.prices
    ]
    if not old.same_seats(new) or (old.venue and old.venue != new.venue):
        change.renumbered.append(new.id)


def refuse(
    change: Change, now: Catalogue, journaled: Iterable[str], taken: Iterable[str] = ()
) -> None:
    """Raise :class:`CatalogueError` if the change contradicts itself or the bookings there are:
    of the ``journaled`` dates, and of the ``taken`` seats among those that it blocks."""
    booked = set(journaled)
    reasons = change.wrong + [
        f"seat {seat} is held or sold and cannot be blocked" for seat in taken
    ]
    reasons += [
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
        for date in dict.fromkeys(change.renumbered)
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


async def _taken(conn: Connection, blocked: Mapping[str, Sequence[int]]) -> list[str]:
    seats = {
        seat_address(date, number): seat_id(date, number)
        for date, numbers in blocked.items()
        for number in numbers
    }
    texts = [address.text for address in seats]
    shards, entities = [address.slot for address in seats], [*map(stable_hash, texts)]
    rows = await conn.fetch(_SQL["taken"], shards, entities, texts)
    names = dict(zip(texts, seats.values(), strict=True))
    return [names[row["seat"]] for row in rows]


async def _write(conn: Connection, change: Change) -> None:
    for name, venue in change.venues.items():
        await conn.execute(_SQL["put_venue"], name, msgspec.json.encode(venue).decode())
    concerts = [_PUT_CONCERT.arguments(asdict(concert)) for concert in change.concerts]
    await conn.executemany(_PUT_CONCERT.text, concerts)
    await conn.execute(_SQL["drop_seats"], change.removed + [s.id for s in change.seats])
    await conn.execute(_SQL["drop_schedules"], change.removed)
    dates = [
        asdict(new)
        | dict(zip(_MOMENTS, moments(new), strict=True))
        | {"total_seats": new.all_seats, "blocked": msgspec.json.encode(new.blocked).decode()}
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

    async def block(self, date: str, seats: str, reason: str) -> int:
        """See the contract."""
        async with self._one_at_a_time:
            try:
                return await block(self._dsn, date, seats, reason)
            except DATABASE_TROUBLE as error:
                raise JournalError(str(error) or type(error).__name__) from error

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
