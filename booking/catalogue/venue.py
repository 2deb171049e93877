"""A venue in the catalogue document: its plan as rules, listed seats and standing areas."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Sequence
from functools import cache
from hashlib import blake2b
from typing import Annotated
from zoneinfo import available_timezones

import msgspec

from booking.catalogue.problems import Path
from booking.domain.plan import (
    FLAGS,
    Category,
    Curve,
    Flag,
    NumberingError,
    Plan,
    Row,
    Section,
    Venue,
    plan_of,
)

SEATS_MAX = 100_000
"""Seats of one date: the largest stadiums, and what a seat map can still be sent as."""
ROWS_MAX = 20_000
"""Of one plan: the largest stadiums have 5,000."""
WIDTH_MAX = 2_000
"""Seats of one row."""
LENGTH_MAX = 1_000_000
"""Centimetres: a plan of ten kilometres."""

Id = Annotated[str, msgspec.Meta(pattern=r"\A[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?\Z")]
Name = Annotated[str, msgspec.Meta(pattern=r"\A[^\x00-\x1f\x7f]+\Z", max_length=200)]
Number = Annotated[int, msgspec.Meta(ge=1, le=999_999_999)]
"""Nine digits, as :meth:`booking.catalogue.domain.Catalogue.find_seat` reads them."""
Found = tuple[Path, str]
_Label = Annotated[str, msgspec.Meta(pattern=r"\A[^\x00-\x1f\x7f]+\Z", max_length=20)]
_Colour = Annotated[str, msgspec.Meta(pattern=r"\A#[0-9a-fA-F]{6}\Z")]
_Place = Annotated[int, msgspec.Meta(ge=-LENGTH_MAX, le=LENGTH_MAX)]
_Width = Annotated[int, msgspec.Meta(ge=1, le=WIDTH_MAX)]
_Step = Annotated[int, msgspec.Meta(ge=-100, le=100)]
_Count = Annotated[int, msgspec.Meta(ge=1, le=SEATS_MAX)]
_zones = cache(available_timezones)
"""They are looked for in a few hundred files."""
_ROW_NAMES = re.compile(r"([A-Z]{1,2})(?:-([A-Z]{1,2}))?|(\d{1,4})(?:-(\d{1,4}))?")


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A part of the document."""


class CategoryEntry(_Entry, frozen=True):
    """A category of prices."""

    id: Id
    name: Name
    colour: _Colour


class CurveEntry(_Entry, frozen=True):
    """See :class:`booking.domain.plan.Curve`."""

    x: _Place = 0
    y: _Place = 0
    radius: Annotated[int, msgspec.Meta(ge=0, le=LENGTH_MAX)] = 0
    angle: Annotated[int, msgspec.Meta(ge=-360, le=360)] = 90
    pitch: Annotated[int, msgspec.Meta(ge=10, le=1_000)] = 55
    depth: Annotated[int, msgspec.Meta(ge=10, le=1_000)] = 90
    aisle: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 100


class RowsEntry(_Entry, frozen=True, rename="camel"):
    """A rule for some rows, such as A to V of 34 seats each with an aisle after the 17th."""

    rows: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    seats: _Width
    category: Id
    aisles: tuple[_Width, ...] = ()
    grow: _Step = 0
    """How many seats each row has more than the one before it."""
    first: Number | None = None
    """Number of the first seat; absent: the one after the highest so far."""
    first_label: Annotated[int, msgspec.Meta(ge=0, le=9_999)] = 1
    label_step: _Step = 1
    flags: dict[Flag, tuple[_Width, ...]] = {}
    """Positions from the left, from 1, in each of the rows."""
    curve: CurveEntry | None = None


class PlaceEntry(_Entry, frozen=True):
    """One listed seat; its row is in the order of the list, from left to right."""

    row: _Label
    label: _Label
    category: Id
    number: Number | None = None
    x: _Place | None = None
    y: _Place | None = None
    flags: tuple[Flag, ...] = ()
    aisle: bool = False
    """Whether there is an aisle to the right of it."""


class SectionEntry(_Entry, frozen=True):
    """A part of the house: rows by rules, listed seats, or standing room."""

    name: Name
    rows: tuple[RowsEntry, ...] = ()
    seats: tuple[PlaceEntry, ...] = ()
    standing: _Count | None = None
    category: Id = ""
    """Of standing room."""


class VenueEntry(_Entry, frozen=True, rename="camel"):
    """A house. Dates name it by its id."""

    id: Id
    name: Name
    city: Name
    time_zone: str
    categories: Annotated[tuple[CategoryEntry, ...], msgspec.Meta(min_length=1, max_length=100)]
    sections: tuple[SectionEntry, ...] = ()


def checked(entry: VenueEntry) -> tuple[Plan | None, list[Found]]:
    """The plan of a venue, and what is wrong with it."""
    building = _Building(entry)
    return building.plan(), building.found


