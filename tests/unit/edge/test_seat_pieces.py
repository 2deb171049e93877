"""A large date costs what has changed in it, a few pieces at a time."""

from __future__ import annotations

import asyncio
import random
from typing import Any
from unittest.mock import Mock

import msgspec
import pytest

from booking.catalogue.domain import Schedule
from booking.domain.persistent import Prices
from booking.seats.domain.ledger import Ledger, SaleCounted, SeatWord, evolve_ledger
from booking.seats.service import SeatService
from booking.seats.view import SeatMap, SeatMaps
from booking.services import Services
from booking_http.seats.listing import SeatListings
from booking_http.seats.pieces import PIECE_SEATS, SeatPieces
from booking_http.seats.subscribers import SeatSubscribers
from booking_http.sockets.limits import Pace
from booking_http.sockets.socket import Socket
from tests.support.instance import catalogue, schedule
from tests.support.ledgers import ledger

PIECES = 20
SEATS = PIECES * PIECE_SEATS - 7
LARGE = schedule("d1", seats=SEATS)
PIECE_BYTES_MAX = 64 * 1024


class Rendered:
    """Renders a seat as its word, and counts."""

    def __init__(self) -> None:
        self.seats = 0

    def __call__(self, number: int, price: int, word: SeatWord) -> bytes:
        self.seats += 1
        return b",%d=%b" % (number, word.encode())


def words(text: list[bytes]) -> dict[int, str]:
    pairs = (seat.split("=") for seat in b"".join(text).decode().split(","))
    return {int(number): word for number, word in pairs}


