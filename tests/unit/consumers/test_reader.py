"""What was committed here is at hand; the journal has the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from actors.consumers import reader
from actors.consumers.contract import Event
from actors.journal.contract import JournalError, Row
from actors.journal.memory import MemoryJournal
from tests.support.consumers import Following, decoded, note, until


class _Journal(MemoryJournal):
    """Counts what is read, and can be away."""

    reads, away = 0, False

    async def read(self, after: Any, limit: int) -> list[Row]:
        self.reads += 1
        if self.away:
            raise JournalError("away")
        return await super().read(after, limit)


async def test_what_its_owner_tells_is_not_read(following: Following) -> None:
    """Given a consumer that keeps up, when its owner commits, then it takes the events though the
    journal could not be read."""
    following.claim("one", 1, 2)
    following.commit(1, 3)
    journal = _Journal(following.store)
    runner = following.runner(journal=journal)
    following.start(runner)
    await until(lambda: len(following.effects.done) == 3)
    journal.away = True
    following.commit(1, 4)
    following.commit(2, 1)
    runner.wake.set()
    await until(lambda: len(following.effects.done) == 8)
    assert following.effects.by_shard() == {1: [1, 2, 3, 4, 5, 6, 7], 2: [1]}
    assert runner.failures == 0


async def test_what_it_was_not_told_is_read(following: Following) -> None:
    """Given a shard whose owner told the first and the last of its events, then all are given."""
    following.claim("one", 1)
    one = following.reader()
    for count, told in ((2, True), (3, False), (2, True)):
        following.told = told
        following.commit(1, count)
    assert [row.seq for row in await one.read({1: 0}, 9)] == [1, 2]
    assert [row.seq for row in await one.read({1: 2}, 2)] == [3, 4]
    assert [row.seq for row in await one.read({1: 5}, 1)] == [6]


async def test_what_the_journal_lost_is_forgotten(following: Following) -> None:
    """Given events that were told, when the journal has others in their place, then those count."""
    following.claim("one", 1, 2)
    one = following.reader()
    following.commit(1, 3)
    following.commit(2, 1)
    following.store.forget(1, 1)
    following.claim("one", 1)
    one.forget(1)
    following.told = False
    following.commit(1, 2)
    rows = await one.read({1: 0, 2: 0}, 9)
    assert [(row.shard, row.seq, row.epoch) for row in rows if row.shard == 1] == [
        (1, row.seq, row.epoch) for row in following.store.rows[1]
    ]
    assert [one.decode(row) for row in rows] == [decoded(row) for row in rows]


async def test_only_the_latest_are_kept(following: Following, monkeypatch: Any) -> None:
    monkeypatch.setattr(reader, "KEPT_MAX", 5)
    following.claim("one", 1)
    journal = _Journal(following.store)
    one = following.reader(journal=journal)
    following.commit(1, 3)
    following.commit(1, 3)
    assert [row.seq for row in await one.read({1: 1}, 9)] == [2, 3, 4, 5, 6]
    assert journal.reads == 0
    assert [row.seq for row in await one.read({1: 0}, 9)] == [1, 2, 3, 4, 5, 6]
    assert journal.reads == 1


async def test_a_busy_shard_is_not_held_up_by_many_with_little(following: Following) -> None:
    """Given 200 events in one shard and one in each of 250, when a consumer takes 500 at once, then
    one call has them all."""
    calls = []

    async def handle(events: Sequence[Event], connection: Any) -> None:
        calls.append(len(events))
        await note(events, connection)

    following.claim("one", *range(251))
    following.commit(0, 200)
    for shard in range(1, 251):
        following.commit(shard)
    following.start(following.runner(handle=handle, batch_max=500))
    await until(lambda: len(following.effects.done) == 450)
    assert calls == [450]


async def test_what_does_not_fit_is_shared_evenly(following: Following) -> None:
    """Given 900, 30 and 5 events in three shards, when a call takes 100, then those with little are
    taken whole and the busy one has the rest."""
    calls = []

    async def handle(events: Sequence[Event], connection: Any) -> None:
        calls.append([sum(each.shard == shard for each in events) for shard in (1, 2, 3)])

    following.claim("one", 1, 2, 3)
    for shard, count in ((1, 900), (2, 30), (3, 5)):
        following.commit(shard, count)
    following.start(following.runner(handle=handle, batch_max=100))
    await until(lambda: len(calls) > 1)
    assert calls[:2] == [[65, 30, 5], [100, 0, 0]]
