"""Lists that are changed piece by piece say the same as lists made from nothing."""

from __future__ import annotations

import gzip
import random
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import msgspec
import pytest
from multidict import CIMultiDict

from booking.domain.persistent import Prices
from booking.seats.service import SeatService
from booking.seats.view import SeatMaps
from booking_http.reply import Representation
from booking_http.seats.listing import SeatListings
from tests.support.instance import catalogue, schedule
from tests.support.ledgers import ledger


def service(maps: SeatMaps) -> SeatService:
    """Answers from these maps, and asks nobody."""
    return SeatService(Mock(), maps, Mock())


def maps_of(seats: int = 50, **changes: Any) -> SeatMaps:
    maps = SeatMaps(catalogue(schedule("d1", seats=seats, **changes)), first_version=1)
    maps.put("d1", ledger())
    return maps


def joined(body: bytes | Sequence[bytes]) -> bytes:
    assert not isinstance(body, bytes)
    return b"".join(body)


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
        anew = await SeatListings(service(maps)).listing("d1", every)
        assert (changed.etag, changed.body) == (anew.etag, anew.body)
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


# -- compressed ------------------------------------------------------------------------------------


def asked(**headers: str) -> Any:
    """A request with these headers."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return SimpleNamespace(headers=CIMultiDict(names))


GZIP = asked(Accept_Encoding="gzip, deflate, br")


async def test_a_large_list_is_compressed_once_for_each_version() -> None:
    """And shared by all who ask, to under a tenth of its size; only what changed is made anew."""
    maps = maps_of(prices=Prices((n, 50_000 + n // 500 * 10_000) for n in range(1, 10_001)))
    kept = SeatListings(service(maps))
    listing = await kept.listing("d1", True, packed=True)
    answer = listing.reply(GZIP)
    packed, plain = joined(answer._content), joined(listing.body)
    assert gzip.decompress(packed) == plain
    assert len(packed) < len(plain) / 10
    assert (await kept.listing("d1", True, packed=True)).reply(GZIP)._content is answer._content
    maps.put("d1", ledger(sold=[5_000]))
    later = await kept.listing("d1", True, packed=True)
    again = later.reply(GZIP)
    assert gzip.decompress(joined(again._content)) == joined(later.body)
    fresh = [part for part in again._content if not any(part is one for one in answer._content)]
    assert len(fresh) == 2, "one piece and the end"


async def test_the_compressed_list_has_a_tag_of_its_own() -> None:
    listing = await SeatListings(service(maps_of())).listing("d1", True, packed=True)
    tag = listing.etag[:-1] + '-gzip"'
    assert b"ETag: " + tag.encode() in listing.reply(GZIP)._head
    for named in (tag, listing.etag):
        for request in (asked(If_None_Match=named, Accept_Encoding="gzip"), asked()):
            same = "If-None-Match" in request.headers
            assert listing.reply(request).status == (304 if same else 200)
            assert b"Vary: Accept-Encoding" in listing.reply(request)._head


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [("gzip", True), ("br, GZIP;q=0.5", True), ("gzip;q=0", False), ("gzip;q=0.00", False),
     ("identity", False), ("", False), ("x-gzipped", False)],
)  # fmt: skip
def test_only_who_takes_it_gets_a_compressed_answer(accepted: str, packed: bool) -> None:
    page = Representation(b"a" * 5_000, '"a"')
    reply = page.reply(asked(Accept_Encoding=accepted))
    assert (b"Content-Encoding: gzip" in reply._head) is packed
    assert (reply._content == page.body) is not packed


def test_what_fits_into_a_packet_is_sent_as_it_is() -> None:
    assert b"Vary" not in Representation(b"a" * 100, '"a"').reply(GZIP)._head
