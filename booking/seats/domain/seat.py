"""A seat: hold, release, expire, sell.

A seat is free, held by one user until a moment, or sold. The ledger of its date
(:mod:`booking.seats.domain.ledger`) counts the same facts a second time. Both live in one slot, so
one decision changes both or neither.

::

    Free --HoldSeat--> Held --ConfirmSale--> Sold
     ^                  |
     +--ReleaseSeat-----+
     +--time is up------+   (decided on the next command or by the ledger's timer)

A seat that is let go unpaid cools down from its last holder, and from nobody else, for a share of
the time it was held. So nobody keeps a seat from all others by taking it again whenever the hold
ends, while choosing a seat and changing one's mind costs nothing noticeable. The length is decided
when the hold ends, and noted in the ledger: a seat's own state is only its present.
"""

from collections.abc import Mapping
from typing import assert_never

import msgspec

from booking.domain.decision import BrokenInvariantError, Code, Rejected
from booking.seats.domain.ledger import (
    HoldCounted,
    HoldUncounted,
    Ledger,
    LedgerEvent,
    Owner,
    SaleCounted,
    cool_down_left_ms,
    evolve_ledger,
    hold_of,
    seats_of,
)

# -- seat state ------------------------------------------------------------------------------------


class Free(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Nobody's."""


class Held(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Held for one user until it is paid, given up or over."""

    reservation: str
    user: str
    until_ms: int
    """The hold ends at this millisecond: a payment decided at ``until_ms`` is too late."""
    price: int
    held_at_ms: int = 0


class Sold(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Sold for good."""

    reservation: str
    user: str
    payment: str
    price: int


SeatState = Free | Held | Sold

FREE = Free()

# -- commands --------------------------------------------------------------------------------------


class Terms(msgspec.Struct, frozen=True, gc=False):
    """What the catalogue and the settings say about this seat at the time of the command."""

    price: int
    booking_start_ms: int
    booking_end_ms: int
    hold_ms: int
    max_holds: int
    """How many seats of this date one user may hold unpaid at a time."""
    max_per_user: int = 0
    """How many one user may hold and own together; 0: :attr:`max_holds`."""


class HoldSeat(msgspec.Struct, frozen=True, gc=False, tag=True, omit_defaults=True):
    """Hold the seat for the user. Repeated with the same reservation it answers the same."""

    user: str
    reservation: str
    queue: str = ""
    """The queue of the user's token, and its number, for the account; empty: it is not told."""
    number: int = 0
    key_id: bytes = b""
    """The user's key for the call, under which the account knows it; empty for none."""
    key_fingerprint: bytes = b""


class GetHold(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Ask whether the reservation holds the seat."""

    reservation: str


class ReleaseSeat(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Give the hold up. Repeated, or after its end, it does nothing and says so."""

    user: str
    reservation: str


class ConfirmSale(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Sell the held seat to its holder: the money is already taken. Idempotent by payment."""

    user: str
    reservation: str
    payment: str


SeatCommand = HoldSeat | GetHold | ReleaseSeat | ConfirmSale

# -- events ----------------------------------------------------------------------------------------


class SeatHeld(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The seat is held."""

    reservation: str
    user: str
    until_ms: int
    price: int
    held_at_ms: int = 0


class HoldReleased(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The holder gave the seat back."""

    reservation: str
    user: str


class HoldExpired(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The hold was over without a payment."""

    reservation: str
    user: str


class SeatSold(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The seat is sold for good."""

    reservation: str
    user: str
    payment: str
    price: int


SeatEvent = SeatHeld | HoldReleased | HoldExpired | SeatSold

# -- replies ---------------------------------------------------------------------------------------


class HoldGranted(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The seat is held for the user."""

    reservation: str
    until_ms: int
    price: int
    held_at_ms: int


class HoldEnded(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The reservation holds the seat no longer (released now or earlier, or expired)."""

    reservation: str


class SaleConfirmed(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The seat is sold to the user."""

    reservation: str
    payment: str


SeatReply = HoldGranted | HoldEnded | SaleConfirmed | Rejected

COOL_DOWN_MIN_MS = 1_000
"""A shorter cool-down is none: it would end before anybody else has seen the seat, and returning a
seat within some seconds is choosing, not keeping."""

# -- decide ----------------------------------------------------------------------------------------


class SeatDecision(msgspec.Struct, frozen=True, gc=False):
    """What becomes true, and the reply, which may be a rejection although events are there."""

    seat_events: tuple[SeatEvent, ...]
    ledger_events: tuple[LedgerEvent, ...]
    reply: SeatReply


class DueDecision(msgspec.Struct, frozen=True, gc=False):
    """The holds of several seats of one date that the ledger's timer ends."""

    seat_events: tuple[tuple[int, HoldExpired], ...]
    """Seat number and what becomes true of it."""
    ledger_events: tuple[HoldUncounted, ...]


def decide_seat(
    seat: SeatState,
    ledger: Ledger,
    number: int,
    command: SeatCommand,
    terms: Terms | None,
    cool_down_ms: int,
    now_ms: int,
) -> SeatDecision:
    """What happens on ``command`` to the seat ``number`` at ``now_ms``. A seat that is
    not for sale has no ``terms``. A hold that is over ends in the same decision, before anything
    else. ``cool_down_ms`` is the cool-down after a whole hold, 0 for none."""
    if isinstance(seat, Held) and seat.until_ms <= now_ms:
        reply = _foreign(seat, command)
        uncounted = _uncounted(seat, number, cool_down_ms, now_ms)
        after = evolve_ledger(ledger, uncounted)
        then = decide_seat(FREE, after, number, command, terms, cool_down_ms, now_ms)
        return SeatDecision(
            (HoldExpired(seat.reservation, seat.user), *then.seat_events),
            (uncounted, *then.ledger_events),
            reply or then.reply,
        )
    match command:
        case HoldSeat():
            return _hold(seat, ledger, number, command, terms, now_ms)
        case GetHold(reservation):
            return _answer(_get_hold(seat, reservation))
        case ReleaseSeat():
            return _release(seat, number, command, cool_down_ms, now_ms)
        case ConfirmSale():
            return _confirm(seat, number, command)
        case _:
            assert_never(command)


def expire_due(
    ledger: Ledger, seats: Mapping[int, SeatState], cool_down_ms: int, now_ms: int
) -> DueDecision:
    """End the holds of ``seats`` that are over. The two books have to agree on each of them."""
    seat_events: list[tuple[int, HoldExpired]] = []
    ledger_events: list[HoldUncounted] = []
    for number, seat in seats.items():
        counted = hold_of(ledger, number)
        if not isinstance(seat, Held):
            if counted is not None:
                raise BrokenInvariantError(f"ledger counts a hold of seat {number}: {seat}")
            continue
        if counted is None or (counted.reservation, counted.until_ms) != (
            seat.reservation,
            seat.until_ms,
        ):
            raise BrokenInvariantError(f"ledger has {counted} for seat {number}: {seat}")
        if seat.until_ms <= now_ms:
            seat_events.append((number, HoldExpired(seat.reservation, seat.user)))
            ledger_events.append(_uncounted(seat, number, cool_down_ms, now_ms))
    return DueDecision(tuple(seat_events), tuple(ledger_events))


def _uncounted(seat: Held, number: int, cool_down_ms: int, now_ms: int) -> HoldUncounted:
    """What the ledger notes of a hold that ends unpaid now: a cool-down from now on for the held
    share of ``cool_down_ms``."""
    length_ms = seat.until_ms - seat.held_at_ms
    held_ms = min(now_ms, seat.until_ms) - seat.held_at_ms
    cool_down_ms = cool_down_ms * held_ms // length_ms
    if cool_down_ms < COOL_DOWN_MIN_MS:
        return HoldUncounted(number, seat.reservation)
    return HoldUncounted(number, seat.reservation, now_ms, cool_down_ms)


def _foreign(seat: Held | Sold, command: SeatCommand) -> Rejected | None:
    """The refusal for someone who names another user's reservation to give it up."""
    if (
        isinstance(command, ReleaseSeat)
        and command.reservation == seat.reservation
        and command.user != seat.user
    ):
        return Rejected(Code.RESERVATION_NOT_FOUND, "There is no such reservation.")
    return None


def _answer(reply: SeatReply) -> SeatDecision:
    return SeatDecision((), (), reply)


def _reject(code: Code, detail: str) -> SeatDecision:
    return _answer(Rejected(code, detail))


def _hold(
    seat: SeatState,
    ledger: Ledger,
    number: int,
    command: HoldSeat,
    terms: Terms | None,
    now_ms: int,
) -> SeatDecision:
    user, reservation = command.user, command.reservation
    if isinstance(seat, Held) and (seat.reservation, seat.user) == (reservation, user):
        return _answer(HoldGranted(reservation, seat.until_ms, seat.price, seat.held_at_ms))
    if not isinstance(seat, Free):
        return _reject(Code.SEAT_UNAVAILABLE, f"Seat {number} is taken.")
    if terms is None:
        return _reject(Code.SEAT_UNAVAILABLE, f"Seat {number} is not for sale.")
    if not terms.booking_start_ms <= now_ms < terms.booking_end_ms:
        return _reject(Code.BOOKING_CLOSED, "This date cannot be booked at this time.")
    live, owned = count_seats(ledger, user, now_ms)
    if live >= terms.max_holds:
        return _reject(
            Code.HOLD_LIMIT_REACHED,
            f"You already hold {live} seats of this date and {terms.max_holds} is the limit.",
        )
    if refusal := over_limit(terms, live + owned, 1):
        return _answer(refusal)
    if left_ms := cool_down_left_ms(ledger, number, user, now_ms):
        return _answer(_cooling_down(number, left_ms))
    until_ms = now_ms + terms.hold_ms
    return SeatDecision(
        (SeatHeld(reservation, user, until_ms, terms.price, now_ms),),
        (HoldCounted(number, reservation, user, until_ms),),
        HoldGranted(reservation, until_ms, terms.price, now_ms),
    )


def count_seats(ledger: Ledger, user: str, now_ms: int) -> tuple[int, int]:
    """How many seats of the date the user holds and owns."""
    live = owned = 0
    for _, found in seats_of(ledger, user):
        if isinstance(found, Owner):
            owned += 1
        elif found.until_ms > now_ms:
            live += 1
    return live, owned


def over_limit(terms: Terms, have: int, more: int) -> Rejected | None:
    """The refusal for a user who has so many seats of the date and wants more of them, if these
    are too many."""
    limit = terms.max_per_user or terms.max_holds
    if have + more <= limit:
        return None
    had = f", and you have {have}" if have else ""
    return Rejected(Code.PURCHASE_LIMIT_REACHED, f"{limit} seats of this date are the limit{had}.")


def _cooling_down(number: int, left_ms: int) -> Rejected:
    left_s = -(-left_ms // 1000)
    return Rejected(
        Code.HOLD_COOLING_DOWN,
        f"You had seat {number} until a moment ago; for {left_s} more s it is only for others.",
        retry_after_ms=left_ms,
    )


def _get_hold(seat: SeatState, reservation: str) -> HoldGranted | HoldEnded:
    if isinstance(seat, Held) and seat.reservation == reservation:
        return HoldGranted(reservation, seat.until_ms, seat.price, seat.held_at_ms)
    return HoldEnded(reservation)


def _release(
    seat: SeatState, number: int, command: ReleaseSeat, cool_down_ms: int, now_ms: int
) -> SeatDecision:
    user, reservation = command.user, command.reservation
    if isinstance(seat, Free) or seat.reservation != reservation:
        return _answer(HoldEnded(reservation))
    if (foreign := _foreign(seat, command)) is not None:
        return _answer(foreign)
    if isinstance(seat, Sold):
        return _reject(Code.ALREADY_PAID, "This reservation is paid.")
    return SeatDecision(
        (HoldReleased(reservation, user),),
        (_uncounted(seat, number, cool_down_ms, now_ms),),
        HoldEnded(reservation),
    )


def _confirm(seat: SeatState, number: int, command: ConfirmSale) -> SeatDecision:
    user, reservation, payment = command.user, command.reservation, command.payment
    if isinstance(seat, Sold):
        if (seat.payment, seat.reservation, seat.user) == (payment, reservation, user):
            return _answer(SaleConfirmed(reservation, payment))
        if (seat.reservation, seat.user) == (reservation, user):
            return _reject(Code.ALREADY_PAID, "This reservation is paid.")
        return _reject(Code.SEAT_UNAVAILABLE, f"Seat {number} is sold.")
    if isinstance(seat, Free) or (seat.reservation, seat.user) != (reservation, user):
        return _reject(Code.HOLD_EXPIRED, "The hold of this seat has ended.")
    return SeatDecision(
        (SeatSold(reservation, user, payment, seat.price),),
        (SaleCounted(number, reservation),),
        SaleConfirmed(reservation, payment),
    )


# -- evolve ----------------------------------------------------------------------------------------


def evolve_seat(seat: SeatState, event: SeatEvent) -> SeatState:
    """The seat after ``event``; :class:`BrokenInvariantError` if it cannot follow this state."""
    match event:
        case SeatHeld(reservation, user, until_ms, price, held_at_ms):
            if not isinstance(seat, Free):
                raise BrokenInvariantError(f"{event} after {seat}")
            return Held(reservation, user, until_ms, price, held_at_ms)
        case HoldReleased() | HoldExpired():
            _holder(seat, event)
            return FREE
        case SeatSold(reservation, user, payment, price):
            if _holder(seat, event).price != price:
                raise BrokenInvariantError(f"{event} after {seat}")
            return Sold(reservation, user, payment, price)
        case _:
            assert_never(event)


def _holder(seat: SeatState, event: HoldReleased | HoldExpired | SeatSold) -> Held:
    """The hold that the event is about."""
    if not isinstance(seat, Held) or (seat.reservation, seat.user) != (
        event.reservation,
        event.user,
    ):
        raise BrokenInvariantError(f"{event} after {seat}")
    return seat
