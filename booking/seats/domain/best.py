"""The best seats that are left: neighbours near the middle of the best category.

Seats are bits. All seats of a plan lie in one line, row after row from left to right, so that a few
operations on whole numbers find all groups of neighbours of a house at once, and none of them takes
longer where the house is full.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from itertools import compress
from typing import NamedTuple

from booking.domain.persistent import Prices
from booking.domain.plan import Category, Curve, Plan, Row, Section, Venue, plan_of
from booking.seats.domain.ledger import TAKEN_MAX, Ledger, cool_down_left_ms
from booking.seats.domain.order import Wish

ROW_SEATS = 10
"""Seats of one row where nobody has drawn a plan."""
_LIMITS_KEPT_MAX = 64
_STRAIGHT = Curve()
"""How rows lie that nobody has drawn."""
_AS_BITS = bytes.maketrans(b"01", b"\0\1")


class Seating:
    """The line of a plan's seats, and where each is: all that a wish needs to know of a plan."""

    def __init__(self, plan: Plan, mark: str) -> None:
        self.mark = mark
        """Of the venue; empty without one."""
        self.numbers = array("I")
        """Of the seats in the line."""
        self.firsts = self.lasts = self.accessible = self.set_aside = 0
        """The bits of seats that have no neighbour to the left, none to the right, those for
        wheelchairs, and those with the ones beside them."""
        self.categories: dict[str, int] = dict.fromkeys((c.id for c in plan.categories), 0)
        """The bits of the seats of each category, the best first."""
        self.sections: dict[str, int] = dict.fromkeys((s.name for s in plan.sections), 0)
        self.standing: list[int] = []
        """The bits of each standing area: whoever is there is together."""
        self._x, self._y = array("d"), array("d")
        self._rows: list[int] = []
        """The places where they begin."""
        self._orders: dict[int, array[int]] = {}
        for row in plan.rows:
            self._add(plan, row)
        self._in_order = all(at == number for at, number in enumerate(self.numbers, 1))

    def _add(self, plan: Plan, row: Row) -> None:
        begin, section = len(self.numbers), plan.sections[row.section]
        self.numbers.extend(row.numbers)
        self.sections[section.name] |= _span(begin, len(row.numbers))
        if section.standing:
            area = _span(begin, len(row.numbers))
            self.firsts, self.lasts = self.firsts | area, self.lasts | area
            self.standing.append(area)
        else:
            for stretch in row.stretches():
                self.firsts |= 1 << begin + stretch.start
                self.lasts |= 1 << begin + stretch.stop - 1
        for place, name in enumerate(self.categories):
            self.categories[name] |= _bits(row.categories, place) << begin
        if any(row.flags):
            self.accessible |= sum(1 << begin + at for at, bits in enumerate(row.flags) if bits & 1)
            self.set_aside |= sum(1 << begin + at for at, bits in enumerate(row.flags) if bits & 3)
        middle, back = (len(row.numbers) - 1) / 2, len(self._rows)
        for at in range(len(row.numbers)):
            point = row.point(at) or _STRAIGHT.point(back, (at - middle) * _STRAIGHT.pitch)
            self._x.append(point[0])
            self._y.append(point[1])
        self._rows.append(begin)

    def line(self, by_number: int) -> int:
        """The bits of seats by their place in the line, from those by their number."""
        if self._in_order:
            return by_number >> 1 & _span(0, len(self.numbers))
        text = bin(by_number)[:1:-1].ljust(max(self.numbers) + 1, "0")
        return int("".join(map(text.__getitem__, reversed(self.numbers))) or "0", 2)

    def order(self, categories: int) -> array[int]:
        """The places of the best so many categories, those nearest to the middle of the last one
        of them first."""
        if categories not in self._orders:
            masks = list(self.categories.values())[:categories]
            last = [*_places(masks[-1])]
            x = sum(map(self._x.__getitem__, last)) / max(len(last), 1)
            y = sum(map(self._y.__getitem__, last)) / max(len(last), 1)
            near = sorted(_places(_union(masks)), key=lambda at: self.distance(at, x, y))
            self._orders[categories] = array("I", near)
        return self._orders[categories]

    def distance(self, at: int, x: float, y: float) -> float:
        """How far a place is from a point, squared."""
        return (self._x[at] - x) ** 2 + (self._y[at] - y) ** 2

    def nearest(self, places: int, to: int) -> int:
        """Of these places the one nearest to another."""
        x, y = self._x[to], self._y[to]
        return min(_places(places), key=lambda at: self.distance(at, x, y))


def seating_of(venue: Venue | None, prices: Prices) -> Seating:
    """The seating of a venue; without one, rows of :data:`ROW_SEATS` for seats with these
    numbers."""
    if venue is not None:
        return Seating(venue.plan, venue.mark)
    last = max((number for number in prices if number < TAKEN_MAX), default=0)
    rows = [
        Row(
            section=0, name="", numbers=range(first, end), labels=range(first, end),
            categories=bytes(end - first), flags=bytes(end - first),
        )
        for first in range(1, last + 1, ROW_SEATS)
        for end in (min(first + ROW_SEATS, last + 1),)
    ]  # fmt: skip
    return Seating(plan_of([Category("", "", "")], [Section("")], rows), "")


