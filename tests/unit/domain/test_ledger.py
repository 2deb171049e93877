import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from booking.domain.decision import BrokenInvariantError
from booking.domain.ledger import (
    EMPTY_LEDGER,
    HoldCounted,
    HoldUncounted,
    SaleCounted,
    due_seats,
    evolve_ledger,
    holds_of,
    ledger_next_wake,
)
from tests.support.scenario import T0, fold

THREE = fold(
    evolve_ledger,
    EMPTY_LEDGER,
    [
        HoldCounted(3, "c", "ann", T0 + 30),
        HoldCounted(1, "a", "ann", T0 + 10),
        HoldCounted(2, "b", "bob", T0 + 20),
    ],
)


def test_an_empty_ledger_wants_no_wake():
    assert ledger_next_wake(EMPTY_LEDGER) is None


def test_the_next_wake_is_the_first_end_even_if_a_shorter_hold_came_later():
    assert list(THREE.holds) == [1, 2, 3]
    assert ledger_next_wake(THREE) == T0 + 10


def test_due_seats_are_those_over_the_oldest_first_and_not_too_many():
    assert due_seats(THREE, T0 + 9, 10) == ()
    assert due_seats(THREE, T0 + 20, 10) == (1, 2)
    assert due_seats(THREE, T0 + 30, 2) == (1, 2)


def test_the_holds_of_a_user_follow_every_change():
    assert [hold.reservation for hold in holds_of(THREE, "ann")] == ["c", "a"]
    fewer = evolve_ledger(THREE, HoldUncounted(3, "c"))
    assert [hold.reservation for hold in holds_of(fewer, "ann")] == ["a"]
    none = evolve_ledger(fewer, SaleCounted(1, "a"))
    assert list(holds_of(none, "ann")) == []
    assert none.sold == {1}
    assert "ann" not in none.by_user


@pytest.mark.parametrize(
    "event",
    [
        HoldCounted(1, "x", "bob", T0),
        HoldUncounted(4, "x"),
        HoldUncounted(1, "b"),
        SaleCounted(4, "x"),
        SaleCounted(1, "b"),
    ],
)
def test_an_event_that_cannot_follow_crashes(event):
    with pytest.raises(BrokenInvariantError):
        evolve_ledger(THREE, event)


def test_a_sold_seat_is_not_held_again():
    sold = evolve_ledger(THREE, SaleCounted(1, "a"))
    with pytest.raises(BrokenInvariantError):
        evolve_ledger(sold, HoldCounted(1, "x", "bob", T0))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 8), st.sampled_from(["hold", "end", "sell"]), st.integers(0, 50)),
        max_size=40,
    )
)
def test_holds_stay_ordered_by_their_end_and_the_index_by_user_agrees(steps):
    ledger = EMPTY_LEDGER
    for seat, what, after_ms in steps:
        if what == "hold" and seat not in ledger.holds and seat not in ledger.sold:
            event = HoldCounted(seat, f"r{seat}", f"u{after_ms % 3}", T0 + after_ms)
        elif what != "hold" and seat in ledger.holds:
            kind = HoldUncounted if what == "end" else SaleCounted
            event = kind(seat, f"r{seat}")
        else:
            continue
        ledger = evolve_ledger(ledger, event)
        ends = [hold.until_ms for hold in ledger.holds.values()]
        assert ends == sorted(ends)
        indexed = {seat: user for user, seats in ledger.by_user.items() for seat in seats}
        assert indexed == {seat: hold.user for seat, hold in ledger.holds.items()}
        assert not ledger.sold & ledger.holds.keys()
