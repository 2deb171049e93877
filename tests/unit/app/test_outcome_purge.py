"""Stored outcomes end by the journal's clock, days after they were written."""

from __future__ import annotations

import asyncio

import pytest

from actors.journal.memory import MemoryJournal, MemoryStore
from booking.instance.background import SegmentRotation
from tests.support import virtual_time
from tests.support.journal_rows import batch, outcome
from tests.support.virtual_time import VirtualClock

HOUR_S = 3_600
FIRST, SECOND = (number.to_bytes(16, "big") for number in (1, 2))


async def lifetimes(leap_ms: int) -> tuple[float, float]:
    """Hours for which two outcomes are found, one written before a turn and one after, while many
    instances purge. The journal's clock leaps as soon as they are there."""
    clock = VirtualClock()
    store = MemoryStore(clock)
    journal = MemoryJournal(store)
    await journal.claim([(1, 0)], "one", "one-1")
    async with asyncio.TaskGroup() as group:
        purging = [group.create_task(SegmentRotation(MemoryJournal(store)).run()) for _ in range(3)]
        await asyncio.sleep(23.9 * HOUR_S)
        await journal.append(0, batch(outcomes=[outcome(1, 1)]))
        await asyncio.sleep(0.3 * HOUR_S)
        await journal.append(0, batch(outcomes=[outcome(1, 2)]))
        clock.wall_offset_ms += leap_ms
        found: dict[bytes, float] = {}
        for quarters in range(4 * 100):
            for command in await journal.outcomes([(1, FIRST), (1, SECOND)]):
                found[command] = quarters / 4
            await asyncio.sleep(HOUR_S / 4)
        for task in purging:
            task.cancel()
    return found[FIRST] + 0.3, found[SECOND]


def test_an_outcome_is_kept_for_two_to_three_days() -> None:
    first, second = virtual_time.run(lifetimes(0))
    assert 48 <= first < 49, "written at the end of a segment"
    assert 71 <= second < 73, "written at its beginning"


@pytest.mark.parametrize("leap_days", [1, 2, 400])
def test_a_leap_of_the_journals_clock_ends_no_outcome_within_a_day(leap_days: int) -> None:
    """However far it leaps: one segment turns at once, and the next one a day later."""
    first, second = virtual_time.run(lifetimes(leap_days * 86_400_000))
    assert 24 <= first < second
