"""Orders of several seats: one decision of the date's ledger."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from booking.domain.decision import Rejected
from booking.domain.orders import code_of, order_of, reservation_of
from booking.seats.domain.ledger import EMPTY_LEDGER, Ledger, evolve_ledger
from booking.seats.domain.order import (
    ConfirmOrder,
    OrderConfirmed,
    OrderPlaced,
    OrderReleased,
    PlaceOrder,
    ReleaseOrder,
    decide_order,
)
from booking.seats.domain.seat import (
    FREE,
    Free,
    Held,
    HoldGranted,
    HoldSeat,
    SeatState,
    Sold,
    Terms,
    decide_seat,
    evolve_seat,
)
from tests.support.scenario import T0

HOLD_MS = 300_000
END = T0 + HOLD_MS
ORDER = "ord_" + "5f" * 14
RESERVATIONS = [reservation_of(ORDER, place) for place in range(4)]


class Date:
    """A date's seats and their ledger, which have to agree."""

    def __init__(self, max_per_user: int = 0) -> None:
        self.seats: dict[int, SeatState] = {}
        self.ledger: Ledger = EMPTY_LEDGER
        self._terms = Terms(1_000, T0 - 1, T0 + 10 * HOLD_MS, HOLD_MS, 4, max_per_user)

    def when(self, command: Any, at: int = T0, numbers: tuple[int, ...] = ()) -> Any:
        numbers = numbers or tuple(command.seats)
        seats = {number: self.seats.get(number, FREE) for number in numbers}
        before = self.ledger
        decided = decide_order(seats, before, command, self._terms_of, 30_000, at)
        for number, event in decided.seat_events:
            self.seats[number] = evolve_seat(self.seats.get(number, FREE), event)
        for counted in decided.ledger_events:
            self.ledger = evolve_ledger(self.ledger, counted)
        assert decided.ledger == self.ledger
        if isinstance(decided.reply, Rejected):
            assert not decided.seat_events
            assert not decided.ledger_events
        return decided.reply

    def hold(self, user: str, number: int, at: int = T0) -> Any:
        """A single seat, as its own actor decides it."""
        seat = self.seats.get(number, FREE)
        hold = HoldSeat(user, f"rsv_{user}{number}")
        decided = decide_seat(seat, self.ledger, number, hold, self._terms_of(number), 0, at)
        for event in decided.seat_events:
            seat = evolve_seat(seat, event)
        for counted in decided.ledger_events:
            self.ledger = evolve_ledger(self.ledger, counted)
        self.seats[number] = seat
        return decided.reply

    def _terms_of(self, number: int) -> Terms | None:
        return self._terms if number <= 50 else None


def place(*seats: int, user: str = "ann", order: str = ORDER) -> PlaceOrder:
    return PlaceOrder(user, order, seats)


def named(*seats: int) -> dict[int, str]:
    return dict(zip(seats, RESERVATIONS, strict=False))


def refused(reply: Any) -> str:
    assert isinstance(reply, Rejected), reply
    return reply.code


def test_an_order_holds_all_its_seats_until_the_same_end() -> None:
    date = Date()
    reply = date.when(place(7, 8, 3))
    holds = {n: HoldGranted(r, END, 1_000, T0) for n, r in named(7, 8, 3).items()}
    assert reply == OrderPlaced(ORDER, holds)
    assert all(date.seats[n] == Held(r, "ann", END, 1_000, T0) for n, r in named(7, 8, 3).items())


def test_a_repeated_order_answers_the_same_and_holds_nothing_more() -> None:
    date = Date()
    first = date.when(place(7, 8, 9))
    before = date.ledger
    assert date.when(place(7, 8, 9), at=T0 + 5_000) == first
    assert date.ledger is before


def test_one_taken_seat_refuses_the_whole_order_and_is_named() -> None:
    date = Date()
    date.hold("bob", 8)
    date.hold("bob", 9)
    reply = date.when(place(7, 8, 9))
    assert (refused(reply), reply.seats) == ("seat_unavailable", (8, 9))
    reply = date.when(place(6, 7, 8))
    assert (refused(reply), reply.seats) == ("seat_unavailable", (8,))
    assert date.seats.get(7, FREE) == FREE


