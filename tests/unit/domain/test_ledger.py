import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from booking.domain.decision import BrokenInvariantError
from booking.seats.domain.ledger import (
    EMPTY_LEDGER,
    CoolDown,
    HoldCounted,
    HoldUncounted,
    Ledger,
    LedgerEvent,
    SaleCounted,
    cool_down_left_ms,
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


def test_an_empty_ledger_wants_no_wake() -> None:
    assert ledger_next_wake(EMPTY_LEDGER) is None


def test_the_next_wake_is_the_first_end_even_if_a_shorter_hold_came_later() -> None:
    assert list(THREE.holds) == [1, 2, 3]
    assert ledger_next_wake(THREE) == T0 + 10


def test_due_seats_are_those_over_the_oldest_first_and_not_too_many() -> None:
    assert due_seats(THREE, T0 + 9, 10) == ()
    assert due_seats(THREE, T0 + 20, 10) == (1, 2)
    assert due_seats(THREE, T0 + 30, 2) == (1, 2)


def test_the_holds_of_a_user_follow_every_change() -> None:
    assert [hold.reservation for hold in holds_of(THREE, "ann")] == ["c", "a"]
    fewer = evolve_ledger(THREE, HoldUncounted(3, "c"))
    assert [hold.reservation for hold in holds_of(fewer, "ann")] == ["a"]
    none = evolve_ledger(fewer, SaleCounted(1, "a"))
    assert list(holds_of(none, "ann")) == []
    assert none.sold == {1}
    assert "ann" not in none.by_user


def test_a_rest_is_one_users_and_over_at_its_end() -> None:
    ledger = evolve_ledger(THREE, HoldUncounted(1, "a", T0 + 10, 5))
    assert [cool_down_left_ms(ledger, 1, "ann", T0 + at) for at in (10, 14, 15, 99)] == [5, 1, 0, 0]
    assert cool_down_left_ms(ledger, 1, "bob", T0 + 10) == 0
    assert cool_down_left_ms(ledger, 2, "ann", T0 + 10) == 0


def test_a_ledger_keeps_no_rest_that_is_over_once_other_holds_end() -> None:
    ledger = evolve_ledger(THREE, HoldUncounted(1, "a", T0 + 10, 5))
    ledger = evolve_ledger(ledger, HoldUncounted(2, "b", T0 + 14, 5))
    assert ledger.cool_downs == {1: CoolDown("ann", T0 + 15), 2: CoolDown("bob", T0 + 19)}
    ledger = evolve_ledger(ledger, HoldUncounted(3, "c", T0 + 15, 5))
    assert ledger.cool_downs == {2: CoolDown("bob", T0 + 19), 3: CoolDown("ann", T0 + 20)}
    assert evolve_ledger(ledger, HoldCounted(2, "d", "cid", T0)).cool_downs == {
        3: ledger.cool_downs[3]
    }


def test_a_sale_leaves_the_rests_of_other_seats_alone_and_none_of_its_own() -> None:
    ledger = evolve_ledger(THREE, HoldUncounted(1, "a", T0 + 10, 5))
    assert evolve_ledger(ledger, SaleCounted(2, "b")).cool_downs == ledger.cool_downs


def test_a_snapshot_keeps_the_rests_and_an_older_one_has_none() -> None:
    ledger = evolve_ledger(THREE, HoldUncounted(1, "a", T0 + 10, 5))
    packed = msgspec.msgpack.encode(ledger)
    assert msgspec.msgpack.decode(packed, type=Ledger) == ledger
    older = {key: value for key, value in msgspec.msgpack.decode(packed).items() if key != "rests"}
    kept = msgspec.convert(older, Ledger, str_keys=False)
    assert kept == msgspec.structs.replace(ledger, cool_downs={})


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
def test_an_event_that_cannot_follow_crashes(event: LedgerEvent) -> None:
    with pytest.raises(BrokenInvariantError):
        evolve_ledger(THREE, event)


def test_a_sold_seat_is_not_held_again() -> None:
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
def test_holds_stay_ordered_by_their_end_and_the_index_by_user_agrees(
    steps: list[tuple[int, str, int]],
) -> None:
    ledger = EMPTY_LEDGER
    for seat, what, after_ms in steps:
        if what == "hold" and seat not in ledger.holds and seat not in ledger.sold:
            event: LedgerEvent = HoldCounted(seat, f"r{seat}", f"u{after_ms % 3}", T0 + after_ms)
        elif what != "hold" and seat in ledger.holds:
            kind: type[HoldUncounted | SaleCounted] = SaleCounted
            kind = HoldUncounted if what == "end" else kind
            event = kind(seat, f"r{seat}")
            if what == "end" and after_ms % 2:
                event = HoldUncounted(seat, f"r{seat}", T0 + after_ms, after_ms)
        else:
            continue
        ledger = evolve_ledger(ledger, event)
        ends = [hold.until_ms for hold in ledger.holds.values()]
        assert ends == sorted(ends)
        indexed = {seat: user for user, seats in ledger.by_user.items() for seat in seats}
        assert indexed == {seat: hold.user for seat, hold in ledger.holds.items()}
        assert not ledger.sold & ledger.holds.keys()
        assert not ledger.cool_downs.keys() & (ledger.sold | ledger.holds.keys())
