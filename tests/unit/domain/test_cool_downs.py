"""A seat that is let go unpaid rests from its last holder, and from nobody else."""

import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from booking.seats.domain.ledger import HoldCounted, HoldUncounted
from booking.seats.domain.seat import (
    FREE,
    ConfirmSale,
    HoldExpired,
    HoldGranted,
    HoldSeat,
    ReleaseSeat,
    SeatHeld,
    Terms,
    decide_seat,
    expire_due,
)
from tests.support.ledgers import cool_downs
from tests.support.scenario import T0, GivenSeat
from tests.support.world import COOL_DOWN_MS as WORLD_REST_MS
from tests.support.world import HOLD_MS as WORLD_HOLD_MS
from tests.support.world import SEATS, World

HOLD_MS = 300_000
TERMS = Terms(
    price=90_000,
    booking_start_ms=T0,
    booking_end_ms=T0 + 10 * HOLD_MS,
    hold_ms=HOLD_MS,
    max_holds=2,
)
END = T0 + HOLD_MS
HELD = (SeatHeld("r1", "ann", END, 90_000, T0), HoldCounted(7, "r1", "ann", END))

COOL_DOWN_MS = 30_000
ENDED_LATE = (HoldExpired("r1", "ann"), HoldUncounted(7, "r1", END + 5, COOL_DOWN_MS))
"""Found out five milliseconds after the end."""


def let_go(at: int) -> GivenSeat:
    """Ann held the seat from T0 on and gives it up, or is too late to."""
    given = GivenSeat(*HELD)
    given.when(ReleaseSeat("ann", "r1"), at=at, cool_down_ms=COOL_DOWN_MS)
    return given


