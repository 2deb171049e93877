"""What an audit holds in memory does not grow with the journal."""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter

from bench.scale import COLUMNS, charge_rows
from booking.audit.journal import JournalAudit, JournalRow, LeaseRecord
from tests.support.journals import user_id
from tests.support.sizes import size_of

WANTED = ("shard", "seq", "epoch", "entity", "at_ms", "version", "address", "type", "payload")
PLACES = itemgetter(*map(COLUMNS.index, WANTED))
USERS = [user_id(number) for number in range(512)]


def rows_of(events: int) -> list[JournalRow]:
    """The journal of so many charges, in the audit's order."""
    epochs = dict.fromkeys(range(256), 1)
    return sorted(map(PLACES, charge_rows(USERS, events, dict.fromkeys(USERS, 0), {}, epochs)))


def sizes(rows: list[JournalRow]) -> list[int]:
    """Of what the audit remembers after each shard, while that one's books are open."""
    audit = JournalAudit({shard: LeaseRecord(1, {1: "one-1"}) for shard in range(256)}, 0)
    seen = []
    for shard, some in groupby(rows, itemgetter(0)):
        audit.take(shard, some)
        seen.append(size_of(*(v for name, v in vars(audit).items() if name != "_leases")))
    audit.close()
    report = audit.found.close(0, 0.0)
    assert (report.ok, report.events) == (True, len(rows))
    return seen


def test_ten_times_the_rows_of_the_same_users_take_no_more_memory() -> None:
    """What is kept says something of entities, never of rows."""
    few, many = sizes(rows_of(1_024)), sizes(rows_of(10_240))
    assert len(few) == len(many) > 200
    assert max(abs(more - less) for less, more in zip(few, many, strict=True)) < 512


def test_a_shard_that_was_checked_leaves_nothing_behind() -> None:
    seen = sizes(rows_of(2_048))
    assert max(seen[-50:]) < 1.2 * max(seen[:50])
