"""The journal's own clock, and what it does not take because of it."""

from __future__ import annotations

import time

import pytest

from actors.clock import SKEW_MAX_MS
from actors.journal.contract import Journal
from tests.support.journal_rows import address_in, batch, event, outcome


async def clock_of(journal: Journal) -> int:
    now_ms = await journal.now_ms()
    assert now_ms is not None
    return int(now_ms)


async def test_the_journal_tells_its_time(journal: Journal) -> None:
    before_ms = time.time() * 1000
    told_ms = await journal.now_ms()
    assert told_ms is not None
    assert before_ms - 60_000 < told_ms < time.time() * 1000 + 60_000
    again_ms = await journal.now_ms()
    assert again_ms is not None
    assert again_ms >= told_ms


async def test_a_row_a_little_ahead_of_the_journals_clock_is_taken(journal: Journal) -> None:
    at_ms = await clock_of(journal) + SKEW_MAX_MS - 200
    assert not await journal.append(0, batch(rows=[event(address_in(1), 1, at_ms=at_ms)]))


@pytest.mark.parametrize("lead_ms", [SKEW_MAX_MS + 5_000, 24 * 3_600_000])
async def test_rows_from_the_future_are_not_written(journal: Journal, lead_ms: int) -> None:
    """given a batch of two shards, when one of them has a row from the future, then nothing of that
    shard is written and all of the other."""
    wrong, right = address_in(1), address_in(2)
    at_ms = await clock_of(journal) + lead_ms
    rows = [event(wrong, 1, at_ms=at_ms), event(wrong, 2), event(right, 1)]
    written = batch(rows=rows, outcomes=[outcome(1, 7), outcome(2, 7)])

    assert set(await journal.append(0, written)) == {1}

    [none, some] = await journal.load([wrong, right])
    assert (len(none.rows), len(some.rows)) == (0, 1)
    key = outcome(1, 7).command
    assert not await journal.outcomes([(1, key)])
    assert await journal.outcomes([(2, key)])
    assert not await journal.append(0, batch(rows=[event(wrong, 1)])), "the shard is served on"