@pytest.mark.parametrize(
    ("at", "cool_down_ms"),
    [(T0 + 10_000, 1_000), (T0 + HOLD_MS // 2, 15_000), (END - 1, 29_999), (END, 30_000)],
)
def test_a_seat_cools_down_for_a_share_of_the_time_it_was_held(at: int, cool_down_ms: int) -> None:
    outcome = GivenSeat(*HELD).when(ReleaseSeat("ann", "r1"), at=at, cool_down_ms=COOL_DOWN_MS)
    assert outcome.decision.ledger_events == (HoldUncounted(7, "r1", at, cool_down_ms),)
    given = let_go(at)
    refused = given.when(
        HoldSeat("ann", "r2"), at=at + cool_down_ms - 1, terms=TERMS, cool_down_ms=COOL_DOWN_MS
    )
    refused.refused("hold_cooling_down")
    assert refused.reply.retry_after_ms == 1
    granted = given.when(
        HoldSeat("ann", "r2"), at=at + cool_down_ms, terms=TERMS, cool_down_ms=COOL_DOWN_MS
    )
    assert isinstance(granted.reply, HoldGranted)


def test_who_changes_their_mind_within_seconds_may_do_so_again_at_once() -> None:
    at = T0 + 9_999
    outcome = GivenSeat(*HELD).when(ReleaseSeat("ann", "r1"), at=at, cool_down_ms=COOL_DOWN_MS)
    assert outcome.decision.ledger_events == (HoldUncounted(7, "r1"),)
    again = let_go(at).when(HoldSeat("ann", "r2"), at=at, terms=TERMS, cool_down_ms=COOL_DOWN_MS)
    assert isinstance(again.reply, HoldGranted)


def test_nobody_else_is_refused_for_it_and_their_hold_ends_the_rest() -> None:
    given = let_go(END - 1)
    held = given.when(HoldSeat("bob", "r2"), at=END - 1, terms=TERMS, cool_down_ms=COOL_DOWN_MS)
    assert isinstance(held.reply, HoldGranted)
    given.when(ReleaseSeat("bob", "r2"), at=END, cool_down_ms=COOL_DOWN_MS)
    back = given.when(HoldSeat("ann", "r3"), at=END, terms=TERMS, cool_down_ms=COOL_DOWN_MS)
    assert isinstance(back.reply, HoldGranted)


def test_a_user_may_hold_the_other_seats_meanwhile() -> None:
    given = let_go(END - 1)
    other = decide_seat(FREE, given.ledger, 8, HoldSeat("ann", "r2"), TERMS, COOL_DOWN_MS, END - 1)
    assert isinstance(other.reply, HoldGranted)


@pytest.mark.parametrize("reservation", ["r1", "r2"])
def test_taking_a_seat_again_as_the_hold_ends_is_refused(reservation: str) -> None:
    """The refused attempt ends the hold."""
    again = HoldSeat("ann", reservation)
    outcome = GivenSeat(*HELD).when(again, at=END + 5, terms=TERMS, cool_down_ms=COOL_DOWN_MS)
    outcome.refused("hold_cooling_down", *ENDED_LATE)
    assert outcome.reply.retry_after_ms == COOL_DOWN_MS


def test_the_next_user_gets_a_seat_in_the_decision_that_ends_the_hold() -> None:
    outcome = GivenSeat(*HELD).when(
        HoldSeat("bob", "r2"), at=END + 5, terms=TERMS, cool_down_ms=COOL_DOWN_MS
    )
    assert isinstance(outcome.reply, HoldGranted)
    assert outcome.decision.ledger_events[0] == ENDED_LATE[1]
    _, ledger = outcome.state
    assert cool_downs(ledger) == {}


def test_a_payment_that_comes_too_late_leaves_a_rest_too() -> None:
    given = GivenSeat(*HELD)
    late = given.when(ConfirmSale("ann", "r1", "p1"), at=END + 5, cool_down_ms=COOL_DOWN_MS)
    late.refused("hold_expired", *ENDED_LATE)


def test_the_timer_starts_the_cool_down_as_the_seat_gets_free() -> None:
    given = GivenSeat(*HELD)
    due = expire_due(given.ledger, {7: given.seat}, COOL_DOWN_MS, END + 5)
    assert due.seat_events == ((7, ENDED_LATE[0]),)
    assert due.ledger_events == ENDED_LATE[1:]


def test_a_repeated_hold_is_answered_as_before_whatever_rested_before_it() -> None:
    given = let_go(END - 1)
    first = given.when(
        HoldSeat("ann", "r2"), at=END + COOL_DOWN_MS, terms=TERMS, cool_down_ms=COOL_DOWN_MS
    )
    again = given.when(
        HoldSeat("ann", "r2"), at=END + COOL_DOWN_MS, terms=TERMS, cool_down_ms=COOL_DOWN_MS
    )
    assert again.reply == first.reply


def test_a_cool_down_is_fixed_when_the_hold_ends() -> None:
    """No later setting changes it."""
    without = let_go(END).when(HoldSeat("ann", "r2"), at=END + 1, terms=TERMS, cool_down_ms=0)
    without.refused("hold_cooling_down")
    given = GivenSeat(*HELD)
    given.when(ReleaseSeat("ann", "r1"), at=END - 1, cool_down_ms=0)
    again = given.when(HoldSeat("ann", "r2"), at=END - 1, terms=TERMS, cool_down_ms=COOL_DOWN_MS)
    assert isinstance(again.reply, HoldGranted)


# -- at random -------------------------------------------------------------------------------------

# The moments that matter are those around the ends of holds and of rests.
waits = st.one_of(
    st.integers(0, 1_000),
    st.sampled_from([WORLD_HOLD_MS - 1, WORLD_HOLD_MS, WORLD_REST_MS - 1, WORLD_REST_MS]),
    st.sampled_from([WORLD_HOLD_MS // 2, WORLD_REST_MS // 2]),
)
doings = st.sampled_from(["hold", "hold", "release", "timer"])
# Most want the same seat.
steps = st.tuples(waits, doings, st.sampled_from(["ann", "bob"]), st.sampled_from([1, 1, 1, 2, 3]))


@settings(max_examples=200, deadline=None)
@drawn(st.lists(steps, max_size=30))
def test_two_rivals_are_kept_only_from_what_they_let_go(
    steps: list[tuple[int, str, str, int]],
) -> None:
    """The books of :class:`World` hold every hold and every refusal to the rule."""
    world = World(["ann", "bob"])
    for named, (ms, what, user, number) in enumerate(steps):
        world.now_ms += ms
        if what == "timer":
            world.ledger_timer()
        elif what == "hold":
            world.ask_seat(number, HoldSeat(user, f"r{named}"))
        elif number in world.books.holds:
            reservation, holder, _ = world.books.holds[number]
            world.ask_seat(number, ReleaseSeat(holder, reservation))
        world.check()
        resting = {
            number
            for number in SEATS
            for user in ("ann", "bob")
            if world.books.resting_ms(number, user, world.now_ms)
        }
        assert resting <= cool_downs(world.ledger).keys()
        assert not cool_downs(world.ledger).keys() & world.books.holds.keys()
