from typing import Any

import msgspec
import pytest

from booking.domain.decision import BrokenInvariantError
from booking.seats.domain.ledger import (
    EMPTY_LEDGER,
    HoldCounted,
    HoldUncounted,
    SaleCounted,
    holds_of,
)
from booking.seats.domain.seat import (
    FREE,
    ConfirmSale,
    Free,
    Held,
    HoldEnded,
    HoldExpired,
    HoldGranted,
    HoldReleased,
    HoldSeat,
    ReleaseSeat,
    SaleConfirmed,
    SeatEvent,
    SeatHeld,
    SeatSold,
    SeatState,
    Sold,
    Terms,
    evolve_seat,
    expire_due,
)
from tests.support.ledgers import holds, sold
from tests.support.scenario import T0, GivenSeat

HOLD_MS = 300_000
TERMS = Terms(
    price=90_000,
    booking_start_ms=T0 - 1000,
    booking_end_ms=T0 + 10 * HOLD_MS,
    hold_ms=HOLD_MS,
    max_holds=2,
)
END = T0 + HOLD_MS
HELD = (SeatHeld("r1", "ann", END, 90_000, T0), HoldCounted(7, "r1", "ann", END))
SOLD = (*HELD, SeatSold("r1", "ann", "p1", 90_000), SaleCounted(7, "r1"))
ENDED = (HoldExpired("r1", "ann"), HoldUncounted(7, "r1"))


# -- hold ------------------------------------------------------------------------------------------


def test_a_free_seat_is_held_for_the_length_of_a_hold() -> None:
    GivenSeat().when(HoldSeat("ann", "r1"), at=T0, terms=TERMS).then(
        *HELD, reply=HoldGranted("r1", END, 90_000, T0)
    )


def test_a_repeated_hold_answers_the_same_and_does_not_last_longer() -> None:
    GivenSeat(*HELD).when(HoldSeat("ann", "r1"), at=T0 + 5000, terms=TERMS).then(
        reply=HoldGranted("r1", END, 90_000, T0)
    )


def test_a_repeated_hold_keeps_its_price_when_the_catalogue_changes() -> None:
    dearer = msgspec.structs.replace(TERMS, price=1, booking_end_ms=T0)
    GivenSeat(*HELD).when(HoldSeat("ann", "r1"), at=T0 + 5000, terms=dearer).then(
        reply=HoldGranted("r1", END, 90_000, T0)
    )


@pytest.mark.parametrize("command", [HoldSeat("bob", "r2"), HoldSeat("ann", "r2")])
@pytest.mark.parametrize("events", [HELD, SOLD])
def test_a_taken_seat_is_refused_to_any_other_reservation(
    command: HoldSeat, events: tuple[Any, ...]
) -> None:
    GivenSeat(*events).when(command, at=END - 1, terms=TERMS).refused("seat_unavailable")


def test_a_sold_seat_is_refused_to_its_buyer_too() -> None:
    GivenSeat(*SOLD).when(HoldSeat("ann", "r1"), at=T0, terms=TERMS).refused("seat_unavailable")


def test_another_users_reservation_id_holds_nothing() -> None:
    GivenSeat(*HELD).when(HoldSeat("bob", "r1"), at=T0, terms=TERMS).refused("seat_unavailable")


@pytest.mark.parametrize(
    ("at", "open_"),
    [
        (TERMS.booking_start_ms - 1, False),
        (TERMS.booking_start_ms, True),
        (TERMS.booking_end_ms - 1, True),
        (TERMS.booking_end_ms, False),
    ],
)
def test_a_seat_can_be_held_from_booking_start_until_its_end(at: int, open_: bool) -> None:
    outcome = GivenSeat().when(HoldSeat("ann", "r1"), at=at, terms=TERMS)
    if open_:
        assert isinstance(outcome.reply, HoldGranted)
    else:
        outcome.refused("booking_closed")


def test_one_user_holds_at_most_so_many_seats_of_a_date() -> None:
    given = GivenSeat(HoldCounted(1, "a", "ann", END), HoldCounted(2, "b", "ann", END))
    given.when(HoldSeat("ann", "r1"), at=T0, terms=TERMS).refused("hold_limit_reached")
    outcome = given.when(HoldSeat("bob", "r2"), at=T0, terms=TERMS)
    assert isinstance(outcome.reply, HoldGranted)