def test_a_seat_that_is_not_for_sale_refuses_the_order() -> None:
    assert refused(Date().when(place(50, 51))) == "seat_unavailable"


def test_an_overdue_hold_of_another_gives_way() -> None:
    date = Date()
    date.hold("bob", 8)
    reply = date.when(place(7, 8), at=END)
    assert isinstance(reply, OrderPlaced)
    assert date.ledger.held == 2


def test_nothing_left_as_wished_is_no_match() -> None:
    assert refused(Date().when(place(), numbers=())) == "no_match"


def test_held_and_owned_seats_together_stay_within_the_limit() -> None:
    """One user buys, lines up again and buys once more."""
    date = Date(max_per_user=3)
    date.when(place(1, 2))
    assert date.when(ConfirmOrder("ann", "pay", named(1, 2))) == OrderConfirmed("pay")
    other = "ord_" + "6a" * 14
    assert refused(date.when(place(3, 4, order=other))) == "purchase_limit_reached"
    assert isinstance(date.hold("ann", 3), HoldGranted)
    assert refused(date.hold("ann", 4)) == "purchase_limit_reached"
    assert isinstance(date.when(place(4, 5, user="bob", order=other)), OrderPlaced)


def test_without_a_limit_of_its_own_a_date_has_that_of_holds() -> None:
    date = Date()
    assert refused(date.when(place(1, 2, 3, 4, 5))) == "purchase_limit_reached"
    assert isinstance(date.when(place(1, 2, 3, 4)), OrderPlaced)
    assert refused(date.hold("ann", 5)) == "hold_limit_reached"
    date.when(ConfirmOrder("ann", "pay", named(1, 2, 3, 4)))
    assert refused(date.hold("ann", 5)) == "purchase_limit_reached"


def test_an_order_is_sold_as_one_and_by_one_payment() -> None:
    date = Date()
    date.when(place(7, 8))
    sale = ConfirmOrder("ann", "pay", named(7, 8))
    assert date.when(sale, at=END - 1) == OrderConfirmed("pay")
    assert date.seats == {n: Sold(r, "ann", "pay", 1_000) for n, r in named(7, 8).items()}
    assert date.when(sale, at=END + 1) == OrderConfirmed("pay")
    again = msgspec.structs.replace(sale, payment="other")
    assert refused(date.when(again)) == "already_paid"


@pytest.mark.parametrize("at", [END, END + 1])
def test_an_order_that_is_over_is_not_sold_not_even_in_part(at: int) -> None:
    date = Date()
    date.when(place(7, 8))
    assert refused(date.when(ConfirmOrder("ann", "pay", named(7, 8)), at=at)) == "hold_expired"


def test_one_seat_that_was_given_back_refuses_the_whole_sale() -> None:
    date = Date()
    date.when(place(7, 8))
    date.when(ReleaseOrder("ann", {8: RESERVATIONS[1]}))
    assert refused(date.when(ConfirmOrder("ann", "pay", named(7, 8)))) == "hold_expired"
    assert isinstance(date.seats[7], Held)


def test_an_order_is_given_up_as_one_by_its_holder_alone() -> None:
    date = Date()
    date.when(place(7, 8))
    assert refused(date.when(ReleaseOrder("bob", named(7, 8)))) == "reservation_not_found"
    release = ReleaseOrder("ann", named(7, 8))
    assert date.when(release) == OrderReleased()
    assert all(isinstance(seat, Free) for seat in date.seats.values())
    assert date.when(release) == OrderReleased()


def test_an_order_is_named_by_what_its_reservations_have_in_common() -> None:
    single = "rsv_0123456789abcdef0123456789abcdef"
    assert order_of(single) == "ord_0123456789abcdef0123456789ab"
    assert {order_of(each) for each in RESERVATIONS} == {ORDER}
    assert len({*RESERVATIONS}) == 4
    assert code_of(order_of(single)) == "26KN-CTWB"
    codes = {code_of("ord_" + f"{n * 0x9E3779B97F:010x}"[-10:] + "0" * 18) for n in range(2_000)}
    assert len(codes) == 2_000
    assert not {*"01OI"} & {*"".join(codes)}