def venue_of(entry: VenueEntry) -> Venue:
    """A checked venue as the domain knows it."""
    plan, found = checked(entry)
    assert plan is not None, found
    mark = mark_of(msgspec.json.encode(entry))
    return Venue(entry.id, entry.name, entry.city, entry.time_zone, plan, mark)


def mark_of(text: bytes) -> str:
    """Of the venue with this document in normal form."""
    return blake2b(text, digest_size=16).hexdigest()


def row_names(text: str) -> list[str]:
    """``A-C,F`` as A, B, C, F; also numbers. :class:`ValueError` with words for people."""
    names: list[str] = []
    for part in text.replace(" ", "").split(","):
        match = _ROW_NAMES.fullmatch(part)
        if match is None:
            raise ValueError(f"{part!r} is neither a row nor a range of rows, such as A-V or 1-20")
        letters, last_letters, digits, last_digits = match.groups()
        first, last = (letters, last_letters) if letters else (digits, last_digits)
        spell = _letters if letters else str
        names += map(spell, range(_rank(first), _rank(last or first) + 1))
        if _rank(last or first) < _rank(first):
            raise ValueError(f"{part!r} ends before it begins")
        if len(names) > ROWS_MAX:
            raise ValueError(f"are over {ROWS_MAX} rows")
    return names


def _rank(name: str) -> int:
    if name.isdigit():
        return int(name)
    return ord(name[-1]) - 64 + (26 * (ord(name[0]) - 64) if len(name) == 2 else 0)


def _letters(rank: int) -> str:
    above, last = divmod(rank - 1, 26)
    return (chr(64 + above) if above else "") + chr(65 + last)