def test_holds_that_are_over_or_paid_do_not_count_as_holds() -> None:
    given = GivenSeat(
        HoldCounted(1, "a", "ann", T0),
        HoldCounted(2, "b", "ann", END),
        HoldCounted(3, "c", "ann", END),
        SaleCounted(3, "c"),
    )
    many = msgspec.structs.replace(TERMS, max_per_user=3)
    outcome = given.when(HoldSeat("ann", "r1"), at=T0, terms=many)
    assert isinstance(outcome.reply, HoldGranted)


def test_an_overdue_hold_ends_as_the_next_user_takes_the_seat() -> None:
    until = END + HOLD_MS
    outcome = GivenSeat(*HELD).when(HoldSeat("bob", "r2"), at=END, terms=TERMS)
    assert outcome.decision.seat_events == (
        ENDED[0],
        SeatHeld("r2", "bob", until, 90_000, END),
    )
    assert outcome.decision.ledger_events == (ENDED[1], HoldCounted(7, "r2", "bob", until))
    assert outcome.reply == HoldGranted("r2", until, 90_000, END)


def test_a_hold_ends_for_its_own_reservation_too_and_a_retry_holds_anew() -> None:
    outcome = GivenSeat(*HELD).when(HoldSeat("ann", "r1"), at=END, terms=TERMS)
    assert outcome.reply == HoldGranted("r1", END + HOLD_MS, 90_000, END)
    assert outcome.decision.ledger_events[0] == ENDED[1]


def test_a_refused_hold_still_ends_the_one_whose_time_is_over() -> None:
    after = TERMS.booking_end_ms
    GivenSeat(*HELD).when(HoldSeat("bob", "r2"), at=after, terms=TERMS).refused(
        "booking_closed", *ENDED
    )


def test_a_seat_that_is_not_for_sale_is_refused() -> None:
    """An owner that has the newer catalogue answers an edge that has the older one."""
    GivenSeat().when(HoldSeat("ann", "r1"), at=T0, terms=None).refused("seat_unavailable")


def test_a_hold_goes_on_when_its_seat_is_taken_off_sale() -> None:
    """Its holder may ask again under the same reservation, and pay."""
    GivenSeat(*HELD).when(HoldSeat("ann", "r1"), at=T0 + 1, terms=None).then(
        reply=HoldGranted("r1", END, 90_000, T0)
    )
    pay = ConfirmSale("ann", "r1", "p1")
    assert GivenSeat(*HELD).when(pay, at=T0 + 1, terms=None).state[0] == Sold(
        "r1", "ann", "p1", 90_000
    )


# -- release ---------------------------------------------------------------------------------------


def test_a_released_seat_is_free_at_once() -> None:
    outcome = GivenSeat(*HELD).when(ReleaseSeat("ann", "r1"), at=T0 + 1)
    outcome.then(HoldReleased("r1", "ann"), HoldUncounted(7, "r1"), reply=HoldEnded("r1"))
    assert outcome.state == (Free(), EMPTY_LEDGER)


def test_a_release_that_comes_again_or_too_late_does_nothing_and_says_so() -> None:
    GivenSeat().when(ReleaseSeat("ann", "r1"), at=T0).then(reply=HoldEnded("r1"))
    other = GivenSeat(SeatHeld("r2", "bob", END, 1), HoldCounted(7, "r2", "bob", END))
    other.when(ReleaseSeat("ann", "r1"), at=T0).then(reply=HoldEnded("r1"))


def test_releasing_a_hold_whose_time_is_over_ends_it_as_expired() -> None:
    GivenSeat(*HELD).when(ReleaseSeat("ann", "r1"), at=END).then(*ENDED, reply=HoldEnded("r1"))


def test_a_paid_seat_is_not_released() -> None:
    GivenSeat(*SOLD).when(ReleaseSeat("ann", "r1"), at=T0).refused("already_paid")


@pytest.mark.parametrize("events", [HELD, SOLD])
def test_another_users_reservation_is_not_found(events: tuple[Any, ...]) -> None:
    GivenSeat(*events).when(ReleaseSeat("bob", "r1"), at=T0).refused("reservation_not_found")


def test_another_users_reservation_is_not_found_as_it_ends() -> None:
    given = GivenSeat(*HELD)
    given.when(ReleaseSeat("bob", "r1"), at=END).refused("reservation_not_found", *ENDED)


# -- confirm ---------------------------------------------------------------------------------------


