"""The ledger of a date: which seats are held, by whom and until when, sold, or cooling down.

It says what the seats say a second time, by date and user. So it guards the number of seats one
user may hold, feeds the seat map, and tells the timer which hold ends next.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final, Literal, assert_never

import msgspec

from booking.domain.decision import BrokenInvariantError
from booking.domain.persistent import PAGE_KEYS, PersistentArray, PersistentSorted, page_items

# -- events ----------------------------------------------------------------------------------------


class HoldCounted(msgspec.Struct, frozen=True, gc=False, tag=True):
    """A seat of the date is held."""

    seat: int
    reservation: str
    user: str
    until_ms: int


class HoldUncounted(msgspec.Struct, frozen=True, gc=False, tag=True, omit_defaults=True):
    """A hold ended without a sale. Without a cool-down it reads as it did before there were any."""

    seat: int
    reservation: str
    ended_ms: int = 0
    """When it ended, which is when the cool-down begins; 0 without one."""
    cool_down_ms: int = msgspec.field(name="rest_ms", default=0)
    """How long from then on its last holder may not hold the seat again; 0: at once."""


class SaleCounted(msgspec.Struct, frozen=True, gc=False, tag=True):
    """A held seat was sold."""

    seat: int
    reservation: str


LedgerEvent = HoldCounted | HoldUncounted | SaleCounted

# -- state -----------------------------------------------------------------------------------------


class LedgerHold(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """An open hold of one seat."""

    reservation: str
    user: str
    until_ms: int


class CoolDown(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Until when a free seat is not for ``user``, who held it last. For all others it is free."""

    user: str
    until_ms: int


