"""The catalogue: concerts, their dates (schedules), and the seats of a date with their prices.

Each instance keeps the whole of it as one immutable value, replaced when the tables change.
"""

from __future__ import annotations

import msgspec

from booking.domain.persistent import Prices

MAIN_QUEUE = "main"
"""The queue of the house: of every concert that has none of its own."""

SEATS_PER_DATE = 50
"""Seats are numbered 1 to 50 unless the catalogue says otherwise."""


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
