"""What the journal's events are to the outside."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, get_args

import msgspec
import pytest

from actors.address import Address
from actors.consumers.contract import Event
from booking.accounts.domain import account
from booking.domain.decision import Code
from booking.entities import account_address, queue_address, seat_address
from booking.events import contract as public
from booking.events.mapping import TELLS, Places, wanted
from booking.queue.domain import events as queue
from booking.queue.domain.lots import draw
from booking.seats.domain import seat
from tests.support.journals import season
from tests.support.public_events import SOURCE, event_of, of_type, told

ANN, BEN = "00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"
ACCOUNT, SEAT, MAIN = account_address(ANN), seat_address("d", 3), queue_address("main")
AT = datetime(2026, 11, 30, 10, tzinfo=UTC)
AT_MS = round(AT.timestamp() * 1000)
LATER = datetime(2026, 11, 30, 10, 5, tzinfo=UTC)
LATER_MS = round(LATER.timestamp() * 1000)


def events(address: Address, *data: Any) -> list[Event]:
    """As the first rows of a shard."""
    return [
        Event(7, seq, address, AT_MS, type(each).__name__, each) for seq, each in enumerate(data, 1)
    ]


def one(address: Address, data: Any, known: Places | None = None) -> public.CloudEvent:
    [found] = told(events(address, data), known)
    return found


def test_a_held_seat_is_told_as_a_cloud_event() -> None:
    found = one(SEAT, seat.SeatHeld("rsv", ANN, LATER_MS, 900, AT_MS))
    assert msgspec.json.decode(found.encode()) == {
        "specversion": "1.0",
        "id": "7-1",
        "source": SOURCE,
        "type": "booking.seat.held.v1",
        "subject": "seat/d-3",
        "time": "2026-11-30T10:00:00Z",
        "datacontenttype": "application/json",
        "data": {
            "concertScheduleId": "d",
            "seatId": "d-3",
            "seatNumber": 3,
            "reservationId": "rsv",
            "userId": ANN,
            "price": 900,
            "expiresAt": "2026-11-30T10:05:00Z",
        },
    }


@pytest.mark.parametrize(
    ("event", "name", "more"),
    [
        (seat.HoldReleased("rsv", ANN), "seat.released", {"reason": "cancelled"}),
        (seat.HoldExpired("rsv", ANN), "seat.released", {"reason": "expired"}),
        (seat.SeatSold("rsv", ANN, "pay", 900), "seat.sold", {"paymentId": "pay", "price": 900}),
    ],
)
def test_what_becomes_of_a_hold(event: Any, name: str, more: dict[str, Any]) -> None:
    found = one(SEAT, event)
    assert found.type == f"booking.{name}.v1"
    data = msgspec.to_builtins(found.data)
    assert {key: data[key] for key in more} == more
    assert (data["seatId"], data["reservationId"], data["userId"]) == ("d-3", "rsv", ANN)


@pytest.mark.parametrize(
    ("event", "name", "more"),
    [
        (account.Charged("a", 500, 800), "balance.charged", {"amount": 500, "balance": 800}),
        (
            account.PaymentStarted("pay", "rsv", "d", 3, 900, 100, "main", 1, 1, b"k", b"f"),
            "balance.used",
            {"amount": 900, "balance": 100, "paymentId": "pay"},
        ),
        (
            account.PaymentRefunded("pay", "rsv", 900, 1_000, Code.HOLD_EXPIRED, "Too late."),
            "balance.refunded",
            {"amount": 900, "balance": 1_000, "paymentId": "pay", "reason": "hold_expired"},
        ),
        (
            account.PaymentCompleted("pay", "rsv", "d", 3, 900, 1),
            "payment.completed",
            {
                "paymentId": "pay",
                "reservationId": "rsv",
                "concertScheduleId": "d",
                "seatId": "d-3",
                "seatNumber": 3,
                "amount": 900,
            },
        ),
    ],
)
def test_money_is_told_of_its_user(event: Any, name: str, more: dict[str, Any]) -> None:
    found = one(ACCOUNT, event)
    assert (found.type, found.subject) == (f"booking.{name}.v1", f"user/{ANN}")
    assert msgspec.to_builtins(found.data) == {"userId": ANN} | more


def test_who_comes_in_at_once_has_joined_and_is_admitted() -> None:
    found = told(events(MAIN, queue.Entered(ANN, 17, AT_MS, LATER_MS, "attempt")))
    assert [(each.id, each.type, each.subject) for each in found] == [
        ("7-1", "booking.queue.joined.v1", "queue/main/17"),
        ("7-1-17", "booking.queue.admitted.v1", "queue/main/17"),
    ]
    assert found[1].data == public.QueueAdmitted(
        queue="main", number=17, user_id=ANN, expires_at=LATER
    )


def test_each_of_many_who_are_admitted_has_an_event() -> None:
    """Given an admission of 1 to 4, when 2 has left before and 4 joined in an earlier batch, then
    each of the other three is told, by name."""
    known = Places({("main", 4): "dan"})
    joined = [queue.Joined(user, n, AT_MS) for n, user in enumerate(("ann", "ben", "cid"), 1)]
    found = told(
        events(MAIN, *joined, queue.Left("ben", 2), queue.Admitted(1, 4, 3, AT_MS, LATER_MS)),
        known,
    )
    admitted = [each for each in found if each.type == "booking.queue.admitted.v1"]
    assert [(each.id, each.data.user_id) for each in admitted] == [
        ("7-5-1", "ann"),
        ("7-5-3", "cid"),
        ("7-5-4", "dan"),
    ]
    assert known.joined == [("main", 1, "ann", 1), ("main", 2, "ben", 2), ("main", 3, "cid", 3)]
    assert known.left == [("main", 2, 4)]


def test_who_was_drawn_is_admitted_in_the_order_of_the_draw() -> None:
    joined = [queue.Joined(f"u{n}", n, AT_MS) for n in range(1, 9)]
    drawn = queue.Drawn("seed", 1, 8, AT_MS)
    first = queue.Admitted(1, 3, 3, AT_MS, LATER_MS)
    found = told(events(MAIN, *joined, drawn, first))
    lots = draw("seed", 1, 8)
    admitted = [data.number for data in of_type(found, "queue.admitted")]
    assert admitted == [lots.number(place) for place in (1, 2, 3)]
    assert of_type(found, "queue.drawn") == [
        public.QueueDrawn(queue="main", seed="seed", first=1, last=8)
    ]
    assert one(MAIN, queue.Joined("late", 9, AT_MS)).subject == "queue/main/9"


def test_a_draw_of_nobody_is_not_told() -> None:
    assert told(events(MAIN, queue.Drawn("seed", 1, 0, AT_MS))) == []


@pytest.mark.parametrize(
    ("event", "reason", "name"),
    [
        (queue.Left(BEN, 2), "given_up", "7-1"),
        (queue.TokenUsed(BEN, 2), "paid", "7-1"),
        (queue.WentSilent((2,), AT_MS), "silent", "7-1-2"),
        (queue.TokensExpired((2,)), "expired", "7-1-2"),
    ],
)
def test_every_end_of_a_place_is_told_with_its_reason(event: Any, reason: Any, name: str) -> None:
    known = Places({("main", 2): BEN})
    found = one(MAIN, event, known)
    assert (found.id, found.subject) == (name, "queue/main/2")
    assert found.data == public.QueueLeft(queue="main", number=2, user_id=BEN, reason=reason)
    assert known.users == {}
    assert known.left == [("main", 2, 1)]


def test_rules_are_told_without_the_operator() -> None:
    rules = queue.Policy(10, 60, 600_000, opens_ms=LATER_MS)
    found = one(MAIN, queue.PolicyChanged(rules, "operator eve", AT_MS))
    assert found.subject == "queue/main"
    assert found.data.opens_at == LATER
    assert b"eve" not in found.encode()


def test_places_are_asked_for_as_of_their_first_event() -> None:
    batch = events(
        MAIN,
        queue.Joined(ANN, 9, AT_MS),
        queue.Admitted(5, 7, 3, AT_MS, LATER_MS),
        queue.TokensExpired((1, 3)),
    )
    assert wanted(batch, []) == [("main", 5, 7, 1), ("main", 1, 1, 1), ("main", 3, 3, 1)]


def test_every_event_of_the_journal_is_told_or_left_out_on_purpose() -> None:
    """What an account notes of a hold, and what a ledger counts, the seat has told."""
    journal = {
        *get_args(account.AccountEvent),
        *get_args(seat.SeatEvent),
        *get_args(queue.QueueEvent),
    }
    assert journal - set(TELLS) == {account.ReservationNoted, account.ReservationCancelled}
    assert set(TELLS) <= journal


def test_nothing_secret_is_told() -> None:
    rows = [row for row in season().sorted_rows() if not row.address.startswith("ledger")]
    text = b" ".join(each.encode() for each in told([event_of(row) for row in rows]))
    for word in (b"key_id", b"fingerprint", b"attempt", b"token", b"keyId"):
        assert word not in text


def test_ids_are_unique_and_say_shard_and_seq() -> None:
    rows = [row for row in season().sorted_rows() if not row.address.startswith("ledger")]
    found = told([event_of(row) for row in rows])
    assert len({each.id for each in found}) == len(found)
    assert {tuple(map(int, each.id.split("-")[:2])) for each in found} <= {
        (row.shard, row.seq) for row in rows
    }
