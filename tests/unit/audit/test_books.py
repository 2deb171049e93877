"""The audit's books over journals in memory: a clean one passes, any tampered row is seen."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any

import msgspec
import pytest

from actors.address import Address
from booking.accounts.domain import account
from booking.audit.journal import JournalAudit, LeaseRecord
from booking.audit.report import AuditReport, Violation
from tests.support.journals import LONG_AGO_MS, JournalBuilder, JournalRow, season, user_id

CLEAN = season()
NOW_MS = LONG_AGO_MS + 86_400_000


def look(
    rows: list[JournalRow], book: JournalBuilder = CLEAN, now_ms: int = NOW_MS, ends: int = 0
) -> tuple[AuditReport, JournalAudit]:
    claims = {
        shard: LeaseRecord(last, {epoch: f"run-{epoch}" for epoch in range(1, last + 1)}, ends)
        for shard, last in book.epochs().items()
    }
    audit = JournalAudit(claims, now_ms - 60_000)
    for shard, piece in groupby(rows, lambda row: row.shard):
        audit.take(shard, [row.values for row in piece])
    audit.close()
    return audit.found.close(now_ms, 0.0), audit


def seen(rows: list[JournalRow]) -> bool:
    report, audit = look(rows)
    return not (report.ok and audit.holds.agree and audit.sales.agree)


def broken(rows: list[JournalRow], **arguments: Any) -> set[str]:
    report, audit = look(rows, **arguments)
    checks = {verdict.check for verdict in report.verdicts if not verdict.ok}
    return checks | (set() if audit.sales.agree else {"sales"})


def test_a_clean_journal_passes_and_is_counted() -> None:
    report, audit = look(CLEAN.sorted_rows())
    assert report.ok, [verdict.named for verdict in report.verdicts]
    assert audit.holds.agree
    assert audit.sales.agree
    assert {verdict.check: verdict.checked for verdict in report.verdicts} == {
        "events": len(CLEAN.rows),
        "I1": 5,
        "I2": 6,
        "I3": 0,
        "I4": len(CLEAN.rows),
        "I5": 6,
        "I6": 7,
        "I7": 5,
        "I10": 23,
    }
    assert report.accounts == {"cash_in": -34_250, "payment": 0, "revenue": 5_600, "wallet": 28_650}
    assert report.balances == report.charged - report.spent + report.refunded == 28_650


# -- any one tampered row --------------------------------------------------------------------------

Tampered = tuple[str, list[JournalRow]]


def tampered_fields(field: str, change: Callable[[object], object]) -> Iterator[Tampered]:
    rows = CLEAN.sorted_rows()
    for index, row in enumerate(rows):
        if field in row.payload and not free_to_vary(row, field):
            changed = copy.deepcopy(rows)
            changed[index].payload[field] = change(row.payload[field])
            yield f"{row.type} {row.address} {row.seq}", changed


def free_to_vary(row: JournalRow, field: str) -> bool:
    """Facts that nothing else in the journal depends on: who stands under a number that has not
    ended under a name, the ends of admissions, and which token a payment was made with."""
    if row.type == "Joined":
        return field == "user" and row.payload["number"] in {5, 6, 3, 4}
    return (row.type, field) in {("Admitted", "until_ms"), ("PaymentStarted", "number")}


CHANGES: list[tuple[str, Callable[[Any], object]]] = [
    ("amount", lambda amount: amount + 1),
    ("amount", lambda amount: -amount),
    ("balance", lambda balance: balance - 1),
    ("price", lambda price: price + 1),
    ("user", lambda _: user_id(99)),
    ("seat", lambda seat: seat + 1),
    ("schedule", lambda _: "d-three"),
    ("until_ms", lambda until_ms: until_ms + 1),
    ("until_ms", lambda until_ms: until_ms - 1),
    ("reservation", lambda _: "rsv-99999999"),
    ("payment", lambda _: "pay-99999999"),
    ("number", lambda number: number + 10_000_000),
    ("count", lambda count: count + 1),
    ("created_ms", lambda created_ms: created_ms + 1),
    ("ended_ms", lambda ended_ms: ended_ms + 1),
]
"""Any of these changes of a field has to be seen, wherever it is."""


@pytest.mark.parametrize(("field", "change"), CHANGES)
def test_any_row_with_a_changed_field_is_seen(
    field: str, change: Callable[[object], object]
) -> None:
    tried = {what: seen(rows) for what, rows in tampered_fields(field, change)}
    assert tried
    assert all(tried.values()), [what for what, was_seen in tried.items() if not was_seen]


def test_any_removed_row_is_seen_unless_it_could_be_yet_to_come() -> None:
    rows = CLEAN.sorted_rows()
    last = {row.shard: row.seq for row in rows}
    unseen = [row for index, row in enumerate(rows) if not seen(rows[:index] + rows[index + 1 :])]
    assert [row for row in unseen if row.seq != last[row.shard]] == []
    # The end of a shard's rows cut off cleanly is the journal of a moment before.
    assert {row.type for row in unseen} <= {"Charged", "TokensExpired", "ReservationNoted"}


def test_a_shard_cut_off_below_its_snapshot_is_seen() -> None:
    rows = CLEAN.sorted_rows()
    assert broken(rows, ends=1) == set()
    assert broken(rows, ends=1_000) == {"I4"}
    assert broken([], ends=1) == {"I4"}


def test_any_row_written_a_second_time_is_seen() -> None:
    rows = CLEAN.sorted_rows()
    for row in rows:
        after = max(other.seq for other in rows if other.shard == row.shard) + 1
        twice = msgspec.structs.replace(row, seq=after, epoch=CLEAN.epochs()[row.shard])
        assert seen(sorted([*rows, twice], key=lambda row: (row.shard, row.seq))), row
        assert "I4" in broken(sorted([*rows, row], key=lambda row: (row.shard, row.seq)))


def test_any_row_under_another_epoch_is_seen() -> None:
    rows = CLEAN.sorted_rows()
    for index, row in enumerate(rows):
        for epoch in (0, row.epoch + 1, row.epoch + 100):
            changed = copy.deepcopy(rows)
            changed[index].epoch = epoch
            follower = rows[index + 1] if index + 1 < len(rows) else None
            at_the_border = follower is not None and (follower.shard, follower.epoch) == (
                row.shard,
                epoch,
            )  # then the next owner may as well have written it
            assert at_the_border or "I4" in broken(changed), (row, epoch)


def test_any_row_moved_to_another_entity_is_seen() -> None:
    rows = CLEAN.sorted_rows()
    by_kind = {row.address.split("/")[0]: row for row in rows}
    others = {
        "account": f"account/{user_id(77)}",
        "seat": "seat/d-one/49",
        "ledger": "ledger/d-three",
        "queue": "queue/other",
    }
    assert by_kind.keys() == others.keys()
    for index, row in enumerate(rows):
        changed = copy.deepcopy(rows)
        changed[index].address = others[row.address.split("/")[0]]
        assert seen(changed), row


def test_any_row_of_another_type_or_version_is_seen() -> None:
    rows = CLEAN.sorted_rows()
    types = sorted({row.type for row in rows})
    for index, row in enumerate(rows):
        for other in [*types, "SeatPainted"]:
            changed = copy.deepcopy(rows)
            changed[index].type = other
            assert other == row.type or seen(changed), (row, other)
        changed = copy.deepcopy(rows)
        changed[index].version = 2
        assert "events" in broken(changed)


# -- each invariant by name ------------------------------------------------------------------------


def test_a_seat_held_by_two_breaks_i1() -> None:
    book = JournalBuilder()
    book.hold(user_id(1), "d", 1)
    book.hold(user_id(2), "d", 1)
    report, _ = look(book.sorted_rows(), book)
    [verdict] = [verdict for verdict in report.verdicts if verdict.check == "I1"]
    assert verdict.violations == 1
    assert verdict.named[0].entity == "seat/d/1"
    assert verdict.named[0].seq == 3
    assert "while" in verdict.named[0].message


def test_a_sold_seat_that_changes_hands_breaks_i1() -> None:
    book = JournalBuilder()
    for number in (1, 2):
        book.charge(user_id(number), 1_000)
        book.pay(user_id(number), book.hold(user_id(number), "d", 1))
    assert broken(book.sorted_rows(), book=book) == {"I1"}


def test_money_from_nowhere_breaks_i2() -> None:
    book = JournalBuilder()
    book.pay(user_id(1), book.hold(user_id(1), "d", 1))
    assert broken(book.sorted_rows(), book=book) == {"I2"}


def test_only_a_sale_after_the_end_of_the_hold_breaks_i6() -> None:
    """A sale just before the end is fine."""
    for late, expected in ((0, {"I6"}), (-1, set())):
        book = JournalBuilder()
        book.charge(user_id(1), 1_000)
        held = book.hold(user_id(1), "d", 1)
        book.now_ms = held.until_ms + late
        book.pay(user_id(1), held)
        assert broken(book.sorted_rows(), book=book) == expected


def test_a_hold_expired_too_early_breaks_i6() -> None:
    book = JournalBuilder()
    held = book.hold(user_id(1), "d", 1)
    book.end_hold(user_id(1), held, expired=True)
    for row in book.rows:
        row.at_ms -= row.type == "HoldExpired"
    assert broken(book.sorted_rows(), book=book) == {"I6"}


def test_only_the_last_holder_within_the_cool_down_breaks_i6() -> None:
    for user, after_ms, expected in (
        (1, 29_999, {"I6"}),
        (1, 30_000, set()),
        (2, 0, set()),
    ):
        book = JournalBuilder()
        held = book.hold(user_id(1), "d", 1)
        book.end_hold(user_id(1), held, expired=True)
        book.now_ms = held.until_ms + after_ms
        book.hold(user_id(user), "d", 1)
        assert broken(book.sorted_rows(), book=book) == expected, (user, after_ms)


def test_a_seat_that_another_user_held_in_between_rests_from_nobody_else() -> None:
    book = JournalBuilder()
    first = book.hold(user_id(1), "d", 1)
    book.end_hold(user_id(1), first, expired=True)
    second = book.hold(user_id(2), "d", 1)
    book.end_hold(user_id(2), second, expired=False)
    book.hold(user_id(1), "d", 1)
    assert broken(book.sorted_rows(), book=book) == set()


def test_a_payment_in_flight_breaks_i7_only_when_overdue() -> None:
    for sold in (False, True):
        book = JournalBuilder()
        book.charge(user_id(1), 1_000)
        held = book.hold(user_id(1), "d", 1)
        payment = book.start_payment(user_id(1), held)
        if sold:
            book.sell(user_id(1), held, payment)
        report, audit = look(book.sorted_rows(), book, now_ms=book.now_ms + 60_000)
        assert report.ok
        assert audit.sales.agree
        assert report.payments_in_flight == 1
        late = broken(book.sorted_rows(), book=book, now_ms=book.now_ms + 60_001)
        assert late == ({"I7", "I10", "sales"} if sold else {"I7"})


def test_a_fresh_sale_for_a_payment_nobody_began_is_seen() -> None:
    book = JournalBuilder()
    held = book.hold(user_id(1), "d", 1)
    book.sell(user_id(1), held, "pay-1")
    assert broken(book.sorted_rows(), book=book, now_ms=book.now_ms) == {"I10", "sales"}


def test_a_payment_completed_and_refunded_breaks_i7() -> None:
    book = JournalBuilder()
    book.charge(user_id(1), 1_000)
    held = book.hold(user_id(1), "d", 1)
    payment = book.start_payment(user_id(1), held)
    book.sell(user_id(1), held, payment)
    book.complete(user_id(1), held, payment)
    book.refund(user_id(1), held, payment)
    assert broken(book.sorted_rows(), book=book) == {"I7", "I10"}


def test_a_hold_that_a_crash_kept_from_the_account_is_no_violation() -> None:
    book = JournalBuilder()
    book.hold(user_id(1), "d", 1)
    book.rows = [row for row in book.rows if row.type != "ReservationNoted"]
    report, audit = look(book.sorted_rows(), book)
    assert report.ok
    assert not audit.holds.agree  # so the reservations are looked at one by one
    _, fresh = look(book.sorted_rows(), book, now_ms=book.now_ms)
    assert fresh.holds.agree  # still on its way


# -- double entry ----------------------------------------------------------------------------------

PAID, BACK = "pay-00000019", "pay-00000015"
"""A completed payment of 1,200 for a seat of d-one, and one of 1,000 that was given back."""


def without(type_: str, payment: str) -> list[JournalRow]:
    """The clean journal, where a row of this payment says that no money moved."""
    rows = CLEAN.sorted_rows()
    [row] = [r for r in rows if r.type == type_ and payment in r.payload.values()]
    for field in {"amount", "price"} & row.payload.keys():
        row.payload[field] = 0
    return rows


@pytest.mark.parametrize(
    ("type_", "payment", "words"),
    [
        ("PaymentStarted", PAID, f"payment/{PAID}: of its money 1200 more is taken out than"),
        ("PaymentCompleted", PAID, f"payment/{PAID}: of its money 1200 is left at its end"),
        ("PaymentRefunded", BACK, f"payment/{BACK}: of its money 1000 is left at its end"),
        ("SeatSold", PAID, "date d-one: payments brought 1200 more than the sold seats cost"),
    ],
)
def test_a_movement_without_its_other_side_breaks_i10(type_: str, payment: str, words: str) -> None:
    report, _ = look(without(type_, payment))
    assert any(words in violation.message for violation in named(report, "I10")), report


def named(report: AuditReport, check: str) -> Sequence[Violation]:
    [verdict] = [verdict for verdict in report.verdicts if verdict.check == check]
    return verdict.named


def test_a_refund_told_twice_breaks_i10_where_it_is_told() -> None:
    book = copy.deepcopy(CLEAN)
    [back] = [row for row in book.rows if row.type == "PaymentRefunded"]
    again = msgspec.convert(back.payload, account.PaymentRefunded)
    more = again.balance + again.amount
    book.add(Address.parse(back.address), msgspec.structs.replace(again, balance=more))
    [violation] = named(look(book.sorted_rows(), book)[0], "I10")[:1]
    assert violation.seq == book.rows[-1].seq
    assert violation.entity == back.address
    assert "1000 more is taken out than was put in" in violation.message


def test_a_balance_that_no_transfer_brought_breaks_i10_at_its_row() -> None:
    """Also in the middle of a journal whose later balances are right again."""
    rows = CLEAN.sorted_rows()
    charge = next(row for row in rows if row.type == "Charged")
    charge.payload["balance"] += 7
    [violation] = named(look(rows)[0], "I10")
    assert (violation.shard, violation.seq) == (charge.shard, charge.seq)
    assert violation.message == "with a balance of 5007 all accounts sum to 7"


def test_every_prefix_of_a_shard_balances_with_what_is_in_flight() -> None:
    for shard in {row.shard for row in CLEAN.rows}:
        rows = [row for row in CLEAN.sorted_rows() if row.shard == shard]
        for length in range(len(rows)):
            report, _ = look(rows[:length], now_ms=LONG_AGO_MS)
            broken_here = [v for v in named(report, "I10") if not v.message.startswith("date ")]
            assert broken_here == []
            assert sum(report.accounts.values()) == 0
