"""When a batch leaves: a busy process fills it first, an idle one sends at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from typing import Any

import pytest

from actors.core.context import Limits
from actors.core.lane import QUIET_ROUNDS, Lane
from actors.core.shard import Commit
from actors.journal.contract import Batch, JournalError
from actors.tasks import Tasks
from tests.support.journal_rows import address_in, event

SHARD = 7
ADDRESS = address_in(SHARD)


class Numbered:
    """All that a lane asks of a commit's shard."""

    number = SHARD
    epoch = 1


class SlowJournal:
    """Notes the size of each batch, and answers when told to."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.answers = asyncio.Event()
        self.answers.set()

    async def append(self, lane: int, batch: Batch) -> Collection[int]:
        self.sizes.append(len(batch.rows))
        await self.answers.wait()
        return ()


class Owner:
    def __init__(self) -> None:
        self.accepted_commits = 0
        self.incarnation = "one-1"

    def accepted(self, commits: Sequence[Commit]) -> None:
        self.accepted_commits += len(commits)

    def fenced(self, shards: Collection[int], commits: Sequence[Commit]) -> None:
        raise AssertionError("nothing is fenced here")

    def doubtful(
        self, error: JournalError, sent: Sequence[Commit], unsent: Sequence[Commit]
    ) -> None:
        raise AssertionError("nothing is in doubt here")


class Bench:
    """A lane at work."""

    def __init__(self, tasks: Tasks, limits: Limits) -> None:
        self.journal, self.owner = SlowJournal(), Owner()
        journal: Any = self.journal
        self.lane = Lane(0, journal, limits, self.owner)
        self._seq = 0
        tasks.spawn(self.lane.run(), "lane")

    def submit(self, count: int = 1) -> None:
        for _ in range(count):
            self._seq += 1
            shard: Any = Numbered()
            commit = Commit(shard)
            commit.rows = [event(ADDRESS, self._seq)]
            self.lane.submit(commit)

    async def rounds(self, count: int, *, busy: bool = False) -> None:
        """Rounds of the event loop, in a busy process each with another commit."""
        for _ in range(count):
            if busy:
                self.submit()
            await asyncio.sleep(0)


@pytest.fixture
async def bench() -> AsyncIterator[Callable[..., Bench]]:
    tasks = Tasks("lanes")
    yield lambda **limits: Bench(tasks, Limits(**limits))
    await tasks.close()
    assert not tasks.failed.done()


async def test_a_commit_that_nothing_follows_leaves_at_once(bench: Callable[..., Bench]) -> None:
    one = bench(gather_s=3_600.0)
    await one.rounds(2)
    one.submit()
    await one.rounds(QUIET_ROUNDS + 2)
    assert one.journal.sizes == [1]
    await one.rounds(2)
    assert one.owner.accepted_commits == 1


async def test_a_batch_fills_while_the_process_is_busy(bench: Callable[..., Bench]) -> None:
    one = bench(gather_s=3_600.0, batch_rows_enough=20)
    await one.rounds(60, busy=True)
    assert one.journal.sizes[:2] == [20, 20]


async def test_what_is_enough_leaves_without_waiting_for_more(bench: Callable[..., Bench]) -> None:
    one = bench(gather_s=3_600.0, batch_rows_enough=20)
    one.submit(25)
    await one.rounds(2)
    assert one.journal.sizes == [25]


async def test_a_busy_process_waits_no_longer_than_its_limit(bench: Callable[..., Bench]) -> None:
    one = bench(gather_s=0.0, batch_rows_enough=1_000)
    await one.rounds(10, busy=True)
    assert one.journal.sizes[0] <= 3


async def test_commits_during_an_append_are_one_batch_after_it(
    bench: Callable[..., Bench],
) -> None:
    one = bench(gather_s=3_600.0, batch_rows_enough=20)
    one.journal.answers.clear()
    one.submit(20)
    await one.rounds(2)
    await one.rounds(30, busy=True)
    assert one.journal.sizes == [20]
    one.journal.answers.set()
    await one.rounds(4)
    assert one.journal.sizes == [20, 30]


async def test_a_batch_is_never_larger_than_its_limit(bench: Callable[..., Bench]) -> None:
    one = bench(batch_rows_max=8, batch_rows_enough=8)
    one.submit(20)
    await one.rounds(20)
    assert one.journal.sizes == [8, 8, 4]
