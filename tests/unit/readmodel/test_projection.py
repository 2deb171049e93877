"""What a batch of events becomes, without a database."""

from __future__ import annotations

from typing import Any

import pytest

from actors.address import Address
from booking.accounts.domain import account
from booking.domain.decision import Code
from booking.entities import account_address, queue_address, seat_address
from booking.queue.domain import events as queue
from booking.queue.domain.lots import draw
from booking.readmodel.projection import ReadBatch
from booking.seats.domain import ledger, seat

USER, OTHER = "00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"
ACCOUNT, SEAT, MAIN = account_address(USER), seat_address("d", 3), queue_address("main")
AT_MS = 1_000


def batch(*told: tuple[Address, Any]) -> ReadBatch:
    """Each event a millisecond after the one before, as the rows of one shard."""
    taken = ReadBatch()
    for seq, (address, event) in enumerate(told, 1):
        taken.take(7, seq, address, AT_MS + seq, event)
    return taken


def rows(taken: ReadBatch, *draws: tuple[str, str, int, int]) -> dict[str, list[tuple[Any, ...]]]:
    return {name: list(zip(*some, strict=True)) for name, some in taken.rows(draws).items()}


def held(user: str = USER, until_ms: int = 5_000) -> seat.SeatHeld:
    return seat.SeatHeld("rsv", user, until_ms, 900, 1_001)


STARTED = account.PaymentStarted("pay", "rsv", "d", 3, 900, 100, "main", 1, 1_002)
COMPLETED = account.PaymentCompleted("pay", "rsv", "d", 3, 900, 1_003)
REFUNDED = account.PaymentRefunded("pay", "rsv", 900, 1_000, Code.HOLD_EXPIRED, "Too late.")


def test_nothing_is_written_of_nothing() -> None:
    taken = batch((Address("ledger", "d"), ledger.HoldCounted(3, "rsv", USER, 5_000)))
    assert taken.rows() == {}
    assert taken.schedules == set()


def test_the_last_balance_of_a_batch_is_written_and_every_movement() -> None:
    charges = [account.Charged("a", 500, 500), account.Charged("b", 500, 1_000)]
    found = rows(batch(*((ACCOUNT, each) for each in (*charges, STARTED, REFUNDED))))
    assert found["users"] == [(USER, 1_001)]
    assert found["cash"] == [(USER, 1_000, 1_001, 1_004)]
    assert found["cash_history"] == [
        ("7-1", USER, "CHARGE", 500, 500, None, 1_001),
        ("7-2", USER, "CHARGE", 500, 1_000, None, 1_002),
        ("7-3", USER, "USE", 900, 100, "pay", 1_003),
        ("7-4", USER, "REFUND", 900, 1_000, "pay", 1_004),
    ]


@pytest.mark.parametrize(("end", "status"), [(COMPLETED, "COMPLETED"), (REFUNDED, "REFUNDED")])
def test_a_payment_that_ends_in_its_batch_is_written_once(end: Any, status: str) -> None:
    found = rows(batch((ACCOUNT, STARTED), (ACCOUNT, end)))
    assert found["payments"] == [("pay", USER, "rsv", "d-3", 900, 1_001, status, 1_002)]
    assert "settled" not in found


def test_a_payment_of_an_earlier_batch_is_updated() -> None:
    found = rows(batch((ACCOUNT, COMPLETED)))
    assert found == {"settled": [("pay", "COMPLETED", 1_001)]}


@pytest.mark.parametrize(
    ("end", "status", "free"),
    [
        (seat.HoldReleased("rsv", USER), "CANCELLED", True),
        (seat.HoldExpired("rsv", USER), "EXPIRED", True),
        (seat.SeatSold("rsv", USER, "pay", 900), "COMPLETED", False),
    ],
)
def test_a_hold_ends_in_each_way(end: Any, status: str, free: bool) -> None:
    together = rows(batch((SEAT, held()), (SEAT, end)))
    row = ("rsv", "d-3", "d", USER, 900, 1_001, 5_000, status, 1_002)
    assert together == {"reservations": [row], "seats": [("d-3", free)]}
    later = rows(batch((SEAT, end)))
    assert later == {"ended": [("rsv", "d-3", status, 1_001)], "seats": [("d-3", free)]}
    assert batch((SEAT, end)).schedules == {"d"}


def test_an_end_before_a_hold_of_the_same_id_does_not_end_that() -> None:
    found = rows(batch((SEAT, seat.HoldExpired("rsv", USER)), (SEAT, held(until_ms=9_000))))
    assert "ended" not in found
    assert found["reservations"][0][6:8] == (9_000, "PENDING")


def test_one_id_at_two_seats_is_two_reservations() -> None:
    """A key used for both at once; one of them is given up a moment later."""
    found = rows(batch((SEAT, held()), (seat_address("d", 4), held())))
    assert [row[:2] for row in found["reservations"]] == [("rsv", "d-3"), ("rsv", "d-4")]


