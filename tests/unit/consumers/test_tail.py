"""Consumers outside of the instances, which look where the journal ends."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from functools import partial

from actors.consumers import tail
from actors.consumers.tail import JournalTail
from actors.journal.contract import JournalError
from actors.journal.memory import MemoryJournal
from tests.support.consumers import Following, until


class _Journal(MemoryJournal):
    """Away for as long as ``away`` says."""

    away = False
    refused = 0

    async def ends(self, shards: Collection[int]) -> dict[int, int]:
        if self.away:
            self.refused += 1
            raise JournalError("away")
        return await super().ends(shards)


async def test_it_is_called_with_what_any_owner_commits(following: Following) -> None:
    """Given owners elsewhere, then a consumer that owns nothing has every event once."""
    journal = _Journal(following.store)
    found = JournalTail(journal)
    runner = following.runner()
    runner._served = found.served
    found.runners = [runner]
    following.claim("one", 1, 2)
    following.commit(1, 3)
    following.start(runner)
    task = asyncio.create_task(found.run())
    try:
        await until(lambda: following.effects.by_shard() == {1: [1, 2, 3]})
        following.commit(2, 2)
        following.commit(1, 1)
        await until(lambda: following.effects.by_shard() == {1: [1, 2, 3, 4], 2: [1, 2]})
    finally:
        task.cancel()


async def test_two_processes_that_follow_share_the_work(following: Following) -> None:
    """Given the same consumer in two processes, then each event is done once, in order."""
    tails = [JournalTail(_Journal(following.store)) for _ in range(2)]
    for each in tails:
        runner = following.runner()
        runner._served = each.served
        each.runners = [runner]
        following.start(runner)
    tasks = [asyncio.create_task(each.run()) for each in tails]
    following.claim("one", *range(8))
    try:
        for times in range(1, 6):
            for shard in range(8):
                following.commit(shard, 3)
            await until(partial(following.effects.has, 8 * 3 * times))
        assert following.effects.by_shard() == {n: list(range(1, 16)) for n in range(8)}
    finally:
        for task in tasks:
            task.cancel()


async def test_a_journal_that_is_away_is_waited_for(
    following: Following, monkeypatch: object
) -> None:
    journal = _Journal(following.store)
    journal.away = True
    found = JournalTail(journal)
    following.claim("one", 1)
    following.commit(1, 1)
    task = asyncio.create_task(found.run())
    try:
        await until(lambda: journal.refused > 0)
        assert found.served() == {}
        journal.away = False
        await until(lambda: found.served().get(1, (0, 0))[1] == 1, limit_s=10 * tail.AWAY_S)
    finally:
        task.cancel()


async def test_a_journal_that_has_become_shorter_is_looked_at_again(following: Following) -> None:
    """Given a fail-over that lost events which were done, then the consumer stops there and says
    so: what it did is not in the journal."""
    found = JournalTail(_Journal(following.store))
    runner = following.runner()
    runner._served = found.served
    found.runners = [runner]
    following.claim("one", 1)
    following.commit(1, 3)
    following.start(runner)
    task = asyncio.create_task(found.run())
    try:
        await until(lambda: len(following.effects.done) == 3)
        following.store.forget(1, 1)
        await until(lambda: runner.stopped == 1)
    finally:
        task.cancel()
