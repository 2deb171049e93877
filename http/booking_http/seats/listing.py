"""The seats of a date as JSON, changed seat by seat.

A date of 10,000 seats is about 1 MB of JSON. Encoding it takes some 5 ms, and in a sale it changes
many times a second. So each seat's bytes are kept apart, a change replaces those of the seats that
changed, and a new body is one ``join``.

The entity tag is made of the content (the exclusive or of one hash for each seat, which one changed
seat updates), not of the map's version: versions belong to an instance, and a client that is
answered by another one, or by the same after a restart, keeps what it has.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Set
from hashlib import blake2b

import msgspec

from booking.catalogue.domain import Schedule, seat_id
from booking.seats.service import SeatService
from booking.seats.view import SeatMap
from booking_http.reply import Representation
from booking_http.seats.schemas import AvailableSeat, SeatWord

LISTINGS_MAX = 512
"""Lists kept: both kinds for 256 dates. About 20 kB for 50 seats, 3 MB for 10,000. The one unused
for longest is dropped."""
_ENCODE = msgspec.json.Encoder().encode
_HEAD = b'{"success":true,"data":['
_TAIL = b"]}"


class SeatListings:
    """The lists of all dates. A list is made when somebody first asks for it."""

    def __init__(self, seats: SeatService) -> None:
        self._service = seats
        self._kept: OrderedDict[tuple[str, bool], _SeatListing] = OrderedDict()

    def listing(self, schedule: str, every: bool) -> Representation:
        """Free seats, or ``every`` seat with its state; :class:`booking.calls.UnknownError` for an
        unknown date."""
        seats = self._service.seat_map(schedule)
        key = (schedule, every)
        kept = self._kept.get(key)
        if kept is None or not kept.shows(seats.schedule):
            kept = _SeatListing(seats.schedule, _every_seat if every else _free_seat)
            self._kept[key] = kept
            if len(self._kept) > LISTINGS_MAX:
                self._kept.popitem(last=False)
        else:
            self._kept.move_to_end(key)
        return kept.current(seats)


class _SeatListing:
    """One list: the bytes of each seat, and the body they made last."""

    def __init__(self, schedule: Schedule, render: Callable[[bytes, SeatWord], bytes]) -> None:
        self._schedule = schedule
        self._render = render
        self._version: int | None = None
        self._held: frozenset[int] = frozenset()
        self._sold: frozenset[int] = frozenset()
        numbers = sorted(schedule.prices)
        self._places = {number: place for place, number in enumerate(numbers, 1)}
        """Where a seat is in ``_parts``, after the head."""
        self._plain = [_plain(schedule, number) for number in numbers]
        free = [render(plain, "available") for plain in self._plain]
        self._parts = [_HEAD, *free, _TAIL]
        self._mark = 0
        for part in free:
            self._mark ^= _hash(part)
        self._listing = Representation(b"", "")

    def shows(self, schedule: Schedule) -> bool:
        """Whether this is still the date as the catalogue has it. A catalogue that was read again
        has equal dates, not the same; then remember the new one, to compare cheaply."""
        if schedule is not self._schedule and schedule == self._schedule:
            self._schedule = schedule
        return schedule is self._schedule

    def current(self, seats: SeatMap) -> Representation:
        if seats.version != self._version:
            self._change(seats.held, seats.sold)
            self._listing = Representation(self._joined(), f'"{self._mark:032x}"')
            self._version = seats.version
        return self._listing

    def _joined(self) -> bytes:
        """All parts in one join: each further copy of a megabyte costs as much again. A part
        starts with its comma, which the first seat goes without for that long."""
        parts = self._parts
        first = next((place for place in range(1, len(parts) - 1) if parts[place]), None)
        if first is None:
            return _HEAD + _TAIL
        part = parts[first]
        parts[first] = part[1:]
        body = b"".join(parts)
        parts[first] = part
        return body

    def _change(self, held: Set[int], sold: Set[int]) -> None:
        was_held, was_sold = self._held, self._sold
        self._held, self._sold = held, sold = frozenset(held), frozenset(sold)
        for number in (was_held ^ held) | (was_sold ^ sold):
            place = self._places.get(number)
            if place is None:
                continue  # sold once, and no longer in the catalogue
            word: SeatWord = "sold" if number in sold else "held" if number in held else "available"
            part = self._render(self._plain[place - 1], word)
            self._mark ^= _hash(self._parts[place]) ^ _hash(part)
            self._parts[place] = part


def _plain(schedule: Schedule, number: int) -> bytes:
    """The seat's object without its closing brace, and with the comma before it."""
    seat = AvailableSeat(seat_id(schedule.id, number), number, schedule.prices[number])
    return b"," + _ENCODE(seat)[:-1]


def _free_seat(plain: bytes, word: SeatWord) -> bytes:
    return plain + b"}" if word == "available" else b""


def _every_seat(plain: bytes, word: SeatWord) -> bytes:
    return plain + b',"state":"%b"}' % word.encode()


def _hash(part: bytes) -> int:
    return int.from_bytes(blake2b(part, digest_size=16).digest(), "big")
