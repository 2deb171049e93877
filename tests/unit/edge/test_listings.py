"""Lists that are changed piece by piece say the same as lists made from nothing."""

from __future__ import annotations

import random

import msgspec
import pytest

from booking_http.reply import Representation
from booking_http.seats.listing import SeatListings
from tests.support.fake_bookings import FakeBookings, catalogue, schedule


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("every", [False, True])
def test_after_any_changes_a_list_is_as_if_made_from_nothing(seed: int, every: bool) -> None:
    draw = random.Random(seed)
    bookings = FakeBookings(catalogue(schedule("d1", seats=12)))
    seats, kept = bookings.maps["d1"], SeatListings(bookings.services().seats)
    for _ in range(40):
        numbers = list(seats.schedule.prices)
        seats.held = set(draw.sample(numbers, draw.randint(0, 12)))
        seats.sold = set(draw.sample(numbers, draw.choice((0, 3, 12)))) - seats.held
        seats.version += 1
        changed = kept.listing("d1", every)
        assert changed == SeatListings(bookings.services().seats).listing("d1", every)
        shown = msgspec.json.decode(changed.body)["data"]
        taken = seats.held | seats.sold
        assert [seat["seatNumber"] for seat in shown] == [
            number for number in numbers if every or number not in taken
        ]


def test_a_list_is_not_made_again_while_nothing_changed() -> None:
    bookings = FakeBookings(catalogue(schedule("d1")))
    kept = SeatListings(bookings.services().seats)
    assert kept.listing("d1", False) is kept.listing("d1", False)
    assert kept.listing("d1", False) is not kept.listing("d1", True)


def test_a_catalogue_read_again_without_a_change_keeps_the_lists() -> None:
    bookings = FakeBookings(catalogue(schedule("d1")))
    kept = SeatListings(bookings.services().seats)
    before = kept.listing("d1", False)
    bookings.maps["d1"].schedule = schedule("d1")
    assert kept.listing("d1", False) is before


def test_a_sold_seat_that_left_the_catalogue_is_not_listed() -> None:
    bookings = FakeBookings(catalogue(schedule("d1", seats=2)))
    bookings.maps["d1"].sold = {2, 99}
    shown = msgspec.json.decode(SeatListings(bookings.services().seats).listing("d1", True).body)[
        "data"
    ]
    assert [seat["state"] for seat in shown] == ["available", "sold"]


@pytest.mark.parametrize(
    ("sent", "same"),
    [
        ('"a"', True),
        ('W/"a"', True),
        ('"b", "a"', True),
        ("*", True),
        ('"b"', False),
        ("a", False),
        ("", False),
    ],
)
def test_entity_tags_are_compared_weakly(sent: str, same: bool) -> None:
    assert Representation(b"", '"a"').matches(sent) is same
