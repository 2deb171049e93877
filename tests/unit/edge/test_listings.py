"""Lists that are changed piece by piece say the same as lists made from nothing."""

from __future__ import annotations

import random
from typing import Any
from unittest.mock import Mock

import msgspec
import pytest

from booking.seats.service import SeatService
from booking.seats.view import SeatMaps
from booking_http.reply import Representation
from booking_http.seats.listing import SeatListings
from tests.support.instance import catalogue, schedule
from tests.support.ledgers import ledger


def service(maps: SeatMaps) -> SeatService:
    """Answers from these maps, and asks nobody."""
    return SeatService(Mock(), maps, Mock())


def maps_of(seats: int = 50) -> SeatMaps:
    maps = SeatMaps(catalogue(schedule("d1", seats=seats)), first_version=1)
    maps.put("d1", ledger())
    return maps


def data(listing: Representation) -> list[dict[str, Any]]:
    assert not isinstance(listing.body, bytes)
    seats: list[dict[str, Any]] = msgspec.json.decode(b"".join(listing.body))["data"]
    return seats


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("every", [False, True])
async def test_after_any_changes_a_list_is_as_if_made_from_nothing(seed: int, every: bool) -> None:
    draw = random.Random(seed)
    maps = maps_of(seats=12)
    kept = SeatListings(service(maps))
    numbers = list(range(1, 13))
    for _ in range(40):
        held = set(draw.sample(numbers, draw.randint(0, 12)))
        sold = set(draw.sample(numbers, draw.choice((0, 3, 12)))) - held
        maps.put("d1", ledger(held, sold))
        changed = await kept.listing("d1", every)
        assert changed == await SeatListings(service(maps)).listing("d1", every)
        shown = data(changed)
        assert [seat["seatNumber"] for seat in shown] == [
            number for number in numbers if every or number not in held | sold
        ]


async def test_a_list_is_not_made_again_while_nothing_changed() -> None:
    kept = SeatListings(service(maps_of()))
    assert await kept.listing("d1", False) is await kept.listing("d1", False)
    assert await kept.listing("d1", False) is not await kept.listing("d1", True)


async def test_a_catalogue_read_again_without_a_change_keeps_the_lists() -> None:
    maps = maps_of()
    kept = SeatListings(service(maps))
    before = await kept.listing("d1", False)
    maps.use(catalogue(schedule("d1"), version=2))
    assert await kept.listing("d1", False) is before


async def test_a_sold_seat_that_left_the_catalogue_is_not_listed() -> None:
    maps = maps_of(seats=2)
    maps.put("d1", ledger(sold=[2, 99]))
    shown = data(await SeatListings(service(maps)).listing("d1", True))
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
