"""The plan of a venue as JSON: made once for each of its versions, for all dates there."""
# ruff: noqa: N815  -- the field names are the public ones

import asyncio
from collections import OrderedDict
from collections.abc import Iterator
from itertools import groupby
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from booking.calls import UnknownError
from booking.catalogue.domain import Catalogue
from booking.domain.plan import Category, Flag, Plan, Row, Venue, flags_of
from booking_http.reply import JSON, PUBLIC, Representation, gzip_of, packed_part
from booking_http.schemas import Count, Id, SeatNumber

PLANS_MAX = 32
"""Plans kept: one of a large hall takes megabytes."""
PART_SEATS = 512
"""Seats of a part, rendered and compressed before other work gets the loop."""
_ENCODE = msgspec.json.Encoder().encode
_Centimetres = Annotated[int, Meta(description="Centimetres; y grows away from the stage.")]


class PlanSeat(msgspec.Struct, frozen=True, omit_defaults=True):
    """A seat; a plan without geometry has no x and y."""

    seatNumber: SeatNumber
    label: str
    category: Id
    x: _Centimetres | UnsetType = UNSET
    y: _Centimetres | UnsetType = UNSET
    flags: tuple[Flag, ...] = ()


class PlanRow(msgspec.Struct, frozen=True):
    """Neighbours from left to right; each aisle with the number of seats to its left."""

    name: str
    aisles: tuple[Count, ...]
    seats: list[PlanSeat]


class StandingArea(msgspec.Struct, frozen=True):
    """Places without a seat, sold by count; they are numbered all the same."""

    capacity: Count
    firstNumber: SeatNumber
    category: Id


class PlanSection(msgspec.Struct, frozen=True, omit_defaults=True):
    """A part of the house: rows, or a standing area."""

    name: str
    rows: list[PlanRow] | UnsetType = UNSET
    standing: StandingArea | UnsetType = UNSET


class VenuePlan(msgspec.Struct, frozen=True):
    """A venue and its plan; the best category first."""

    venue: Id
    name: str
    city: str
    timeZone: str
    totalSeats: Count
    categories: tuple[Category, ...]
    sections: list[PlanSection]


class VenuePlans:
    """The plans of the catalogue's venues."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Representation] = OrderedDict()
        self._making = asyncio.Lock()

    async def plan(self, catalogue: Catalogue, schedule: str) -> Representation:
        """Of the venue where a date is; :class:`UnknownError` for a date that is unknown, or of
        which the catalogue does not say where it is."""
        venue = catalogue.venue_of(catalogue.schedules.get(schedule))
        if venue is None:
            raise UnknownError(f"plan of date {schedule}")
        kept = self._kept.get(venue.mark)
        if kept is None:
            async with self._making:
                kept = self._kept.get(venue.mark) or await _made(venue)
                self._kept[venue.mark] = kept
        self._kept.move_to_end(venue.mark)
        if len(self._kept) > PLANS_MAX:
            self._kept.popitem(last=False)
        return kept


async def _made(venue: Venue) -> Representation:
    texts, packed = [], []
    for text in _parts(venue):
        texts.append(text)
        packed.append(packed_part(text))
        await asyncio.sleep(0)
    made = Representation(texts, f'"{venue.mark}"', JSON, PUBLIC)
    made.pack(gzip_of(texts, packed))
    return made


def _parts(venue: Venue) -> Iterator[bytes]:
    """The text, in parts of some hundred seats."""
    plan, seats = venue.plan, 0
    facts = venue.id, venue.name, venue.city, venue.time_zone, plan.seats, plan.categories
    text = b'{"success":true,"data":' + _ENCODE(VenuePlan(*facts, []))[:-2]
    for section, rows in groupby(plan.rows, lambda row: plan.sections[row.section]):
        text += b"," if not text.endswith(b"[") else b""
        if section.standing:
            text += _ENCODE(PlanSection(section.name, standing=_standing(plan, next(rows))))
            continue
        text += b'{"name":%b,"rows":[' % _ENCODE(section.name)
        for place, row in enumerate(rows):
            text += (b"," if place else b"") + _ENCODE(_row(plan, row))
            seats += len(row.numbers)
            if seats >= PART_SEATS:
                yield text
                text, seats = b"", 0
        text += b"]}"
    yield text + b"]}}"


def _standing(plan: Plan, row: Row) -> StandingArea:
    category = plan.categories[row.categories[0]].id
    return StandingArea(len(row.numbers), row.numbers[0], category)


def _row(plan: Plan, row: Row) -> PlanRow:
    seats = []
    for at, number in enumerate(row.numbers):
        x, y = row.point(at) or (UNSET, UNSET)
        category = plan.categories[row.categories[at]].id
        label, flags = str(row.labels[at]), flags_of(row.flags[at])
        seats.append(PlanSeat(number, label, category, x, y, flags))
    return PlanRow(row.name, row.aisles, seats)
