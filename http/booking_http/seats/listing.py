"""The seats of a date as JSON. The entity tag is of the content, so it holds over instances."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from hashlib import blake2b

import msgspec

from booking.catalogue.domain import Schedule
from booking.seats.domain.ledger import SeatWord
from booking.seats.service import SeatService
from booking.seats.view import SeatMap
from booking_http.reply import Representation, gzip_of, packed_part
from booking_http.seats.pieces import Render, SeatPieces

LISTINGS_MAX = 512
"""Lists kept: both kinds for 256 dates. The one unused for longest is dropped."""
LISTED_SEATS_MAX = 1_000_000
"""Seats in all lists kept, but for the newest list: 85 MB."""
PIECES_MAX = 4
"""Pieces rendered before other work gets the loop: 2 ms."""
REST_S = 0.008
"""How long a list rests before it is rendered again, for each time that this took as much: so
rendering takes a fifth of the loop's time at most."""
_HEAD = b'{"success":true,"data":['
_TAIL = b"]}"


class SeatListings:
    """The lists of all dates. A list is made when somebody first asks for it."""

    def __init__(self, seats: SeatService) -> None:
        self._service = seats
        self._kept: OrderedDict[tuple[str, bool], _SeatListing] = OrderedDict()

    async def listing(self, schedule: str, every: bool, *, packed: bool = False) -> Representation:
        """Free seats, or ``every`` seat with its state, no older than the question; ``packed`` if
        it is to be compressed, too. Raises :class:`booking.calls.UnknownError` for an unknown
        date."""
        seats = self._service.seat_map(schedule)
        key = (schedule, every)
        kept = self._kept.get(key)
        if kept is None or not kept.shows(seats.schedule):
            kept = self._kept[key] = _SeatListing(seats.schedule, every)
            self._drop_some()
        self._kept.move_to_end(key)
        listing = await kept.current(seats)
        if packed and listing.packs and not listing.packed:
            await kept.pack(listing)
        return listing

    def _drop_some(self) -> None:
        seats = sum(kept.schedule.total_seats for kept in self._kept.values())
        while len(self._kept) > LISTINGS_MAX or (len(self._kept) > 1 and seats > LISTED_SEATS_MAX):
            _, dropped = self._kept.popitem(last=False)
            seats -= dropped.schedule.total_seats


class _SeatListing:
    """One list."""

    def __init__(self, schedule: Schedule, every: bool) -> None:
        self.schedule = schedule
        self._pieces = SeatPieces(
            schedule, _every_seat(schedule) if every else _free_seat(schedule)
        )
        self._listing = Representation(b"", "")
        self._renewing = asyncio.Lock()
        self._packing = asyncio.Lock()
        self._packed: dict[bytes, bytes] = {}
        """Texts of the list that was compressed last, each compressed."""
        self._rests_until_s = 0.0

    def shows(self, schedule: Schedule) -> bool:
        """Whether this is still the catalogue's date, which may be equal and not the same."""
        if schedule is not self.schedule and schedule == self.schedule:
            self.schedule = schedule
        return schedule is self.schedule

    async def current(self, seats: SeatMap) -> Representation:
        version = seats.version
        if self._pieces.version < version:
            async with self._renewing:
                if self._pieces.version < version:
                    await self._renew(seats, version)
        return self._listing

    async def pack(self, listing: Representation) -> None:
        """Compress a list, for all who ask for it: only what is not as in the one before."""
        async with self._packing:
            if listing.packed:
                return
            known, packed = self._packed, dict[bytes, bytes]()
            for number, text in enumerate(listing.body):
                assert isinstance(text, bytes), "a list is in parts"
                packed[text] = known.get(text) or packed_part(text)
                if number % PIECES_MAX == 0:
                    await asyncio.sleep(0)
            self._packed = packed
            listing.pack(gzip_of(packed, list(packed.values())))

    async def _renew(self, seats: SeatMap, version: int) -> None:
        loop, steps = asyncio.get_running_loop(), 0
        if (wait_s := self._rests_until_s - loop.time()) > 0:
            await asyncio.sleep(wait_s)
        while self._pieces.version < version:
            if not self._pieces.advance(seats, PIECES_MAX):
                steps += 1
                await asyncio.sleep(0)
        self._rests_until_s = loop.time() + steps * REST_S
        marks = b"".join([piece.mark for piece in self._pieces.pieces])
        tag = f'"{blake2b(marks, digest_size=16).hexdigest()}"'
        self._listing = Representation((_HEAD, *self._pieces.texts, _TAIL), tag)


def _free_seat(schedule: Schedule) -> Render:
    plain = _plain(schedule) + b"}"

    def render(number: int, price: int, word: SeatWord) -> bytes:
        return plain % (number, number, price) if word == "available" else b""

    return render


def _every_seat(schedule: Schedule) -> Render:
    plain = _plain(schedule) + b',"state":"%b"}'

    def render(number: int, price: int, word: SeatWord) -> bytes:
        return plain % (number, number, price, word.encode())

    return render


def _plain(schedule: Schedule) -> bytes:
    """:class:`~booking_http.seats.schemas.AvailableSeat` with places for number, number and price,
    without its closing brace."""
    date = msgspec.json.encode(schedule.id)[1:-1].replace(b"%", b"%%")
    return b',{"id":"' + date + b'-%d","seatNumber":%d,"price":%d'
