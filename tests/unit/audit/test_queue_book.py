"""What the audit sees in a queue's journal: a clean one passes, whatever is bent is named."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest

from booking.audit.journal import JournalAudit, LeaseRecord
from booking.audit.report import AuditReport
from tests.support.journals import LONG_AGO_MS, JournalRow
from tests.support.queue_sales import MAIN, a_sale

BOOK = a_sale()


def look(rows: list[JournalRow]) -> AuditReport:
    audit = JournalAudit({MAIN.slot: LeaseRecord(1, {1: "run-1"}, 0)}, LONG_AGO_MS)
    audit.take(MAIN.slot, [row.values for row in rows])
    audit.close()
    return audit.found.close(LONG_AGO_MS, 0.0)


def complaints(rows: list[JournalRow]) -> list[str]:
    """The aspects that were complained of."""
    [verdict] = [each for each in look(rows).verdicts if each.check == "I5"]
    return sorted({named.message.split(":")[0] for named in verdict.named})


def test_a_sale_with_everything_in_it_is_clean() -> None:
    rows = BOOK.sorted_rows()
    assert {row.type for row in rows} == {
        "Joined",
        "Admitted",
        "Entered",
        "Left",
        "WentSilent",
        "TokenUsed",
        "TokensExpired",
        "PolicyChanged",
        "Drawn",
    }
    report = look(rows)
    assert report.ok, [verdict.named for verdict in report.verdicts]


def bent(change: Callable[[JournalRow], bool]) -> list[JournalRow]:
    """The rows, with the first one bent that ``change`` says it has bent."""
    rows = copy.deepcopy(BOOK.sorted_rows())
    assert any(change(row) for row in rows)
    return rows


def rules(nth: int, **changes: object) -> Callable[[JournalRow], bool]:
    """Bends the nth rules."""
    seen = iter(range(100))

    def change(row: JournalRow) -> bool:
        if row.type != "PolicyChanged" or next(seen) != nth:
            return False
        row.payload["policy"] |= changes
        return True

    return change


def field(event: str, name: str, value: object) -> Callable[[JournalRow], bool]:
    def change(row: JournalRow) -> bool:
        if row.type != event:
            return False
        row.payload[name] = value
        return True

    return change


@pytest.mark.parametrize(
    ("change", "aspects"),
    [
        (rules(4, max_active=2), ["limit"]),
        (rules(1, max_active=9), ["limit"]),
        (rules(1, admit_per_interval=15), ["rate"]),
        (rules(3, admit_per_interval=10), ["rate"]),
        (rules(0, mode="paused"), ["rules"]),
        (rules(3, mode="paused"), ["rules"]),
        (field("Drawn", "seed", "a seed that was nicer"), ["order"]),
        (field("Drawn", "last", 60), ["draw", "order"]),
        (field("Drawn", "last", 66), ["draw", "order"]),
        (field("Drawn", "first", 7), ["draw", "order", "rules"]),
        (field("Entered", "number", 99), ["order"]),
        (field("Entered", "until_ms", 0), ["order"]),
        (field("Drawn", "at_ms", LONG_AGO_MS + 59_999), ["draw"]),
        (field("WentSilent", "numbers", [20, 21]), ["order"]),
        (field("WentSilent", "numbers", [20, 21, 22, 22]), ["order"]),
        (field("WentSilent", "numbers", [20, 21, 999]), ["order"]),
    ],
)
def test_what_is_bent_is_named(change: Callable[[JournalRow], bool], aspects: list[str]) -> None:
    assert set(aspects) <= set(complaints(bent(change)))


def test_a_draw_that_is_missing_or_made_twice_is_named() -> None:
    rows = BOOK.sorted_rows()
    assert "rules" in complaints([row for row in rows if row.type != "Drawn"])
    [at] = [index for index, row in enumerate(rows) if row.type == "Drawn"]
    assert "draw" in complaints([*rows[: at + 1], rows[at], *rows[at + 1 :]])


def test_somebody_admitted_out_of_turn_is_named() -> None:
    rows = copy.deepcopy(BOOK.sorted_rows())
    admitted = [row for row in rows if row.type == "Admitted"]
    one, other = admitted[20].payload, admitted[22].payload
    for name in ("first", "last", "count"):
        one[name], other[name] = other[name], one[name]
    assert "order" in complaints(rows)
