"""The catalogue: concerts, their dates (schedules), and the seats of a date with their prices.

Each instance keeps the whole of it as one immutable value, replaced when the tables change.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from operator import eq

import msgspec

MAIN_QUEUE = "main"
"""The queue of the house: of every concert that has none of its own."""

SEATS_PER_DATE = 50
"""Seats are numbered 1 to 50 unless the catalogue says otherwise."""


class Prices(Mapping[int, int]):
    """Seat number to price in won, by number; immutable.

    Neighbours at one price are one run, and a run takes 12 bytes, so that the largest halls take
    next to nothing, and one in which no two neighbours cost the same takes 12 bytes a seat.
    """

    __slots__ = ("_firsts", "_places", "_prices")

    def __init__(self, seats: Iterable[tuple[int, int]]) -> None:
        """``seats`` are numbers with their prices, in the order of the numbers."""
        self._firsts, self._places, self._prices = array("I"), array("I"), array("I")
        place = due = at = 0
        for number, price in seats:
            if number != due or price != at:
                self._firsts.append(number)
                self._places.append(place)
                self._prices.append(price)
                at = price
            due, place = number + 1, place + 1
        self._places.append(place)

    def __getitem__(self, number: int) -> int:
        run = bisect_right(self._firsts, number) - 1
        if run < 0 or number not in self._run(run):
            raise KeyError(number)
        return self._prices[run]

    def __len__(self) -> int:
        return self._places[-1]

    def __iter__(self) -> Iterator[int]:
        for run in range(len(self._firsts)):
            yield from self._run(run)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Prices):
            return super().__eq__(other)
        return self._prices == other._prices and self._runs_as(other)

    __hash__ = None  # type: ignore[assignment]  # as of a dict

    def same_seats(self, other: Prices) -> bool:
        """Whether these are prices of the same seats."""
        return len(self) == len(other) and (self._runs_as(other) or all(map(eq, self, other)))

    def _runs_as(self, other: Prices) -> bool:
        return self._firsts == other._firsts and self._places == other._places

    def _run(self, run: int) -> range:
        first = self._firsts[run]
        return range(first, first + self._places[run + 1] - self._places[run])

    def pairs(self, place: int = 0) -> Iterator[tuple[int, int]]:
        """The seats with their prices, without the first ``place`` of them."""
        begin = max(0, bisect_right(self._places, place) - 1)
        skipped = place - self._places[begin]
        for run in range(begin, len(self._firsts)):
            price = self._prices[run]
            for number in self._run(run)[skipped:]:
                yield number, price
            skipped = 0


class Schedule(msgspec.Struct, frozen=True):
    """One date of a concert. Times in milliseconds since the epoch."""

    id: str
    concert_id: str
    concert_name: str
    open_ms: int
    close_ms: int
    booking_start_ms: int
    booking_end_ms: int
    """A seat can be held from ``booking_start_ms`` until just before ``booking_end_ms``."""
    prices: Prices
    queue: str = MAIN_QUEUE
    """The queue whose tokens open this date."""

    @property
    def total_seats(self) -> int:
        """How many seats the date has."""
        return len(self.prices)

    def bookable(self, now_ms: int) -> bool:
        """Whether seats can be held at this time."""
        return self.booking_start_ms <= now_ms < self.booking_end_ms


def seat_id(schedule: str, number: int) -> str:
    """The id clients know a seat by."""
    return f"{schedule}-{number}"


class Catalogue(msgspec.Struct, frozen=True):
    """``schedules`` by id, ordered by opening time and id."""

    schedules: dict[str, Schedule]
    version: int = 0

    @property
    def queues(self) -> frozenset[str]:
        """The names of all queues that open something, and the house's."""
        return frozenset({MAIN_QUEUE, *(each.queue for each in self.schedules.values())})

    def find_seat(self, wanted: str) -> tuple[Schedule, int] | None:
        """The schedule and number behind a seat id in its canonical spelling, or ``None``."""
        schedule_id, _, digits = wanted.rpartition("-")
        schedule = self.schedules.get(schedule_id)
        if schedule is None or not (digits.isascii() and digits.isdigit()) or len(digits) > 9:
            return None
        number = int(digits)
        if number not in schedule.prices or seat_id(schedule_id, number) != wanted:
            return None
        return schedule, number
