"""Consumers over a journal in memory: several instances, and effects in the transaction of the
offsets."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from actors.consumers.contract import Consumer, Event, Step
from actors.consumers.reader import EventReader
from actors.consumers.runner import ConsumerRunner
from actors.journal.contract import Batch, Journal, Row
from actors.journal.memory import MemoryJournal, MemoryStore
from actors.subscription import Change
from tests.support.instance import WallClock
from tests.support.journal_rows import address_in, event
from tests.support.twins.offsets import MemoryOffsets

LIMIT_S = 60.0


class Effects(MemoryOffsets):
    """Offsets with effects beside them: what a handler appends to its connection is here only once
    its transaction has ended well."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[tuple[int, int]] = []
        """Shard and seq of each event, in the order of the transactions."""

    @asynccontextmanager
    async def moving(self, steps: Mapping[int, Step]) -> AsyncIterator[tuple[Collection[int], Any]]:
        staged: list[tuple[int, int]] = []
        async with super().moving(steps) as (live, _):
            yield live, staged
        self.done += staged

    def has(self, events: int) -> bool:
        """Whether so many were done."""
        return len(self.done) >= events

    def by_shard(self) -> dict[int, list[int]]:
        found: defaultdict[int, list[int]] = defaultdict(list)
        for shard, seq in self.done:
            found[shard].append(seq)
        return dict(found)


async def note(events: Sequence[Event], connection: Any) -> None:
    """A consumer that has nothing but effects in its transaction."""
    for each in events:
        connection.append((each.shard, each.seq))


class Following:
    """One journal, the consumers of one name on several instances, and what they did."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.told = True
        """Whether owners tell what they commit."""
        self._readers: defaultdict[str, list[EventReader]] = defaultdict(list)
        self.effects = Effects()
        self._served: defaultdict[str, dict[int, int]] = defaultdict(dict)
        """By instance: the shards it believes to own, and their epochs."""
        self._tasks: list[asyncio.Task[None]] = []

    def claim(self, owner: str, *shards: int, notice: bool = True) -> None:
        """The owner takes these shards; the one before learns of it unless told otherwise."""
        for shard in shards:
            lease = self.store.leases[shard]
            self.store.claim([(shard, lease.epoch)], owner, owner)
            if notice:
                for served in self._served.values():
                    served.pop(shard, None)
            self._served[owner][shard] = self.store.leases[shard].epoch

    def leave(self, owner: str) -> None:
        self._served[owner].clear()

    def commit(self, shard: int, count: int = 1, **more: Any) -> None:
        """Its owner commits so many events more."""
        lease, end = self.store.leases[shard], len(self.store.rows[shard])
        rows = [
            event(address_in(shard), end + 1 + number, lease.epoch, **more)
            for number in range(count)
        ]
        assert not self.store.write(Batch(rows=rows, incarnation=lease.incarnation))
        if self.told:
            change = Change(
                address_in(shard), None, events=[decoded(row) for row in rows], rows=rows
            )
            for reader in self._readers[lease.incarnation]:
                reader.keep(change)

    def served(self, owner: str) -> dict[int, tuple[int, int]]:
        rows = self.store.rows
        return {n: (epoch, len(rows[n])) for n, epoch in self._served[owner].items()}

    def runner(
        self,
        owner: str = "one",
        handle: Any = note,
        journal: Journal | None = None,
        offsets: Any = None,
        **more: Any,
    ) -> ConsumerRunner:
        return ConsumerRunner(
            Consumer(name="notes", handle=handle, **more),
            offsets or self.effects,
            self.reader(owner, journal),
            lambda: self.served(owner),
            WallClock(runs=True),
            lambda: 0.5,
        )

    def reader(self, owner: str = "one", journal: Journal | None = None) -> EventReader:
        """What this owner commits is told to it, as its runtime does."""
        reader = EventReader(journal or MemoryJournal(self.store), decoded)
        self._readers[owner].append(reader)
        return reader

    def start(self, runner: ConsumerRunner) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(runner.run())
        self._tasks.append(task)
        return task

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def decoded(row: Row) -> str:
    return f"{row.type} {row.seq}"


async def until(condition: Callable[[], bool], limit_s: float = LIMIT_S) -> None:
    """Wait until it holds; fails after the limit."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + limit_s
    while not condition():
        assert loop.time() < ends, f"not within {limit_s} s"
        await asyncio.sleep(0.01)