class _Building:
    """A plan while it is put together, with what is wrong with it so far."""

    def __init__(self, entry: VenueEntry) -> None:
        self._entry = entry
        self.found: list[Found] = []
        self._rows: list[Row] = []
        self._next = 1
        self._seats = 0
        self._categories = {each.id: place for place, each in enumerate(entry.categories)}

    def plan(self) -> Plan | None:
        """``None`` if something is wrong."""
        entry = self._entry
        if entry.time_zone not in _zones():
            self._wrong(("timeZone",), f"{entry.time_zone!r} is no time zone, such as Asia/Seoul")
        self._no_twice("categories", [each.id for each in entry.categories], "id")
        self._no_twice("sections", [each.name for each in entry.sections], "name")
        if not entry.sections:
            self._wrong(("sections",), "are missing")
        for place, section in enumerate(entry.sections):
            if self._seats <= SEATS_MAX:  # else that is told, and more of it only takes time
                self._add_section(place, section)
        sections = [Section(each.name, each.standing is not None) for each in entry.sections]
        categories = [Category(each.id, each.name, each.colour) for each in entry.categories]
        try:
            plan = plan_of(categories, sections, self._rows)
        except NumberingError as error:
            if not self.found:
                self._wrong(("sections",), str(error))
        return None if self.found else plan

    def _wrong(self, path: Path, message: str) -> None:
        self.found.append((path, message))

    def _no_twice(self, what: str, names: Sequence[str], field: str) -> None:
        seen: set[str] = set()
        for place, name in enumerate(names):
            if name in seen:
                self._wrong((what, place, field), f"{name!r} is there twice")
            seen.add(name)

    def _category(self, path: Path, category: str) -> int:
        place = self._categories.get(category)
        if place is None:
            self._wrong((*path, "category"), f"there is no category {category!r}")
        return place or 0

    def _room(self, path: Path, rows: int, seats: int) -> bool:
        """Whether so much fits into the plan yet."""
        self._seats += seats
        fits = self._seats <= SEATS_MAX and len(self._rows) + rows <= ROWS_MAX
        if not fits:
            self._wrong(path, f"makes over {SEATS_MAX} seats or {ROWS_MAX} rows")
        return fits

    def _numbers(self, size: int, first: int | None = None) -> range:
        first = first or self._next
        self._next = max(self._next, first + size)
        return range(first, first + size)

    def _add_section(self, at: int, section: SectionEntry) -> None:
        path: Path = ("sections", at)
        if (bool(section.rows), bool(section.seats), section.standing is not None).count(True) != 1:
            self._wrong(path, "has rows, or seats, or standing room, and only one of them")
        elif section.standing is not None:
            category, size = self._category(path, section.category), section.standing
            if self._room((*path, "standing"), 1, size):
                numbers, labels, kinds = self._numbers(size), range(1, size + 1), bytes([category])
                self._rows.append(
                    Row(section=at, name="", numbers=numbers, labels=labels,
                        categories=kinds * size, flags=bytes(size))
                )  # fmt: skip
        elif section.rows:
            names: set[str] = set()
            for place, rule in enumerate(section.rows):
                if self._seats > SEATS_MAX:
                    break
                self._add_rows((*path, "rows", place), at, rule, names)
        elif self._room((*path, "seats"), len({s.row for s in section.seats}), len(section.seats)):
            self._add_listed(path, at, section.seats)

    def _add_rows(self, path: Path, section: int, rule: RowsEntry, known: set[str]) -> None:
        category = self._category(path, rule.category)
        try:
            names = row_names(rule.rows)
        except ValueError as error:
            return self._wrong((*path, "rows"), str(error))
        for name in names:
            if name in known:
                self._wrong((*path, "rows"), f"row {name!r} is there twice")
            known.add(name)
        last = rule.seats + rule.grow * (len(names) - 1)
        if not 1 <= last <= WIDTH_MAX:
            return self._wrong((*path, "grow"), f"makes a row of {last} seats")
        widest = max(rule.seats, last)
        if not rule.label_step or rule.first_label + rule.label_step * (widest - 1) < 0:
            return self._wrong((*path, "labelStep"), "makes no labels from 0 on, each once")
        for flag, positions in rule.flags.items():
            if max(positions, default=0) > min(rule.seats, last):
                words = "names a seat that not each of the rows has"
                return self._wrong((*path, "flags", flag), words)
        if not self._room(path, len(names), (rule.seats + last) * len(names) // 2):
            return None
        curve = msgspec.convert(rule.curve, Curve, from_attributes=True) if rule.curve else None
        alike: dict[int, Row] = {}
        for back, name in enumerate(names):
            width = rule.seats + rule.grow * back
            like = alike.get(width) or self._like(path, rule, category, width)
            if like is None:
                return None
            alike[width] = like
            first = rule.first if back == 0 else self._rows[-1].numbers[-1] + 1
            numbers = self._numbers(width, first)
            self._rows.append(
                msgspec.structs.replace(
                    like, section=section, name=name, numbers=numbers, curve=curve, back=back
                )
            )
        return None

    def _like(self, path: Path, rule: RowsEntry, category: int, width: int) -> Row | None:
        """What all rows of a rule that are so wide have in common."""
        aisles = tuple(aisle * width // rule.seats for aisle in rule.aisles)
        if list(aisles) != sorted({*aisles}) or (
            aisles and not 0 < aisles[0] <= aisles[-1] < width
        ):
            self._wrong((*path, "aisles"), f"do not lie one after the other in {width} seats")
            return None
        flags = bytearray(width)
        for flag, positions in rule.flags.items():
            for position in positions:
                flags[position - 1] |= 1 << FLAGS.index(flag)
        end = rule.first_label + rule.label_step * width
        return Row(
            section=0, name="", numbers=(), labels=range(rule.first_label, end, rule.label_step),
            categories=bytes([category]) * width, flags=bytes(flags), aisles=aisles,
        )  # fmt: skip

    def _add_listed(self, path: Path, section: int, seats: Sequence[PlaceEntry]) -> None:
        rows: dict[str, list[tuple[int, PlaceEntry]]] = {}
        for place, seat in enumerate(seats):
            rows.setdefault(seat.row, []).append((place, seat))
        numbers = [self._numbers(1, seat.number)[0] for seat in seats]
        for name, listed in rows.items():
            labels: set[str] = set()
            kinds, flags, points = bytearray(), bytearray(), []
            for place, seat in listed:
                at = (*path, "seats", place)
                if seat.label in labels:
                    self._wrong((*at, "label"), f"row {name!r} has seat {seat.label!r} twice")
                labels.add(seat.label)
                kinds.append(self._category(at, seat.category))
                flags.append(sum(1 << FLAGS.index(flag) for flag in {*seat.flags}))
                if seat.x is not None and seat.y is not None:
                    points.append((seat.x, seat.y))
            if len(points) not in (0, len(listed)):
                self._wrong(
                    (*path, "seats", listed[0][0], "x"), f"not all of row {name!r} has a place"
                )
            ends = [at for at, (_, seat) in enumerate(listed, 1) if seat.aisle]
            self._rows.append(
                Row(
                    section=section, name=name, numbers=_compact(numbers[p] for p, _ in listed),
                    labels=_labels([seat.label for _, seat in listed]), categories=bytes(kinds),
                    flags=bytes(flags), aisles=tuple(at for at in ends if at < len(listed)),
                    curve=tuple(points) or None,
                )
            )  # fmt: skip


def _compact(numbers: Iterable[int]) -> Sequence[int]:
    found = array("I", numbers)
    run = range(found[0], found[0] + len(found))
    return run if all(map(int.__eq__, found, run)) else found


def _labels(labels: Sequence[str]) -> Sequence[int] | Sequence[str]:
    first = labels[0]
    if len(first) < 6 and first.isascii() and first.isdigit():
        run = range(int(first), int(first) + len(labels))
        if list(map(str, run)) == list(labels):
            return run
    return tuple(labels)
