"""The books over a growing journal: rows in pieces, entities put aside, runs that go on."""

from __future__ import annotations

from collections.abc import Callable, Collection
from random import Random
from typing import Any

import msgspec
import pytest

from booking.audit import live
from booking.audit.journal import LeaseRecord
from booking.audit.live import History, LiveAudit, Offset
from tests.support.journals import JournalBuilder, JournalRow, season, user_id
from tests.unit.audit.test_books import CHANGES, tampered_fields

CLEAN = season()


class Reader:
    """Hands rows to the audit as its follower does, without a database: at each look, those of each
    shard that have come, in pieces of any size."""

    def __init__(self, rows: list[JournalRow], seed: int = 0) -> None:
        self.rows = sorted(rows, key=lambda row: (row.shard, row.seq))
        self.shards = {row.shard for row in rows}
        self.epochs = {row.shard: row.epoch for row in CLEAN.sorted_rows()}
        self.audit = LiveAudit({})
        self.random = Random(seed)

    def look(self, come: int | None = None) -> bool:
        """Take a piece of each shard, of the rows that have come; whether that was all."""
        there = [row.values for row in self.rows[:come]]
        whole = True
        for shard in self.shards:
            seq = self.audit.offsets.get(shard, Offset()).seq
            left = [row for row in there if row[0] == shard and row[1] > seq]
            page = left[: self.random.randint(1, 40)]
            whole &= page == left
            for each in self.audit.wanted(shard, page):
                self.audit.adopt([each], self.history(there, [each.address], each.before))
            claims = dict.fromkeys(range(1, self.epochs.get(shard, 1) + 1), "run")
            lease = LeaseRecord(max(claims), claims)
            self.audit.shard(shard).lease = lease
            self.audit.take(shard, page, at_end=page == left)
        self.audit.look_up(self.history(there, self.audit.to_look_up(), 1 << 62))
        return whole

    def history(self, there: list[Any], addresses: Collection[str], before: int) -> History:
        history = History()
        for address in addresses:
            rows = [r for r in there if r[6] == address and r[1] < before]
            history.take(address, [(r[1], r[4], r[5], r[7], r[8]) for r in rows])
        return history

    def restart(self) -> None:
        """A later run, which has of this one what it stored."""
        ends = self.audit.stored()
        there = {(row.shard, row.seq): row for row in self.rows}
        kept = {shard: there[shard, seq] for shard, seq in ends.items() if seq}
        self.audit = LiveAudit({s: Offset(r.seq, r.epoch, r.at_ms) for s, r in kept.items()})

    def told(self) -> set[str]:
        return {check for check, _ in self.audit.found.told}


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sales are looked up at the next look."""
    monkeypatch.setattr(live, "LOOK_AFTER_S", 0.0)


def followed(rows: list[JournalRow], seed: int = 0) -> set[str]:
    reader = Reader(rows, seed)
    while not reader.look():
        pass
    reader.look()
    reader.audit.overdue(1 << 62)
    return reader.told()


@pytest.mark.parametrize("seed", range(20))
def test_nothing_is_told_of_a_clean_journal_in_any_pieces(seed: int) -> None:
    assert followed(CLEAN.rows, seed) == set()


@pytest.mark.parametrize("seed", range(20))
def test_a_run_goes_on_where_the_one_before_ended(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given few entities in memory, when the run ends anywhere and another goes on, nothing is
    told of a clean journal."""
    monkeypatch.setattr(live, "KEPT_MAX", 5)
    reader, random = Reader(CLEAN.rows, seed), Random(seed)
    while not reader.look():
        if random.random() < 0.3:
            assert reader.told() == set()
            reader.restart()
    assert reader.told() == set()


@pytest.mark.parametrize(("field", "change"), CHANGES)
def test_any_row_with_a_changed_field_is_told(
    field: str, change: Callable[[object], object]
) -> None:
    tried = {
        what: followed(rows, seed)
        for seed, (what, rows) in enumerate(tampered_fields(field, change))
    }
    assert tried
    assert all(tried.values()), [what for what, told in tried.items() if not told]


def test_any_missing_row_is_told_unless_it_could_be_yet_to_come() -> None:
    rows = CLEAN.sorted_rows()
    last = {row.shard: row.seq for row in rows}
    unseen = [
        row for index, row in enumerate(rows) if not followed(rows[:index] + rows[index + 1 :])
    ]
    assert [row for row in unseen if row.seq != last[row.shard]] == []
    assert {row.type for row in unseen} <= {"Charged", "TokensExpired", "ReservationNoted"}


def test_what_came_before_a_restart_still_counts() -> None:
    """Given a sold seat, when a run that never saw it sold reads that somebody holds it, it is
    told."""
    book = season()
    rows = book.sorted_rows()
    reader = Reader(rows)
    while not reader.look():
        pass
    reader.look()
    reader.restart()
    sold = next(row for row in rows if row.type == "SeatSold")
    held = next(row for row in rows if row.type == "SeatHeld" and row.address == sold.address)
    end = max(row.seq for row in rows if row.shard == sold.shard)
    last = next(row.epoch for row in rows if (row.shard, row.seq) == (sold.shard, end))
    reader.rows.append(msgspec.structs.replace(held, seq=end + 1, epoch=last))
    while not reader.look():
        pass
    assert "I1" in reader.told()


def test_an_overdue_payment_is_told_once_and_holds_nothing_back() -> None:
    book = JournalBuilder()
    user = user_id(1)
    book.charge(user, 5_000)
    payment = book.start_payment(user, book.hold(user, "d", 1))
    reader = Reader(book.rows)
    while not reader.look():
        pass
    started = next(row for row in reader.rows if row.type == "PaymentStarted")
    audit = reader.audit
    assert audit.stored()[started.shard] == started.seq - 1
    audit.overdue(book.now_ms)
    assert audit.found.told == []
    for _ in range(2):
        audit.overdue(book.now_ms + 1)
    assert [violation.entity for _, violation in audit.found.told] == [f"account/{user}"]
    assert payment in audit.found.told[0][1].message
    assert audit.stored()[started.shard] == started.seq


def test_a_sale_waits_for_its_payment_while_that_is_under_way() -> None:
    """Given a seat that is sold, when its payment is under way, nothing is told; when nobody ever
    began one, it is."""
    book = JournalBuilder()
    users = [user_id(1), user_id(2)]
    for place, user in enumerate(users, 1):
        book.charge(user, 5_000)
        held = book.hold(user, "d", place)
        book.sell(user, held, book.start_payment(user, held) if place == 1 else "pay-99999999")
    reader = Reader(book.rows)
    for _ in range(20):
        reader.look()
    assert [(check, v.entity) for check, v in reader.audit.found.told] == [("I7", "seat/d/2")]


def test_a_shard_whose_rows_were_lost_is_taken_from_what_there_is() -> None:
    """Given checked rows that are no longer there, when the audit goes back, all that it knew of
    the shard is forgotten, and other rows in their place are judged by themselves."""
    book = JournalBuilder()
    for amount in (100, 200, 300):
        book.charge(user_id(1), amount)
    reader = Reader(book.rows)
    while not reader.look():
        pass
    [shard] = reader.shards
    del reader.rows[1:]
    reader.audit.rewind(shard, Offset(), "lost")
    book.balances[user_id(1)] = 100
    book.charge(user_id(1), 5_000)
    reader.rows.append(msgspec.structs.replace(book.rows[-1], seq=2))
    while not reader.look():
        pass
    assert [(check, v.message) for check, v in reader.audit.found.told] == [("I4", "lost")]
    assert reader.audit.offsets[shard].seq == 2