def test_a_user_is_known_from_the_first_sign() -> None:
    joined = queue.Joined(USER, 1, 400)
    found = rows(batch((ACCOUNT, account.Charged("a", 5, 5)), (MAIN, joined)))
    assert found["users"] == [(USER, 400)]


def test_users_are_written_in_an_order_of_theirs() -> None:
    """Two who write at once never wait for each other in turn."""
    found = rows(batch(*((MAIN, queue.Joined(each, 1, 1)) for each in (OTHER, USER))))
    assert [row[0] for row in found["users"]] == [USER, OTHER]


def test_who_enters_is_inside_at_once() -> None:
    found = rows(batch((MAIN, queue.Entered(USER, 5, 100, 900)), (MAIN, queue.Joined(OTHER, 6, 7))))
    assert found["joined"] == [
        ("main", 5, USER, 100, 100, 900, "ACTIVE", 100),
        ("main", 6, OTHER, 7, None, None, "PENDING", 7),
    ]


def test_whose_whole_stay_is_in_a_batch_is_written_once() -> None:
    """Given five who line up, one who leaves, an admission of a range that begins before the batch,
    and two who are done, each of them is one row, and only the range before the batch is asked
    for."""
    lined_up = [queue.Joined(USER, number, number) for number in range(10, 15)]
    told = [queue.Left(USER, 11), queue.Admitted(8, 13, 5, 50, 90), queue.TokenUsed(USER, 12)]
    taken = batch(*((MAIN, each) for each in (*lined_up, *told, queue.TokensExpired((13, 9)))))
    found = taken.rows()
    assert list(zip(*found["joined"], strict=True)) == [
        ("main", 10, USER, 10, 50, 90, "ACTIVE", 50),
        ("main", 11, USER, 11, None, None, "LEFT", AT_MS + 6),
        ("main", 12, USER, 12, 50, 90, "USED", AT_MS + 8),
        ("main", 13, USER, 13, 50, 90, "EXPIRED", AT_MS + 9),
        ("main", 14, USER, 14, None, None, "PENDING", 14),
    ]
    assert found["admitted"][:6] == (["main"], [8], [9], [50], [90], [7])
    assert found["gone"] == (["main"], [9], ["EXPIRED"], [AT_MS + 9])


def test_an_admission_of_a_batch_of_its_own_is_all_its_own() -> None:
    told = [queue.Joined(USER, 1, 7), queue.Admitted(1, 1, 1, 50, 90)]
    assert rows(batch(*((MAIN, each) for each in told))).keys() == {"users", "joined"}


@pytest.mark.parametrize(
    ("event", "numbers", "status"),
    [
        (queue.Left(USER, 4), [4], "LEFT"),
        (queue.TokenUsed(USER, 4), [4], "USED"),
        (queue.TokensExpired((4, 9)), [4, 9], "EXPIRED"),
        (queue.WentSilent((4, 9), 1), [4, 9], "SILENT"),
    ],
)
def test_a_place_ends_in_each_way(event: Any, numbers: list[int], status: str) -> None:
    found = rows(batch((MAIN, event)))
    assert found == {"gone": [("main", number, status, 1_001) for number in numbers]}


def test_an_admission_knows_who_had_gone_before_it() -> None:
    told = [queue.Left(USER, 2), queue.Admitted(1, 3, 2, 50, 90), queue.TokenUsed(OTHER, 3)]
    taken = batch(*((MAIN, each) for each in told))
    columns = taken.rows()["admitted"]
    assert columns[:6] == (["main"], [1], [3], [50], [90], [2])
    assert columns[6:] == (["main", "main"], [2, 3], [1, 3])


def test_an_admission_of_drawn_places_is_of_the_numbers_that_have_them() -> None:
    """Given a draw of 10 to 19 in an earlier batch, places 8 to 12 are two numbers as they are,
    three by the draw; another queue's draw says nothing."""
    taken = batch((MAIN, queue.Admitted(8, 12, 5, 50, 90)))
    assert taken.admitting == {"main"}
    found = taken.rows([("other", "seed", 8, 9), ("main", "a seed", 10, 19)])["admitted"]
    lots = draw("a seed", 10, 19)
    drawn = [lots.number(place) for place in (10, 11, 12)]
    assert list(zip(found[1], found[2], strict=True)) == [(8, 9), *((n, n) for n in drawn)]
    assert drawn != [10, 11, 12]


def test_a_draw_counts_in_its_own_batch_and_is_kept() -> None:
    told = [queue.Drawn("a seed", 1, 5, 9), queue.Drawn("b", 6, 5, 9)]
    taken = batch(*((MAIN, each) for each in told), (MAIN, queue.Admitted(1, 6, 6, 50, 90)))
    found = taken.rows()
    assert found["drawn"] == (["main"], ["a seed"], [1], [5])
    assert sorted(found["admitted"][1]) == [1, 2, 3, 4, 5, 6]
    assert len(found["admitted"][1]) == 6
