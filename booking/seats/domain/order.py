"""An order: several seats of one date that are held, given up or sold together, or not at all.

The date's ledger decides for all of them in one turn, each by the rules of
:mod:`booking.seats.domain.seat`. An order has no state of its own: it is its reservations, whose
ids begin alike (:mod:`booking.domain.orders`).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import msgspec

from booking.domain.decision import Code, Rejected
from booking.domain.orders import order_of, reservation_of
from booking.seats.domain.ledger import Ledger, LedgerEvent, LedgerHold, evolve_ledger, seats_of
from booking.seats.domain.seat import (
    ConfirmSale,
    HoldGranted,
    HoldSeat,
    ReleaseSeat,
    SeatCommand,
    SeatEvent,
    SeatReply,
    SeatState,
    Terms,
    count_seats,
    decide_seat,
    over_limit,
)

# -- commands --------------------------------------------------------------------------------------


class Wish(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Seats that the user leaves to us to choose."""

    quantity: int
    category: str = ""
    section: str = ""
    max_price: int | None = None
    together: Literal["prefer"] | bool = True
    """Side by side; ``prefer``: in as few groups as there can be; ``False``: anywhere."""
    accessible: bool = False
    """With a place for a wheelchair."""


class PlaceOrder(msgspec.Struct, frozen=True, gc=False, tag=True, omit_defaults=True):
    """Hold seats for the user: these, or such as the wish says. Repeated with the same order it
    answers the same."""

    user: str
    order: str
    seats: tuple[int, ...] = ()
    wish: Wish | None = None
    queue: str = ""
    """The last four as in :class:`booking.seats.domain.seat.HoldSeat`."""
    number: int = 0
    key_id: bytes = b""
    key_fingerprint: bytes = b""


class ReleaseOrder(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Give up the holds of these seats, by their reservations."""

    user: str
    seats: dict[int, str]


class ConfirmOrder(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Sell the seats to their holder, by their reservations: the money is already taken.
    Idempotent by payment."""

    user: str
    payment: str
    seats: dict[int, str]


OrderCommand = PlaceOrder | ReleaseOrder | ConfirmOrder

# -- replies ---------------------------------------------------------------------------------------


class OrderPlaced(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The seats are held for the user, in the order of the order."""

    order: str
    holds: dict[int, HoldGranted]


class OrderReleased(msgspec.Struct, frozen=True, gc=False, tag=True):
    """None of the seats is held for the user any more."""


class OrderConfirmed(msgspec.Struct, frozen=True, gc=False, tag=True):
    """All of the seats are sold to the user."""

    payment: str


OrderReply = OrderPlaced | OrderReleased | OrderConfirmed | Rejected

# -- decide ----------------------------------------------------------------------------------------


class OrderDecision(msgspec.Struct, frozen=True, gc=False):
    """What becomes true, nothing of it if the reply is a refusal."""

    seat_events: Sequence[tuple[int, SeatEvent]]
    ledger_events: Sequence[LedgerEvent]
    ledger: Ledger
    """As it is then."""
    reply: OrderReply


def placed_seats(ledger: Ledger, user: str, order: str) -> tuple[int, ...]:
    """The seats that the user holds for this order, in its own order."""
    held = [
        (found.reservation, seat)
        for seat, found in seats_of(ledger, user)
        if isinstance(found, LedgerHold) and order_of(found.reservation) == order
    ]
    return tuple(seat for _, seat in sorted(held))


def decide_order(
    seats: Mapping[int, SeatState],
    ledger: Ledger,
    command: OrderCommand,
    terms_of: Callable[[int], Terms | None],
    cool_down_ms: int,
    now_ms: int,
) -> OrderDecision:
    """What happens on ``command`` to these seats of a date, which are all that it is about; of a
    wish they are those chosen, none if there are none."""
    refusal = _refusal(seats, ledger, command, terms_of, now_ms)
    if refusal is not None:
        return OrderDecision((), (), ledger, refusal)
    after = ledger
    seat_events: list[tuple[int, SeatEvent]] = []
    ledger_events: list[LedgerEvent] = []
    replies: dict[int, SeatReply] = {}
    for place, (number, seat) in enumerate(seats.items()):
        one = _command(command, place, number)
        decided = decide_seat(seat, after, number, one, terms_of(number), cool_down_ms, now_ms)
        for counted in decided.ledger_events:
            after = evolve_ledger(after, counted)
        ledger_events += decided.ledger_events
        seat_events += [(number, event) for event in decided.seat_events]
        replies[number] = decided.reply
    reply = _reply(command, replies)
    if isinstance(reply, Rejected):
        return OrderDecision((), (), ledger, reply)
    return OrderDecision(seat_events, ledger_events, after, reply)


def _refusal(
    seats: Mapping[int, SeatState],
    ledger: Ledger,
    command: OrderCommand,
    terms_of: Callable[[int], Terms | None],
    now_ms: int,
) -> Rejected | None:
    """Why all of the seats are refused, whatever the single ones say."""
    if not isinstance(command, PlaceOrder):
        return None
    if not seats:
        return Rejected(Code.NO_MATCH, "There are no such seats left.")
    terms = terms_of(next(iter(seats)))
    more = len(seats) - len(placed_seats(ledger, command.user, command.order))
    if terms is None or more <= 0:
        return None
    return over_limit(terms, sum(count_seats(ledger, command.user, now_ms)), more)


def _command(command: OrderCommand, place: int, number: int) -> SeatCommand:
    match command:
        case PlaceOrder():
            return HoldSeat(command.user, reservation_of(command.order, place))
        case ReleaseOrder(user, seats):
            return ReleaseSeat(user, seats[number])
        case ConfirmOrder(user, payment, seats):
            return ConfirmSale(user, seats[number], payment)


def _reply(command: OrderCommand, replies: Mapping[int, SeatReply]) -> OrderReply:
    refused = {number: r for number, r in replies.items() if isinstance(r, Rejected)}
    taken = tuple(n for n, r in refused.items() if r.code == Code.SEAT_UNAVAILABLE)
    if len(taken) > 1:
        numbers = ", ".join(map(str, taken))
        return Rejected(Code.SEAT_UNAVAILABLE, f"Seats {numbers} are taken.", seats=taken)
    for number in taken:
        return msgspec.structs.replace(refused[number], seats=taken)
    for refusal in refused.values():
        return refusal
    match command:
        case PlaceOrder():
            held = {n: reply for n, reply in replies.items() if isinstance(reply, HoldGranted)}
            return OrderPlaced(command.order, held)
        case ReleaseOrder():
            return OrderReleased()
        case ConfirmOrder(payment=payment):
            return OrderConfirmed(payment)