def test_the_held_seat_is_sold_to_its_holder_up_to_the_last_millisecond() -> None:
    outcome = GivenSeat(*HELD).when(ConfirmSale("ann", "r1", "p1"), at=END - 1)
    outcome.then(*SOLD[2:], reply=SaleConfirmed("r1", "p1"))
    seat, ledger = outcome.state
    assert seat == Sold("r1", "ann", "p1", 90_000)
    assert (holds(ledger), sold(ledger), list(holds_of(ledger, "ann"))) == ({}, {7}, [])


def test_confirming_again_answers_the_same_even_long_after_the_hold() -> None:
    given = GivenSeat(*SOLD)
    given.when(ConfirmSale("ann", "r1", "p1"), at=END * 2).then(reply=SaleConfirmed("r1", "p1"))


def test_one_millisecond_late_is_too_late_and_ends_the_hold() -> None:
    outcome = GivenSeat(*HELD).when(ConfirmSale("ann", "r1", "p1"), at=END)
    outcome.refused("hold_expired", *ENDED)
    assert outcome.state == (Free(), EMPTY_LEDGER)


def test_a_seat_that_is_free_or_held_under_another_reservation_is_not_sold() -> None:
    GivenSeat().when(ConfirmSale("ann", "r1", "p1"), at=T0).refused("hold_expired")
    given = GivenSeat(*HELD)
    given.when(ConfirmSale("ann", "r0", "p1"), at=T0).refused("hold_expired")
    given.when(ConfirmSale("bob", "r1", "p1"), at=T0).refused("hold_expired")


def test_a_second_payment_for_a_sold_seat_is_refused() -> None:
    given = GivenSeat(*SOLD)
    given.when(ConfirmSale("ann", "r1", "p2"), at=T0).refused("already_paid")
    given.when(ConfirmSale("bob", "r2", "p3"), at=T0).refused("seat_unavailable")
    given.when(ConfirmSale("bob", "r2", "p1"), at=T0).refused("seat_unavailable")


# -- the timer -------------------------------------------------------------------------------------


def test_the_timer_ends_exactly_the_holds_that_are_over() -> None:
    ledger = GivenSeat(HoldCounted(1, "a", "ann", T0), HoldCounted(2, "b", "bob", T0 + 1)).ledger
    seats: dict[int, SeatState] = {
        1: Held("a", "ann", T0, 1),
        2: Held("b", "bob", T0 + 1, 1),
        3: FREE,
    }
    due = expire_due(ledger, seats, 0, T0)
    assert due.seat_events == ((1, HoldExpired("a", "ann")),)
    assert due.ledger_events == (HoldUncounted(1, "a"),)


@pytest.mark.parametrize(
    "seat",
    [FREE, Sold("a", "ann", "p", 1), Held("b", "ann", T0, 1), Held("a", "ann", T0 + 1, 1)],
)
def test_the_timer_crashes_when_the_two_books_disagree(seat: SeatState) -> None:
    ledger = GivenSeat(HoldCounted(1, "a", "ann", T0)).ledger
    with pytest.raises(BrokenInvariantError):
        expire_due(ledger, {1: seat}, 0, T0)


def test_the_timer_crashes_on_a_hold_the_ledger_has_not_counted() -> None:
    with pytest.raises(BrokenInvariantError):
        expire_due(EMPTY_LEDGER, {1: Held("a", "ann", T0, 1)}, 0, T0)


# -- contradictions --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seat", "event"),
    [
        (Held("r1", "ann", END, 1), SeatHeld("r2", "bob", END, 1)),
        (Sold("r1", "ann", "p1", 1), SeatHeld("r2", "bob", END, 1)),
        (FREE, HoldReleased("r1", "ann")),
        (FREE, HoldExpired("r1", "ann")),
        (FREE, SeatSold("r1", "ann", "p1", 1)),
        (Held("r1", "ann", END, 1), HoldExpired("r2", "ann")),
        (Held("r1", "ann", END, 1), HoldReleased("r1", "bob")),
        (Held("r1", "ann", END, 1), SeatSold("r1", "bob", "p1", 1)),
        (Held("r1", "ann", END, 1), SeatSold("r1", "ann", "p1", 2)),
        (Sold("r1", "ann", "p1", 1), SeatSold("r1", "ann", "p1", 1)),
        (Sold("r1", "ann", "p1", 1), HoldExpired("r1", "ann")),
    ],
)
def test_an_event_that_cannot_follow_crashes(seat: SeatState, event: SeatEvent) -> None:
    with pytest.raises(BrokenInvariantError):
        evolve_seat(seat, event)