def test_a_changed_seat_costs_one_piece_and_the_others_are_shared() -> None:
    rendered = Rendered()
    pieces = SeatPieces(LARGE, rendered)
    seats = SeatMap(LARGE, ledger(held=[3, 5_000]), 1)
    assert pieces.advance(seats, PIECES + 1)
    before, rendered.seats = pieces.pieces, 0
    seats.ledger, seats.version = evolve_ledger(seats.ledger, SaleCounted(5_000, "rsv")), 2
    assert pieces.advance(seats, PIECES)
    assert rendered.seats == PIECE_SEATS
    assert [n for n in range(PIECES) if pieces.pieces[n] is not before[n]] == [4_999 // PIECE_SEATS]
    said = words(pieces.texts)
    assert {number for number, word in said.items() if word != "available"} == {3, 5_000}
    assert (said[3], said[5_000]) == ("held", "sold")


def test_a_step_renders_no_more_than_told_and_shows_only_what_is_whole() -> None:
    rendered = Rendered()
    pieces = SeatPieces(LARGE, rendered)
    seats = SeatMap(LARGE, ledger(), 1)
    steps, done = 0, False
    while not done:
        assert pieces.texts == []
        before = rendered.seats
        done = pieces.advance(seats, 3)
        steps += 1
        assert rendered.seats - before <= 3 * PIECE_SEATS
        assert all(len(piece.text) < PIECE_BYTES_MAX for piece in pieces.pieces)
        seats.ledger = ledger(held=[1])  # what comes meanwhile is for the next time
    assert steps == PIECES // 3 + 1
    assert set(words(pieces.texts).values()) == {"available"}


def test_seats_that_the_catalogue_does_not_have_change_no_piece() -> None:
    date = msgspec.structs.replace(LARGE, prices=Prices((number, 1) for number in range(10, 2000)))
    rendered = Rendered()
    pieces = SeatPieces(date, rendered)
    assert pieces.advance(SeatMap(date, ledger(), 1), PIECES)
    assert pieces.advance(SeatMap(date, ledger(sold=[3]), 2), PIECES)
    assert rendered.seats == len(date.prices)


# -- the list --------------------------------------------------------------------------------------


def listings_of(held: Ledger) -> tuple[SeatListings, SeatMaps]:
    maps = SeatMaps(catalogue(LARGE), first_version=1)
    maps.put("d1", held)
    return SeatListings(SeatService(Mock(), maps, Mock())), maps


async def turns_until(task: asyncio.Task[Any]) -> int:
    """How often the loop does other work before the task ends."""
    turns = 0
    while not task.done():
        turns += 1
        await asyncio.sleep(0)
    return turns


async def test_others_have_the_loop_while_a_large_list_is_made() -> None:
    listings, _ = listings_of(ledger())
    turns = await turns_until(asyncio.ensure_future(listings.listing("d1", True)))
    assert turns >= PIECES // 4


async def test_those_who_ask_together_share_one_list() -> None:
    listings, _ = listings_of(ledger(held=[4]))
    asked = [asyncio.ensure_future(listings.listing("d1", True)) for _ in range(20)]
    made = await asyncio.gather(*asked)
    assert len({id(each) for each in made}) == 1


async def test_a_client_that_leaves_while_a_list_is_made_breaks_nothing() -> None:
    listings, maps = listings_of(ledger(held=[1, SEATS]))
    leaving = asyncio.ensure_future(listings.listing("d1", True))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    maps.put("d1", ledger(sold=[2]))
    listing = await listings.listing("d1", True)
    fresh, _ = listings_of(ledger(sold=[2]))
    anew = await fresh.listing("d1", True)
    assert (listing.etag, listing.body) == (anew.etag, anew.body)


async def test_a_list_is_never_older_than_its_question() -> None:
    """Seats are held one after the other; each list asked for afterwards shows them."""
    listings, maps = listings_of(ledger())
    for last in range(1, 6):
        maps.put("d1", ledger(held=range(1, last * 100)))
        listing = await listings.listing("d1", False)
        first = msgspec.json.decode(b"".join(listing.body))["data"][0]  # type: ignore[arg-type]
        assert first["seatNumber"] == last * 100


# -- the socket ------------------------------------------------------------------------------------


class Listening:
    """A client of the socket, and what it makes of the frames it gets."""

    seq = 0
    open = True

    def __init__(self) -> None:
        self.known: dict[int, str] = {}
        self.frames = 0
        self.last = 0

    def take(self, parts: tuple[bytes, ...]) -> None:
        data = b"".join(parts)
        frame = msgspec.json.decode(data[data.index(b'{"type') :])
        changed = {each["seatNumber"]: each["state"] for each in frame["data"]["changed"]}
        if frame["data"]["snapshot"]:
            self.known = changed
        else:
            assert frame["seq"] == self.last + 1, "a gap without a snapshot"
            self.known |= changed
        self.last = frame["seq"]
        self.frames += 1


class Keeping:
    """A hub whose clients read everything."""

    def reads(self, socket: Any, now: float) -> bool:
        return True

    def push(self, socket: Any, *parts: bytes) -> None:
        socket.take(parts)

    def guarded(self, visit: Any, socket: Any, now: float) -> None:
        visit(socket, now)


class Date:
    """Subscribers of one date, whose time and seats the test moves."""

    def __init__(self, date: Schedule) -> None:
        self.maps = SeatMaps(catalogue(date), first_version=1)
        services = Mock(spec=Services, seats=SeatService(Mock(), self.maps, Mock()))
        pace = Pace(tick_s=0.1, gap_s=1.0, round_s=0.1)
        keeping: Any = Keeping()
        self.subscribers = SeatSubscribers("d1", services, keeping, pace)
        self.now = 10.0

    def join(self) -> Listening:
        client: Any = Listening()
        socket: Socket = client
        self.subscribers.join(socket, self.now)
        assert isinstance(client, Listening)
        return client

    def tick(self, count: int = 1) -> None:
        for _ in range(count):
            self.now += 0.1
            self.subscribers.tick(self.now)

    def says(self) -> dict[int, str]:
        seats = self.maps.get("d1")
        assert seats is not None
        pieces = SeatPieces(seats.schedule, Rendered())
        assert pieces.advance(seats, 10_000)
        return words(pieces.texts)


def test_the_snapshot_of_a_large_date_is_rendered_over_several_ticks() -> None:
    date = Date(LARGE)
    first, second = date.join(), date.join()
    date.tick()
    assert (first.frames, second.frames) == (0, 0)
    date.tick(PIECES)
    assert (first.frames, second.frames) == (1, 1)
    assert first.known == second.known == date.says()


@pytest.mark.parametrize("seats", [50, SEATS])
@pytest.mark.parametrize("seed", range(3))
def test_whoever_comes_whenever_ends_with_what_there_is(seats: int, seed: int) -> None:
    """Seats are held, sold and let go while clients come; each client's picture, made of one
    snapshot and gapless changes, is the map's in the end."""
    draw = random.Random(seed)
    date = Date(schedule("d1", seats=seats))
    clients = [date.join()]
    for _ in range(30):
        held = draw.sample(range(1, seats + 1), draw.randint(0, 20))
        sold = [n for n in draw.sample(range(1, seats + 1), draw.randint(0, 20)) if n not in held]
        if draw.random() < 0.7:
            date.maps.put("d1", ledger(held, sold))
        if draw.random() < 0.3:
            clients.append(date.join())
        date.tick(draw.randint(1, 4))
    date.tick(2 * PIECES)
    assert len(clients) > 4
    for client in clients:
        assert client.known == date.says()


def test_too_many_changes_at_once_are_told_as_a_snapshot() -> None:
    date = Date(LARGE)
    client = date.join()
    date.tick(PIECES)
    date.maps.put("d1", ledger(held=range(1, 6_000)))
    date.tick(2 * PIECES)
    assert (client.frames, client.last) == (2, 2)
    assert client.known == date.says()
