"""The plan of a venue: its sections, rows and seats, with labels, categories and places.

A plan is immutable and all dates of a venue share it. A row costs some hundred bytes and a seat
two: labels, numbers and places follow from the row.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from math import cos, radians, sin
from operator import eq
from typing import Final, Literal

import msgspec

Flag = Literal["accessible", "companion", "restricted"]
FLAGS: Final[tuple[Flag, ...]] = ("accessible", "companion", "restricted")
"""For a wheelchair; beside one, for who comes along; with a restricted view."""
Point = tuple[int, int]
"""Centimetres: to the right as seen from the seats, and away from the stage."""


class Category(msgspec.Struct, frozen=True):
    """Seats of one price. A plan names the best category first."""

    id: str
    name: str
    colour: str


class Section(msgspec.Struct, frozen=True):
    """A part of the house; a ``standing`` one is a single row without a name."""

    name: str
    standing: bool = False


class Curve(msgspec.Struct, frozen=True):
    """How rows lie: about (x, y), the first at ``radius``, or straight through (x, y) without one.

    The middle of each row lies at ``angle``, in degrees (90: away from the stage).
    """

    x: int = 0
    y: int = 0
    radius: int = 0
    angle: int = 90
    pitch: int = 55
    """From seat to seat."""
    depth: int = 90
    """From row to row."""
    aisle: int = 100
    """The width of an aisle."""

    def point(self, back: int, along: float) -> Point:
        """The place in the row number ``back``, so far along it from its middle."""
        away, turn = self.radius + back * self.depth, radians(self.angle)
        if self.radius:
            turn, along = turn - along / away, 0.0
        x, y = cos(turn), sin(turn)
        return round(self.x + away * x + along * y), round(self.y + away * y - along * x)


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """Neighbours from left to right. Rows that a rule made share all but their numbers."""

    section: int
    """Its place in :attr:`Plan.sections`."""
    name: str
    numbers: Sequence[int]
    labels: Sequence[int] | Sequence[str]
    categories: bytes
    """Of each seat the place in :attr:`Plan.categories`."""
    flags: bytes
    """Of each seat the bits of :data:`FLAGS`, the first flag in the lowest bit."""
    aisles: tuple[int, ...] = ()
    """How many seats are to the left of each aisle."""
    curve: Curve | Sequence[Point] | None = None
    """A rule, or the place of each seat."""
    back: int = 0
    """How many rows of the rule are before this one."""

    def stretches(self) -> Iterator[range]:
        """Positions of seats with no aisle between them, from left to right."""
        yield from (range(a, b) for a, b in pairwise((0, *self.aisles, len(self.numbers))))

    def point(self, position: int) -> Point | None:
        """The place of a seat."""
        if not isinstance(self.curve, Curve):
            return None if self.curve is None else self.curve[position]
        left = bisect_right(self.aisles, position)
        along = (2 * position - len(self.numbers) + 1) * self.curve.pitch
        along += (2 * left - len(self.aisles)) * self.curve.aisle
        return self.curve.point(self.back, along / 2)


class PlannedSeat(msgspec.Struct, frozen=True):
    """What a plan says of one seat."""

    section: str
    row: str
    label: str
    category: str
    flags: tuple[Flag, ...]


class NumberingError(ValueError):
    """The seats are not numbered from 1 on, each once."""


class Plan(msgspec.Struct, frozen=True):
    """Made by :func:`plan_of`."""

    categories: tuple[Category, ...]
    sections: tuple[Section, ...]
    rows: tuple[Row, ...]
    runs: tuple[array[int], array[int], array[int]]
    """Seats with neighbouring numbers: the first number, its row, and its position there."""
    seats: int
    """Numbered 1 to this."""

    def find(self, number: int) -> tuple[Row, int]:
        """The row of a seat and its position there; :class:`KeyError` if there is no such seat."""
        if not 1 <= number <= self.seats:
            raise KeyError(number)
        firsts, rows, positions = self.runs
        run = bisect_right(firsts, number) - 1
        return self.rows[rows[run]], positions[run] + number - firsts[run]

    def seat(self, number: int) -> PlannedSeat:
        """What there is to say of a seat; :class:`KeyError` if there is no such seat."""
        row, at = self.find(number)
        return PlannedSeat(
            self.sections[row.section].name,
            row.name,
            str(row.labels[at]),
            self.categories[row.categories[at]].id,
            flags_of(row.flags[at]),
        )

    def neighbours(self, number: int) -> tuple[int, ...]:
        """The seats beside a seat, without an aisle between; none in a standing area."""
        row, at = self.find(number)
        if self.sections[row.section].standing:
            return ()
        aisles = row.aisles
        left = at - 1 if at and at not in aisles else None
        right = at + 1 if at + 1 < len(row.numbers) and at + 1 not in aisles else None
        return tuple(row.numbers[each] for each in (left, right) if each is not None)

    def counts(self) -> Counter[str]:
        """Seats of each category."""
        places = Counter[int]()
        for row in self.rows:
            places.update(row.categories)
        return Counter({self.categories[place].id: count for place, count in places.items()})

    def categories_by_number(self) -> bytearray:
        """The category of each seat, the first one being that of seat 1."""
        found = bytearray(self.seats)
        for row in self.rows:
            for number, category in zip(row.numbers, row.categories, strict=True):
                found[number - 1] = category
        return found

    def same_places(self, other: Plan) -> bool:
        """Whether each number is the same seat, by section, row and label, in both."""
        return self.seats == other.seats and all(map(eq, self._places(), other._places()))

    def _places(self) -> Iterator[tuple[str, str, str]]:
        for number in range(1, self.seats + 1):
            row, at = self.find(number)
            yield self.sections[row.section].name, row.name, str(row.labels[at])


class Venue(msgspec.Struct, frozen=True):
    """A house with its plan; ``mark`` is different for every other content."""

    id: str
    name: str
    city: str
    time_zone: str
    plan: Plan
    mark: str


def flags_of(bits: int) -> tuple[Flag, ...]:
    """The flags of a seat."""
    return tuple(flag for place, flag in enumerate(FLAGS) if bits >> place & 1)


def plan_of(
    categories: Iterable[Category], sections: Iterable[Section], rows: Iterable[Row]
) -> Plan:
    """Put a plan together; raises :class:`NumberingError`."""
    rows = tuple(rows)
    runs = sorted(_runs(rows))
    due = 1
    for first, length, _, _ in runs:
        if first != due:
            words = f"seat {first} is there twice" if first < due else f"there is no seat {due}"
            raise NumberingError(words)
        due += length
    firsts, _, places, positions = zip(*runs, strict=True) if runs else ((),) * 4
    index = (array("I", firsts), array("I", places), array("I", positions))
    return Plan(tuple(categories), tuple(sections), rows, index, due - 1)


def _runs(rows: Sequence[Row]) -> Iterator[tuple[int, int, int, int]]:
    """First number, length, row, position."""
    for place, row in enumerate(rows):
        if isinstance(row.numbers, range):
            yield row.numbers.start, len(row.numbers), place, 0
            continue
        begin = 0
        for at, (one, other) in enumerate(pairwise(row.numbers), 1):
            if other != one + 1:
                yield row.numbers[begin], at - begin, place, begin
                begin = at
        yield row.numbers[begin], len(row.numbers) - begin, place, begin