class Hall:
    """A date's seats on sale, in the line of its seating."""

    def __init__(self, seating: Seating, prices: Prices) -> None:
        self.seating = seating
        self.prices = prices
        self._on_sale: dict[int | None, int] = {}

    def best(self, ledger: Ledger, wish: Wish, user: str, now_ms: int) -> tuple[int, ...]:
        """The numbers of the best free seats that are as wished, none if there are none. Seats
        that cool down from the user are not chosen."""
        seating, resting = self.seating, 0
        free = self._priced(None) & ~seating.line(ledger.taken)
        wanted = self._wanted(wish)
        while True:
            chosen = _Choice(seating, wish, free & wanted & ~resting, free).seats()
            cooling = [
                at for at in chosen if cool_down_left_ms(ledger, seating.numbers[at], user, now_ms)
            ]
            if not cooling:
                return tuple(seating.numbers[at] for at in chosen)
            resting |= sum(1 << at for at in cooling)

    def _wanted(self, wish: Wish) -> int:
        """The seats that the wish allows."""
        wanted = self._priced(wish.max_price)
        if wish.category:
            wanted &= self.seating.categories.get(wish.category, 0)
        if wish.section:
            wanted &= self.seating.sections.get(wish.section, 0)
        return wanted

    def _priced(self, limit: int | None) -> int:
        """The seats on sale that cost no more."""
        if limit not in self._on_sale:
            if len(self._on_sale) >= _LIMITS_KEPT_MAX:
                self._on_sale.clear()
            by_number = 0
            for run, price in self.prices.runs():
                if (limit is None or price <= limit) and run.stop <= TAKEN_MAX:
                    by_number |= _span(run.start, len(run))
            self._on_sale[limit] = self.seating.line(by_number)
        return self._on_sale[limit]


class _Choice(NamedTuple):
    """What there is to choose from."""

    seating: Seating
    wish: Wish
    wanted: int
    """The free seats that are as wished."""
    free: int
    """All free seats: none of them should be left alone."""

    def seats(self) -> list[int]:
        """The places of the best seats."""
        count, together = self.wish.quantity, self.wish.together
        if self.wanted.bit_count() < count:
            return []
        if together is not False and (group := self._group(count)):
            return group
        if together is True:
            return []
        chosen: list[int] = []
        size = 1 if together is False else count - 1
        left = self
        while len(chosen) < count and size:
            size = min(size, count - len(chosen))
            near = chosen[0] if chosen and together else None
            if group := left._group(size, near):
                chosen += group
                bits = sum(1 << at for at in group)
                left = left._replace(wanted=left.wanted & ~bits, free=left.free & ~bits)
                left = left._replace(wish=_PLAIN)
            else:
                size -= 1
        return chosen if len(chosen) == count else []

    def _group(self, size: int, near: int | None = None) -> list[int]:
        """The places of so many together. Seats for wheelchairs and those beside them are for who
        wants one, as long as there are others."""
        for wanted in (self.wanted & ~self.seating.set_aside, self.wanted):
            if self.wish.accessible and wanted != self.wanted:
                continue
            masks = self.seating.categories.values()
            allowed = 0
            for count, category in enumerate(masks, 1):
                allowed |= category
                if near is not None and count < len(masks):
                    continue
                if group := self._of_categories(wanted & allowed, count, size, near):
                    return group
        return []

    def _of_categories(self, wanted: int, count: int, size: int, near: int | None) -> list[int]:
        """A group in the best so many categories."""
        if wanted.bit_count() < size:
            return []
        seating = self.seating
        starts = self._starts(wanted, size)
        tidy = starts & ~self._orphaning(size)
        for found in (tidy, starts):
            if not found:
                continue
            if near is not None:
                start = seating.nearest(found, near)
            else:
                # A group is as near as the seat in its middle.
                half = (size - 1) // 2
                bits = bin(found << half)[:1:-1].encode().translate(_AS_BITS)
                flags = bits.ljust(len(seating.numbers), b"\0")
                order = seating.order(count)
                start = next(compress(order, map(flags.__getitem__, order)), -1) - half
            if start >= 0:
                return [*range(start, start + size)]
        for area in seating.standing if size > 1 and not self.wish.accessible else ():
            if (wanted & area).bit_count() >= size:
                places = _places(wanted & area)
                return [next(places) for _ in range(size)]
        return []

    def _starts(self, wanted: int, size: int) -> int:
        """The left seat of each group of so many neighbours."""
        starts, inner = wanted, wanted & ~self.seating.lasts
        special = self.seating.accessible
        for _ in range(size - 1):
            starts = inner & starts >> 1
            special |= self.seating.accessible | special >> 1
        return starts & special if self.wish.accessible else starts

    def _orphaning(self, size: int) -> int:
        """The left seat of each group that would leave a single free seat beside it."""
        after_free = self.free << 1 & ~self.seating.firsts
        before_free = self.free >> 1 & ~self.seating.lasts
        alone_left = after_free & ~(after_free << 1)
        alone_right = before_free & ~(before_free >> 1)
        return alone_left | alone_right >> size - 1


_PLAIN = Wish(1)


def _span(first: int, count: int) -> int:
    return ((1 << count) - 1) << first


def _bits(values: bytes, value: int) -> int:
    """Where in these the value is."""
    return int("".join("1" if each == value else "0" for each in reversed(values)) or "0", 2)


def _places(bits: int) -> Iterator[int]:
    return (at for at, bit in enumerate(bin(bits)[:1:-1]) if bit == "1")


def _union(masks: Iterable[int]) -> int:
    found = 0
    for mask in masks:
        found |= mask
    return found
