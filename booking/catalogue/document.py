"""The catalogue as a JSON document, a list of whole concerts: see
``docs/reference/catalogue.md``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import repeat, starmap
from typing import Annotated

import msgspec
from msgspec.structs import replace

from booking.catalogue.domain import MAIN_QUEUE, SEATS_PER_DATE, Schedule, blocking, spans
from booking.catalogue.problems import DocumentError, Problem, check_text
from booking.catalogue.venue import (
    SEATS_MAX,
    Found,
    Id,
    Name,
    Number,
    SectionEntry,
    VenueEntry,
    checked,
)
from booking.domain.persistent import Prices
from booking.domain.plan import Plan

PRICE_MAX = 1_000_000_000
"""In won."""
DOCUMENT_BYTES_MAX = 64 * 2**20
"""A season of two million seats; a typing error in a file name should not fill the memory."""
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
LATEST = datetime(3000, 1, 1, tzinfo=UTC)
"""A slipped digit in a year is an error, not a date."""

_Time = Annotated[datetime, msgspec.Meta(tz=True)]
_Price = Annotated[int, msgspec.Meta(ge=0, le=PRICE_MAX)]
_Limit = Annotated[int, msgspec.Meta(ge=1, le=1_000)]
_Total = Annotated[int, msgspec.Meta(ge=1, le=SEATS_MAX)]


class SeatEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One seat of a date."""

    number: Number
    price: _Price | None = None
    """In won; the date's price if absent."""


class BlockEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Seats that are not for sale yet, such as those of the house."""

    seats: Annotated[str, msgspec.Meta(min_length=1, max_length=100_000)]
    """Numbers and ranges of numbers, such as ``1-10,15``."""
    reason: Name


class DateEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One date. Its seats are listed, or numbered 1 to ``totalSeats`` at one price."""

    id: Id
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
    venue: Id | None = None
    """Where it is: the venue's plan says which seats there are."""
    category_prices: dict[Id, _Price] | None = msgspec.field(default=None, name="prices")
    """By category of the plan; the date's price for one that is not in it."""
    blocked: tuple[BlockEntry, ...] = ()
    max_per_user: _Limit | None = msgspec.field(default=None, name="maxPerUser")
    """Seats that one user may hold and own together."""

    def prices(self, plan: Plan | None = None) -> Prices:
        """Those of all its seats. Only for a date that was checked with this plan of its venue."""
        if self.seats is not None:
            return Prices(map(self._priced, sorted(self.seats, key=lambda seat: seat.number)))
        if plan is None:
            assert self.price is not None
            numbers = range(1, (self.total_seats or SEATS_PER_DATE) + 1)
            return Prices(zip(numbers, repeat(self.price)))
        named, other = self.category_prices or {}, self.price or 0
        prices = [named.get(category.id, other) for category in plan.categories]
        return Prices(enumerate(map(prices.__getitem__, plan.categories_by_number()), 1))

    def numbers(self, plan: Plan | None) -> range | set[int]:
        """Of all its seats."""
        if self.seats is not None:
            return {seat.number for seat in self.seats}
        return range(1, (plan.seats if plan else self.total_seats or SEATS_PER_DATE) + 1)

    def _priced(self, seat: SeatEntry) -> tuple[int, int]:
        price = self.price if seat.price is None else seat.price
        assert price is not None
        return seat.number, price


class ConcertEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One concert with all its dates."""

    id: Id
    name: Name
    dates: tuple[DateEntry, ...]
    queue: Id = MAIN_QUEUE
    """The queue whose tokens open its dates."""


class Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Whole concerts, and venues."""

    concerts: tuple[ConcertEntry, ...]
    venues: tuple[VenueEntry, ...] = ()

    def with_sections(self, listed: Mapping[str, Sequence[SectionEntry]]) -> Document:
        """The document with more sections of its venues, by the venue's id; :class:`DocumentError`
        for a venue that is not in it."""
        for venue in listed.keys() - {each.id for each in self.venues}:
            raise DocumentError([Problem(1, "venues", f"{venue!r} is not one of them")])
        venues = (
            replace(each, sections=(*each.sections, *listed.get(each.id, ())))
            for each in self.venues
        )
        return replace(self, venues=tuple(venues))


def parse(text: bytes, listed: Mapping[str, Sequence[SectionEntry]] | None = None) -> Document:
    """The document in a JSON text, with sections that are listed elsewhere, checked;
    :class:`DocumentError` with all it can tell at once."""

    def read() -> Document:
        return msgspec.json.decode(text, type=Document).with_sections(listed or {})

    if len(text) > DOCUMENT_BYTES_MAX:
        raise DocumentError([Problem(1, "document", f"over {DOCUMENT_BYTES_MAX} bytes")])
    levels = [("concerts", ConcertEntry), ("dates", DateEntry)]
    check_text(text, Document, levels, lambda: _rules(read()))
    return read()


def parse_concert(text: bytes, concert: str) -> Document:
    """A document of one concert, which has to have this id; :class:`DocumentError`."""

    def rules() -> Iterator[Found]:
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


