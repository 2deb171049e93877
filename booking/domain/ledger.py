"""The ledger of a date: which of its seats are held, by whom and until when, and which are sold.

It says what the seats say a second time, by date and user. So it guards the number of seats one
user may hold, feeds the seat map, tells the timer which hold ends next, and lets an auditor compare
two independent books. The decisions are in :mod:`booking.domain.seat`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import assert_never

import msgspec

from booking.domain.decision import BrokenInvariantError

# -- events ----------------------------------------------------------------------------------------


class HoldCounted(msgspec.Struct, frozen=True, tag=True):
    """A seat of the date is held."""

    seat: int
    reservation: str
    user: str
    until_ms: int


class HoldUncounted(msgspec.Struct, frozen=True, tag=True):
    """A hold ended without a sale."""

    seat: int
    reservation: str


class SaleCounted(msgspec.Struct, frozen=True, tag=True):
    """A held seat was sold."""

    seat: int
    reservation: str


LedgerEvent = HoldCounted | HoldUncounted | SaleCounted

# -- state -----------------------------------------------------------------------------------------


class LedgerHold(msgspec.Struct, frozen=True, array_like=True):
    reservation: str
    user: str
    until_ms: int


class Ledger(msgspec.Struct, frozen=True):
    """A date's open holds by seat number, ordered by their end, and its sold seats.

    Plain containers, copied on change: 4 us in a hall of 50 seats, 17 us with 1,000 seats held at
    once, 0.35 ms with 10,000 (measured on a busy machine).
    """

    holds: dict[int, LedgerHold]
    sold: frozenset[int]
    by_user: dict[str, tuple[int, ...]] = {}
    """The held seats of each user who holds any."""


EMPTY_LEDGER = Ledger({}, frozenset())


def holds_of(ledger: Ledger, user: str) -> Iterator[LedgerHold]:
    """The open holds of a user, also those whose time is over but that have not ended yet."""
    return (ledger.holds[seat] for seat in ledger.by_user.get(user, ()))


# -- time ------------------------------------------------------------------------------------------


def ledger_next_wake(ledger: Ledger) -> int | None:
    """When the next hold is over, in ms since the epoch. O(1)."""
    for hold in ledger.holds.values():
        return hold.until_ms
    return None


def due_seats(ledger: Ledger, now_ms: int, limit: int) -> tuple[int, ...]:
    """At most ``limit`` seats whose hold is over, the longest over first. O(limit)."""
    first = islice(ledger.holds.items(), limit)
    return tuple(seat for seat, hold in first if hold.until_ms <= now_ms)


# -- evolve ----------------------------------------------------------------------------------------


def evolve_ledger(ledger: Ledger, event: LedgerEvent) -> Ledger:
    """The ledger after ``event``; :class:`BrokenInvariantError` if it cannot follow this state."""
    match event:
        case HoldCounted(seat, reservation, user, until_ms):
            if seat in ledger.holds or seat in ledger.sold:
                raise BrokenInvariantError(f"{event}, but the seat is taken")
            hold = LedgerHold(reservation, user, until_ms)
            by_user = ledger.by_user.copy()
            by_user[user] = (*by_user.get(user, ()), seat)
            return Ledger(_with_hold(ledger.holds, seat, hold), ledger.sold, by_user)
        case HoldUncounted(seat):
            return _without_hold(ledger, seat, event)
        case SaleCounted(seat):
            rest = _without_hold(ledger, seat, event)
            return Ledger(rest.holds, rest.sold | {seat}, rest.by_user)
        case _:
            assert_never(event)


def _with_hold(holds: dict[int, LedgerHold], seat: int, hold: LedgerHold) -> dict[int, LedgerHold]:
    """``holds`` and one more, in order. Holds are granted with growing ends unless the length of
    a hold was made shorter, so sorting is rare."""
    more = holds.copy()
    more[seat] = hold
    if holds and next(reversed(holds.values())).until_ms > hold.until_ms:
        more = dict(sorted(more.items(), key=lambda item: item[1].until_ms))
    return more


def _without_hold(ledger: Ledger, seat: int, event: HoldUncounted | SaleCounted) -> Ledger:
    hold = ledger.holds.get(seat)
    if hold is None or hold.reservation != event.reservation:
        raise BrokenInvariantError(f"{event}, but the seat has {hold}")
    holds = ledger.holds.copy()
    del holds[seat]
    by_user = ledger.by_user.copy()
    if seats := tuple(other for other in by_user.pop(hold.user) if other != seat):
        by_user[hold.user] = seats
    return Ledger(holds, ledger.sold, by_user)
