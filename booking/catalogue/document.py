"""The catalogue as a JSON document, a list of whole concerts: see
``docs/reference/catalogue.md``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import repeat, starmap
from typing import Annotated

import msgspec

from booking.catalogue.domain import MAIN_QUEUE, SEATS_PER_DATE, Schedule
from booking.catalogue.problems import DocumentError, Problem, check_text
from booking.domain.persistent import Prices

SEATS_MAX = 100_000
"""Seats of one date: the largest stadiums, and what a seat map can still be sent as."""
NUMBER_MAX = 999_999_999
"""Nine digits, as :meth:`booking.catalogue.domain.Catalogue.find_seat` reads them."""
PRICE_MAX = 1_000_000_000
"""In won."""
DOCUMENT_BYTES_MAX = 64 * 2**20
"""A season of two million seats; a typing error in a file name should not fill the memory."""
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
LATEST = datetime(3000, 1, 1, tzinfo=UTC)
"""A slipped digit in a year is an error, not a date."""

_Id = Annotated[str, msgspec.Meta(pattern=r"\A[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?\Z")]
_Name = Annotated[str, msgspec.Meta(pattern=r"\A[^\x00-\x1f\x7f]+\Z", max_length=200)]
_Time = Annotated[datetime, msgspec.Meta(tz=True)]
_Price = Annotated[int, msgspec.Meta(ge=0, le=PRICE_MAX)]
_Total = Annotated[int, msgspec.Meta(ge=1, le=SEATS_MAX)]
_Number = Annotated[int, msgspec.Meta(ge=1, le=NUMBER_MAX)]


class SeatEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One seat of a date."""

    number: _Number
    price: _Price | None = None
    """In won; the date's price if absent."""


class DateEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One date. Its seats are listed, or numbered 1 to ``totalSeats`` at one price."""

    id: _Id
    open_at: _Time
    close_at: _Time
    booking_start: _Time
    booking_end: _Time
    price: _Price | None = None
    """The price of every seat that names none of its own."""
    total_seats: _Total | None = msgspec.field(default=None, name="totalSeats")
    seats: Annotated[tuple[SeatEntry, ...], msgspec.Meta(min_length=1, max_length=SEATS_MAX)] | (
        None
    ) = None

    def prices(self) -> Prices:
        """Those of its seats. Only for a date that was checked."""
        if self.seats is None:
            assert self.price is not None
            numbers = range(1, (self.total_seats or SEATS_PER_DATE) + 1)
            return Prices(zip(numbers, repeat(self.price)))
        return Prices(map(self._priced, sorted(self.seats, key=lambda seat: seat.number)))

    def _priced(self, seat: SeatEntry) -> tuple[int, int]:
        price = self.price if seat.price is None else seat.price
        assert price is not None
        return seat.number, price


class ConcertEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One concert with all its dates."""

    id: _Id
    name: _Name
    dates: tuple[DateEntry, ...]
    queue: _Id = MAIN_QUEUE
    """The queue whose tokens open its dates."""


class Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whole concerts."""

    concerts: tuple[ConcertEntry, ...]


def parse(text: bytes) -> Document:
    """The document in a JSON text, checked; :class:`DocumentError` with all it can tell at once."""
    if len(text) > DOCUMENT_BYTES_MAX:
        raise DocumentError([Problem(1, "document", f"over {DOCUMENT_BYTES_MAX} bytes")])
    check_text(
        text,
        Document,
        [("concerts", ConcertEntry), ("dates", DateEntry)],
        lambda: _rules(msgspec.json.decode(text, type=Document)),
    )
    return msgspec.json.decode(text, type=Document)


def parse_concert(text: bytes, concert: str) -> Document:
    """A document of one concert, which has to have this id; :class:`DocumentError`."""

    def rules() -> Iterator[_Found]:
        entry = msgspec.json.decode(text, type=ConcertEntry)
        if entry.id != concert:
            yield ("id",), f"is {entry.id!r}, but the concert to be changed is {concert!r}"
        yield from ((path[2:], message) for path, message in _rules(Document((entry,))))

    check_text(text, ConcertEntry, [("dates", DateEntry)], rules)
    return Document((msgspec.json.decode(text, type=ConcertEntry),))


def check(document: Document) -> Document:
    """The same document, if it was made by a program and keeps the rules."""
    return parse(encode(document))


def encode(document: Document) -> bytes:
    """The document as an indented JSON text."""
    return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"


def date_entry(schedule: Schedule) -> DateEntry:
    """A date in normal form: seats are listed only if they differ from 1 to n at one price."""
    price, seats = schedule.prices.get(1), len(schedule.prices)
    plain = price is not None and schedule.prices == Prices(zip(range(1, seats + 1), repeat(price)))
    return DateEntry(
        id=schedule.id,
        open_at=_time(schedule.open_ms),
        close_at=_time(schedule.close_ms),
        booking_start=_time(schedule.booking_start_ms),
        booking_end=_time(schedule.booking_end_ms),
        price=price if plain else None,
        total_seats=seats if plain else None,
        seats=None if plain else tuple(starmap(SeatEntry, schedule.prices.pairs())),
    )


def schedule_of(concert: ConcertEntry, date: DateEntry) -> Schedule:
    """A checked date as the domain knows it."""
    return Schedule(
        id=date.id,
        concert_id=concert.id,
        concert_name=concert.name,
        open_ms=_ms(date.open_at),
        close_ms=_ms(date.close_at),
        booking_start_ms=_ms(date.booking_start),
        booking_end_ms=_ms(date.booking_end),
        prices=date.prices(),
        queue=concert.queue,
    )


# -- rules that types cannot say -------------------------------------------------------------------

_Found = tuple[tuple[str | int, ...], str]


def _rules(document: Document) -> Iterator[_Found]:
    concerts: Counter[str] = Counter()
    dates: Counter[str] = Counter()
    for i, concert in enumerate(document.concerts):
        concerts[concert.id] += 1
        if concerts[concert.id] > 1:
            yield ("concerts", i, "id"), f"concert {concert.id!r} is in the document twice"
        for j, date in enumerate(concert.dates):
            at = ("concerts", i, "dates", j)
            dates[date.id] += 1
            if dates[date.id] > 1:
                yield (*at, "id"), f"date {date.id!r} is in the document twice"
            for path, message in (*_time_rules(date), *_seat_rules(date)):
                yield (*at, *path), message


def _time_rules(date: DateEntry) -> Iterator[_Found]:
    for field in ("open_at", "close_at", "booking_start", "booking_end"):
        if not EARLIEST <= getattr(date, field) < LATEST:
            yield (field,), "not between the years 2000 and 2999"
    if not date.open_at < date.close_at:
        yield ("close_at",), "is not after open_at"
    if not date.booking_start < date.booking_end:
        yield ("booking_end",), "is not after booking_start"
    if date.booking_end > date.close_at:
        yield ("booking_end",), "is after close_at"


def _seat_rules(date: DateEntry) -> Iterator[_Found]:
    if date.seats is None:
        if date.price is None:
            yield ("price",), "is required unless every seat has its own"
        return
    if date.total_seats is not None and date.total_seats != len(date.seats):
        yield ("totalSeats",), f"is {date.total_seats}, but {len(date.seats)} seats are listed"
    numbers = set()
    for k, seat in enumerate(date.seats):
        if seat.number in numbers:
            yield ("seats", k, "number"), f"seat {seat.number} is listed twice"
        if seat.price is None and date.price is None:
            yield ("seats", k, "price"), "is required, because the date has no price"
        numbers.add(seat.number)


# -- times -----------------------------------------------------------------------------------------

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _ms(moment: datetime) -> int:
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000


def _time(ms: int) -> datetime:
    seconds, rest = divmod(ms, 1000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest * 1000)
