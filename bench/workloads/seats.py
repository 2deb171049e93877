"""Seats to book, each given out once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from bench.world import DateSummary

DATES_AT_ONCE = 16
"""Dates that are booked at the same time: about as many as go on sale together in a season."""


class Seat(msgspec.Struct, frozen=True):
    concert: str
    date: str
    number: int


def allocation(dates: Sequence[DateSummary], at_once: int = DATES_AT_ONCE) -> Iterator[Seat]:
    """Every seat of the untouched dates exactly once, seat by seat over ``at_once`` dates in turn,
    then over the next ones."""
    untouched = [date for date in dates if date.reserved_seats == 0]
    for first in range(0, len(untouched), at_once):
        window = untouched[first : first + at_once]
        for number in range(1, max(date.total_seats for date in window) + 1):
            for date in window:
                if number <= date.total_seats:
                    yield Seat(date.concert_id, date.id, number)