def date_entry(schedule: Schedule, plan: Plan | None = None) -> DateEntry:
    """A date in normal form: seats are listed only if they differ from 1 to n at one price, or
    with the plan of its venue, at one for each category."""
    every = blocking(schedule, (n for block in schedule.blocked for n in block.numbers), "").prices
    reasons: dict[str, list[str]] = {}
    for block in schedule.blocked:
        reasons.setdefault(block.reason, []).append(block.spelled)
    date = DateEntry(
        schedule.id,
        *moments(schedule),
        venue=schedule.venue or None,
        blocked=tuple(BlockEntry(",".join(seats), why) for why, seats in reasons.items()),
        max_per_user=schedule.max_per_user or None,
    )
    if plan is None:
        plain = replace(date, price=every.get(1, 0), total_seats=len(every))
    else:
        prices = [price for _, price in every.pairs()]
        by_place = dict(zip(plan.categories_by_number(), prices, strict=True))
        named = {plan.categories[place].id: price for place, price in sorted(by_place.items())}
        plain = replace(date, category_prices=named)
    if plain.prices(plan) == every:
        return plain
    return replace(date, seats=tuple(starmap(SeatEntry, every.pairs())))


def moments(schedule: Schedule) -> tuple[datetime, datetime, datetime, datetime]:
    """When a date opens, closes, begins and stops to be booked."""
    booking = _time(schedule.booking_start_ms), _time(schedule.booking_end_ms)
    return _time(schedule.open_ms), _time(schedule.close_ms), *booking


def schedule_of(concert: ConcertEntry, date: DateEntry, plan: Plan | None = None) -> Schedule:
    """A checked date as the domain knows it, given the plan of its venue."""
    schedule = Schedule(
        id=date.id,
        concert_id=concert.id,
        concert_name=concert.name,
        open_ms=_ms(date.open_at),
        close_ms=_ms(date.close_at),
        booking_start_ms=_ms(date.booking_start),
        booking_end_ms=_ms(date.booking_end),
        prices=date.prices(plan),
        queue=concert.queue,
        venue=date.venue or "",
        max_per_user=date.max_per_user or 0,
    )
    for block in date.blocked:
        schedule = blocking(schedule, spans(block.seats), block.reason)
    return schedule


# -- rules that types cannot say -------------------------------------------------------------------


def _rules(document: Document) -> Iterator[Found]:
    concerts: Counter[str] = Counter()
    dates: Counter[str] = Counter()
    plans: dict[str, Plan | None] = {}
    for i, venue in enumerate(document.venues):
        if venue.id in plans:
            yield ("venues", i, "id"), f"venue {venue.id!r} is in the document twice"
        plans[venue.id], found = checked(venue)
        for path, message in found:
            yield ("venues", i, *path), message
    for i, concert in enumerate(document.concerts):
        concerts[concert.id] += 1
        if concerts[concert.id] > 1:
            yield ("concerts", i, "id"), f"concert {concert.id!r} is in the document twice"
        for j, date in enumerate(concert.dates):
            at = ("concerts", i, "dates", j)
            dates[date.id] += 1
            if dates[date.id] > 1:
                yield (*at, "id"), f"date {date.id!r} is in the document twice"
            rules = [*_time_rules(date), *_seat_rules(date)]
            plan = plans.get(date.venue or "")
            if not rules and (plan or date.venue is None):
                # A venue that is not in the document is known where the document is imported.
                rules = [*plan_rules(date, plan)]
            for path, message in rules:
                yield (*at, *path), message


def _time_rules(date: DateEntry) -> Iterator[Found]:
    for field in ("open_at", "close_at", "booking_start", "booking_end"):
        if not EARLIEST <= getattr(date, field) < LATEST:
            yield (field,), "not between the years 2000 and 2999"
    if not date.open_at < date.close_at:
        yield ("close_at",), "is not after open_at"
    if not date.booking_start < date.booking_end:
        yield ("booking_end",), "is not after booking_start"
    if date.booking_end > date.close_at:
        yield ("booking_end",), "is after close_at"


def _seat_rules(date: DateEntry) -> Iterator[Found]:
    if date.seats is None:
        if date.price is None and (date.venue is None or not date.category_prices):
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


def plan_rules(date: DateEntry, plan: Plan | None) -> Iterator[Found]:
    """What is wrong with a date that keeps all other rules, given the plan of its venue."""
    numbers, named = date.numbers(plan), date.category_prices
    if plan is None and named is not None:
        yield ("prices",), "are by category, which needs a venue"
    elif plan is not None:
        if (date.total_seats or plan.seats) != plan.seats:
            yield ("totalSeats",), f"is {date.total_seats}, but the plan has {plan.seats} seats"
        if date.seats is not None and numbers != {*range(1, plan.seats + 1)}:
            yield ("seats",), f"are not those of the plan, 1 to {plan.seats}"
        known = {category.id for category in plan.categories}
        for category in (named or {}).keys() - known:
            yield ("prices", category), f"there is no category {category!r}"
        if date.price is None and date.seats is None:
            for category in sorted(plan.counts().keys() - (named or {}).keys()):
                yield ("prices",), f"have none for the category {category!r}"
    seen: set[int] = set()
    for place, block in enumerate(date.blocked):
        try:
            wanted = spans(block.seats)
        except ValueError as error:
            yield ("blocked", place, "seats"), str(error)
            continue
        for number in wanted:
            if number not in numbers or number in seen:
                trouble = "is blocked twice" if number in seen else "is not a seat of this date"
                yield ("blocked", place, "seats"), f"{number} {trouble}"
        seen.update(wanted)


# -- times -----------------------------------------------------------------------------------------

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _ms(moment: datetime) -> int:
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000


def _time(ms: int) -> datetime:
    seconds, rest = divmod(ms, 1000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest * 1000)
