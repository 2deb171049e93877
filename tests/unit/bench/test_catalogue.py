"""Seats enough, each given out once."""

from __future__ import annotations

import json

from bench.rig import document
from bench.world import DateSummary, Seat, allocation
from booking.catalogue.document import parse
from tests.support.documents import to_catalogue


def test_the_service_accepts_the_made_up_catalogue() -> None:
    schedules = to_catalogue(parse(document(25))).schedules
    assert len(schedules) == 25
    assert {schedule.total_seats for schedule in schedules.values()} == {50}


def test_concerts_have_ten_dates_each() -> None:
    concerts = json.loads(document(25))["concerts"]
    assert [len(concert["dates"]) for concert in concerts] == [10, 10, 5]


def dates(*totals: int) -> list[DateSummary]:
    return [DateSummary(f"d{n}", "c", total, 0) for n, total in enumerate(totals)]


def test_every_seat_is_given_out_once() -> None:
    seats = list(allocation(dates(3, 1, 2), at_once=2))
    assert sorted((seat.date, seat.number) for seat in seats) == [
        ("d0", 1),
        ("d0", 2),
        ("d0", 3),
        ("d1", 1),
        ("d2", 1),
        ("d2", 2),
    ]


def test_dates_are_sold_in_turns_within_a_window() -> None:
    seats = list(allocation(dates(2, 2, 2), at_once=2))
    assert [seat.date for seat in seats] == ["d0", "d1", "d0", "d1", "d2", "d2"]


def test_dates_that_somebody_has_touched_are_left_alone() -> None:
    touched = DateSummary("t", "c", 5, 1)
    assert list(allocation([touched, *dates(1)])) == [Seat("c", "d0", 1)]
