"""The journal is for ever: every event ever written has to be read and taken in.

``golden_events.jsonl`` has the events of one small history, each type of each version at least
once. Lines are only added, never changed: a changed payload is a new version and an upcaster.
"""

from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from booking.accounts.domain.account import (
    Account,
    AccountEvent,
)
from booking.accounts.domain.rules import evolve_account
from booking.queue.domain.events import QueueEvent
from booking.queue.domain.line import Line, evolve_queue
from booking.seats.domain.ledger import EMPTY_LEDGER, CoolDown, LedgerEvent, evolve_ledger
from booking.seats.domain.seat import FREE, SeatEvent, Sold, evolve_seat
from tests.support.ledgers import cool_downs, holds, sold
from tests.support.scenario import fold


class Recorded(msgspec.Struct):
    entity: str
    version: int
    event: msgspec.Raw


GOLDEN = [
    msgspec.json.decode(line, type=Recorded)
    for line in Path(__file__).with_name("golden_events.jsonl").read_bytes().splitlines()
]
UNIONS: dict[str, Any] = {
    "seat": SeatEvent,
    "ledger": LedgerEvent,
    "account": AccountEvent,
    "queue": QueueEvent,
}


def recorded(entity: str) -> list[Any]:
    return [
        msgspec.json.decode(line.event, type=UNIONS[entity])
        for line in GOLDEN
        if line.entity == entity
    ]


@pytest.mark.parametrize("entity", UNIONS)
def test_every_event_type_is_on_record(entity: str) -> None:
    assert {type(event) for event in recorded(entity)} == set(get_args(UNIONS[entity]))


@pytest.mark.parametrize(
    "line", GOLDEN, ids=lambda line: f"{line.entity}-{bytes(line.event)[:30]!r}"
)
def test_an_event_of_the_newest_version_is_still_written_as_it_was(line: Recorded) -> None:
    assert line.version == 1
    event = msgspec.json.decode(line.event, type=UNIONS[line.entity])
    assert msgspec.json.decode(msgspec.json.encode(event)) == msgspec.json.decode(line.event)
    assert msgspec.json.decode(line.event)["type"] == type(event).__name__


def test_the_recorded_history_leads_to_the_same_state() -> None:
    assert fold(evolve_seat, FREE, recorded("seat")) == Sold("r3", "bob", "p2", 90000)
    ledger = fold(evolve_ledger, EMPTY_LEDGER, recorded("ledger"))
    assert (holds(ledger), sold(ledger)) == ({}, {7})
    assert cool_downs(ledger) == {8: CoolDown("bob", 1_800_000_465_004)}
    account = fold(evolve_account, Account(), recorded("account"))
    assert account.balance == 10_000
    assert account.reservations["r3"].paid
    assert account.reservations["r4"].cancelled
    *until_the_draw, left, entered = recorded("queue")
    line = fold(evolve_queue, Line(), until_the_draw)
    assert (line.last_number, line.watermark, len(line.active), line.waiting) == (8, 6, 1, 1)
    assert list(line.left) == [8]
    assert [line.place(number) for number in (6, 7, 8)] == [8, 6, 7]  # the draw of this seed
    line = fold(evolve_queue, line, (left, entered))
    assert (line.last_number, line.watermark, len(line.active), line.waiting) == (9, 9, 2, 0)