class Owner(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Who bought a seat."""

    user: str


_Packed = bytes
"""A hold, an owner or a cool-down in some 80 bytes; see :func:`_packed`."""
_SOLD: Final = True
Entry = LedgerHold | CoolDown | Owner | Literal[True]
"""What there is to say of a seat that is not simply free; ``True`` of one that was sold before
owners were noted."""

TAKEN_MAX: Final = 2**17
"""Seats with lower numbers are in :attr:`Ledger.taken`: all of the largest house."""


class Ledger(msgspec.Struct, frozen=True, gc=False):
    """What a date counts of its seats.

    A change costs the same in a hall of any size, older versions stay as they were, and what
    differs between two of them is found without looking at the rest. A held seat takes some 130
    bytes, a sold one 80, any other one 8, and up to 80 more after a cool-down.
    """

    seats: PersistentArray[_Packed | Literal[True]] = msgspec.field(default_factory=PersistentArray)
    """By number: held, sold, and free ones with a cool-down, over or not."""
    ends: PersistentSorted = msgspec.field(default_factory=PersistentSorted)
    """``(until_ms, number)`` of the held seats."""
    users: PersistentSorted = msgspec.field(default_factory=PersistentSorted)
    """``(hash of the packed user, number)`` of the held and sold seats. The hash is this process'
    own."""
    sold: int = 0
    """How many seats are sold."""
    taken: int = 0
    """The bits of the held and sold seats below :data:`TAKEN_MAX`: a seat's number is its bit."""

    @property
    def held(self) -> int:
        """How many seats are held."""
        return len(self.ends)


EMPTY_LEDGER = Ledger()

SeatWord = Literal["available", "held", "sold"]
"""What the ledger says of a seat."""


def hold_of(ledger: Ledger, seat: int) -> LedgerHold | None:
    """The open hold of a seat."""
    found = _unpacked(ledger.seats.get(seat))
    return found if isinstance(found, LedgerHold) else None


def word_of(ledger: Ledger, seat: int) -> SeatWord:
    """Whether a seat is free, held or sold."""
    return _word(ledger.seats.get(seat))


def changed_words(before: Ledger, after: Ledger) -> Iterator[tuple[int, SeatWord]]:
    """The seats that have another word afterwards, by number, with that word. O(changes)."""
    for seat, found, was in after.seats.changed_since(before.seats):
        word = _word(found)
        if word != _word(was):
            yield seat, word


def _word(found: _Packed | Literal[True] | None) -> SeatWord:
    if found is None:
        return "available"
    if found is _SOLD or found[0] == _OWNER_BEGINS:
        return "sold"
    return "held" if found[0] == _HOLD_BEGINS else "available"


def seats_of(ledger: Ledger, user: str) -> Iterator[tuple[int, LedgerHold | Owner]]:
    """The seats a user has bought or holds, also those whose time is over but that have not ended
    yet."""
    for seat in ledger.users.seconds_of(hash(_as_digits(user, _user))):
        found = _unpacked(ledger.seats.get(seat))
        if isinstance(found, LedgerHold | Owner) and found.user == user:
            yield seat, found


def holds_of(ledger: Ledger, user: str) -> Iterator[LedgerHold]:
    """The holds among these."""
    return (found for _, found in seats_of(ledger, user) if isinstance(found, LedgerHold))


def cool_down_left_ms(ledger: Ledger, seat: int, user: str, now_ms: int) -> int:
    """For how long yet this user may not hold the seat; 0 if it does not cool down from them."""
    cool_down = _unpacked(ledger.seats.get(seat))
    if not isinstance(cool_down, CoolDown) or cool_down.user != user:
        return 0
    return max(0, cool_down.until_ms - now_ms)


# -- time ------------------------------------------------------------------------------------------


def ledger_next_wake(ledger: Ledger) -> int | None:
    """When the next hold is over, in ms since the epoch. O(1)."""
    first = ledger.ends.first()
    return None if first is None else first[0]


def due_seats(ledger: Ledger, now_ms: int, limit: int) -> tuple[int, ...]:
    """At most ``limit`` seats whose hold is over, the longest over first. O(limit)."""
    first = islice(ledger.ends, limit)
    return tuple(seat for until_ms, seat in first if until_ms <= now_ms)


# -- evolve ----------------------------------------------------------------------------------------


def evolve_ledger(ledger: Ledger, event: LedgerEvent) -> Ledger:
    """The ledger after ``event``; :class:`BrokenInvariantError` if it cannot follow this state."""
    match event:
        case HoldCounted(seat, reservation, user, until_ms):
            if word_of(ledger, seat) != "available":
                raise BrokenInvariantError(f"{event}, but the seat is taken")
            holder = _as_digits(user, _user)
            hold = _PACK((_as_digits(reservation, _reservation), holder, until_ms))
            return Ledger(
                ledger.seats.set(seat, hold),
                ledger.ends.add((until_ms, seat)),
                ledger.users.add((hash(holder), seat)),
                ledger.sold,
                ledger.taken | _bit(seat),
            )
        case HoldUncounted() | SaleCounted():
            return _without_hold(ledger, event)
        case _:
            assert_never(event)


def _without_hold(ledger: Ledger, event: HoldUncounted | SaleCounted) -> Ledger:
    """The ledger after a hold: the seat is sold, free, or cools down."""
    seat, found = event.seat, ledger.seats.get(event.seat)
    if found is None or found is _SOLD or found[0] != _HOLD_BEGINS:
        raise BrokenInvariantError(f"{event}, but the seat is not held")
    reservation, holder, until_ms = _UNPACK(found)
    if reservation != _as_digits(event.reservation, _reservation):
        raise BrokenInvariantError(f"{event}, but the seat has {hold_of(ledger, seat)}")
    ends = ledger.ends.discard((until_ms, seat))
    if isinstance(event, SaleCounted):
        seats = ledger.seats.set(seat, _PACK((holder,)))
        return Ledger(seats, ends, ledger.users, ledger.sold + 1, ledger.taken)
    cooled_ms = event.ended_ms + event.cool_down_ms
    return Ledger(
        ledger.seats.set(seat, _PACK((holder, cooled_ms)) if event.cool_down_ms else None),
        ends,
        ledger.users.discard((hash(holder), seat)),
        ledger.sold,
        ledger.taken & ~_bit(seat),
    )


def _bit(seat: int) -> int:
    """Of a seat in :attr:`Ledger.taken`."""
    return 1 << seat if seat < TAKEN_MAX else 0


# -- pages -----------------------------------------------------------------------------------------

LedgerPage = Sequence[Sequence[_Packed | Literal[True] | None]]


def with_page(ledger: Ledger, number: int, page: LedgerPage) -> Ledger:
    """The ledger with a page of its seats that it has none of yet."""
    ends, users, sold, taken, first = [], [], 0, 0, number * PAGE_KEYS
    for seat, found in page_items(number, page):
        word = _word(found)
        if word == "available":
            continue
        taken |= 1 << seat - first
        sold += word == "sold"
        if found is not _SOLD:
            *_, holder, until_ms = (*_UNPACK(found), 0) if word == "sold" else _UNPACK(found)
            users.append((hash(holder), seat))
            if word == "held":
                ends.append((until_ms, seat))
    return Ledger(
        ledger.seats.with_page(number, page),
        ledger.ends.extended(ends),
        ledger.users.extended(users),
        ledger.sold + sold,
        ledger.taken | (taken << first if first < TAKEN_MAX else 0),
    )


def ledger_of(entries: Mapping[int, Entry]) -> Ledger:
    """The ledger that says this of its seats, and that all others are free."""
    ledger = Ledger()
    seats = ledger.seats
    for seat, entry in entries.items():
        seats = seats.set(seat, _SOLD if entry is _SOLD else _packed(entry))
    for number, page in seats.pages().items():
        ledger = with_page(ledger, number, page)
    return ledger


def entries_of(ledger: Ledger) -> dict[int, Entry]:
    """What :func:`ledger_of` takes."""
    return {seat: _unpacked(found) or True for seat, found in ledger.seats.items()}


# -- packed ----------------------------------------------------------------------------------------


def _packed(entry: LedgerHold | CoolDown | Owner) -> _Packed:
    """A hold, an owner or a cool-down as one object, a third of the size of its strings."""
    user = _as_digits(entry.user, _user)
    if isinstance(entry, Owner):
        return _PACK((user,))
    if isinstance(entry, CoolDown):
        return _PACK((user, entry.until_ms))
    return _PACK((_as_digits(entry.reservation, _reservation), user, entry.until_ms))


def _unpacked(found: _Packed | Literal[True] | None) -> LedgerHold | CoolDown | Owner | None:
    if found is None or found is _SOLD:
        return None
    first, *rest = _UNPACK(found)
    if len(rest) < 2:
        user = _user(first) if isinstance(first, bytes) else first
        return CoolDown(user, *rest) if rest else Owner(user)
    user, until_ms = rest
    return LedgerHold(
        _reservation(first) if isinstance(first, bytes) else first,
        _user(user) if isinstance(user, bytes) else user,
        until_ms,
    )


_PACK = msgspec.msgpack.Encoder().encode
_UNPACK = msgspec.msgpack.Decoder(list[Any]).decode
_HOLD_BEGINS = _PACK((0, 0, 0))[0]
_OWNER_BEGINS = _PACK((0,))[0]


def _as_digits(name: str, spell: Callable[[bytes], str]) -> bytes | str:
    """The 16 bytes that ``spell`` spells as this name; the name itself if there are none."""
    digits = name[-36:].removeprefix(_RESERVATION).replace("-", "")
    try:
        number = bytes.fromhex(digits)
    except ValueError:
        return name
    return number if len(number) == 16 and spell(number) == name else name


_RESERVATION = "rsv_"


def _reservation(number: bytes) -> str:
    return _RESERVATION + number.hex()


def _user(number: bytes) -> str:
    digits = number.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
