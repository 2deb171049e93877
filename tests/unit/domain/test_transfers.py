"""Every movement of money has its two sides, and each event that moves some is known."""

import io
from itertools import groupby
from typing import get_args

import pytest

from booking.accounts.domain import account
from booking.accounts.domain.transfers import MOVEMENTS, Transfer, transfers
from booking.accounts.statement import TransferStatement
from booking.domain.decision import Code
from booking.queue.domain.events import QueueEvent
from booking.seats.domain.ledger import LedgerEvent
from booking.seats.domain.seat import SeatEvent
from tests.support.journals import JournalBuilder, season, user_id

MONEYLESS = {"ReservationNoted", "ReservationCancelled"}


def test_every_event_of_an_account_moves_money_or_is_known_not_to() -> None:
    """A new event has to be put into one of the two, and one with a balance or an amount moves."""
    types = {event.__name__: event for event in get_args(account.AccountEvent)}
    assert types.keys() == MOVEMENTS.keys() | MONEYLESS
    for name in MONEYLESS:
        assert not {"amount", "balance"} & {*types[name].__struct_fields__}


def test_no_other_entity_moves_money() -> None:
    for event in (*get_args(SeatEvent), *get_args(LedgerEvent), *get_args(QueueEvent)):
        assert not {"amount", "balance"} & {*event.__struct_fields__}, event


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (account.Charged("c", 5, 5), Transfer("cash_in", "wallet/ann", 5)),
        (
            account.PaymentStarted("p", "r", "d", 1, 5, 0, "main", 1, 0),
            Transfer("wallet/ann", "payment/p", 5),
        ),
        (
            account.PaymentCompleted("p", "r", "d", 1, 5, 0),
            Transfer("payment/p", "revenue/d", 5),
        ),
        (
            account.PaymentRefunded("p", "r", 5, 5, Code.HOLD_EXPIRED, ""),
            Transfer("payment/p", "wallet/ann", 5),
        ),
    ],
)
def test_what_each_event_moves(event: account.AccountEvent, expected: Transfer) -> None:
    assert transfers("ann", event) == (expected,)


# -- booking ledger --------------------------------------------------------------------------------


def statement(book: JournalBuilder, *, totals: bool) -> list[str]:
    out = io.StringIO()
    written = TransferStatement(out, {"d-one": "c-one", "d-two": "c-two"}, totals=totals)
    for shard, rows in groupby(book.sorted_rows(), lambda row: row.shard):
        written.take(shard, [row.values for row in rows])
    written.close()
    return out.getvalue().splitlines()


def test_a_ledger_has_every_transfer_with_its_concert_and_place() -> None:
    book = season()
    lines = statement(book, totals=False)
    assert lines[0] == "at,shard,seq,event,from,to,amount,concertId,concertScheduleId"
    assert len(lines) == 1 + sum(row.type in MOVEMENTS for row in book.rows)
    [back] = [row for row in book.rows if row.type == "PaymentRefunded"]
    assert (
        f"2023-11-14T22:18:20.001Z,{back.shard},{back.seq},PaymentRefunded,"
        f"payment/{back.payload['id']},wallet/{user_id(2)},1000,c-one,d-one"
    ) in lines


def test_totals_are_by_day_concert_and_kind_of_account() -> None:
    """A refund of a payment that did not get its seat counts for the concert it was for."""
    assert statement(season(), totals=True) == [
        "day,concertId,from,to,transfers,amount",
        "2023-11-14,,cash_in,wallet,13,34250",
        "2023-11-14,c-one,payment,revenue,3,3600",
        "2023-11-14,c-one,payment,wallet,1,1000",
        "2023-11-14,c-one,wallet,payment,4,4600",
        "2023-11-14,c-two,payment,revenue,1,2000",
        "2023-11-14,c-two,wallet,payment,1,2000",
    ]
