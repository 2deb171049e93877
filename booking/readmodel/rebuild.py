"""Building the tables anew from the first event, beside the present ones, which go on meanwhile.

::

    tables -> events -> indexes -> the events that came meanwhile -> swap

All of it is in the next schema with its own offsets. So a run that was stopped goes on where it
was, and the present schema knows nothing of it until the swap.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence

from attrs import define

from actors.address import SLOT_COUNT
from actors.consumers.contract import Consumer, Event, Step
from actors.consumers.postgres import PostgresOffsets
from actors.journal.contract import Journal, Row
from booking.events.mapping import decode
from booking.readmodel import store
from booking.readmodel.consumer import ReadModel
from booking.schema import migrate

BATCH = 4_000
"""Events of one transaction: fewer are more round trips, more are no faster."""
SHARDS_MAX = 64
"""Of one read."""
WORKERS = 2
"""Each with shards and connections of its own: one reads while the other one writes."""

Progress = Callable[[str, int, int], None]
"""Takes what is done now, and how many events of how many are in the tables."""


async def rebuild(dsn: str, journal_dsn: str, journal: Journal, progress: Progress) -> int:
    """Build the schema in this database anew and swap it in; how many events it has come from.
    ``journal_dsn`` is the database with the catalogue. Raises what asyncpg and the journal do."""
    model = ReadModel(journal_dsn)
    consumer = model.consumer(dsn, store.NEXT)
    async with store.connected(dsn, store.NEXT) as connection:
        await migrate.apply(connection, store.migrations()[:1])
        async with connection.transaction():
            await model.look(connection)
        await _fill(consumer, journal, progress)
        progress("making indexes", 0, 0)
        await migrate.apply(connection, store.migrations())
        done = await _fill(consumer, journal, progress)
        await store.swap(connection)
    return done


async def _fill(consumer: Consumer, journal: Journal, progress: Progress) -> int:
    """Take the events that are in the journal by now."""
    ends = await journal.ends(range(SLOT_COUNT))
    total = sum(ends.values())
    filled = _Filled(progress, total)
    shards = [
        [n for n in range(worker, SLOT_COUNT, WORKERS) if ends[n]] for worker in range(WORKERS)
    ]
    try:
        async with asyncio.TaskGroup() as group:
            for some in shards:
                wanted = {n: ends[n] for n in some}
                group.create_task(_Worker(consumer, journal, filled).run(wanted))
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return total


@define(eq=False)
class _Filled:
    """How far all workers are."""

    progress: Progress
    total: int
    done: int = 0

    def add(self, count: int) -> None:
        self.done += count
        self.progress("reading events", self.done, self.total)


@define(eq=False)
class _Worker:
    consumer: Consumer
    journal: Journal
    filled: _Filled

    async def run(self, ends: dict[int, int]) -> None:
        """Take the events of these shards up to these ends."""
        offsets = PostgresOffsets(self.consumer, "")
        try:
            done = {one.shard: one.seq for one in await offsets.open(dict.fromkeys(ends, 0))}
            self.filled.add(sum(done.values()))
            while left := [n for n in ends if done[n] < ends[n]][:SHARDS_MAX]:
                wanted = {n: done[n] for n in left}
                rows = await self.journal.read(wanted, max(1, BATCH // len(left)))
                await self._take(offsets, wanted, rows)
                done |= {row.shard: row.seq for row in rows}
        finally:
            await offsets.close()

    async def _take(
        self, offsets: PostgresOffsets, before: dict[int, int], rows: Sequence[Row]
    ) -> None:
        last = {row.shard: row for row in rows}
        first = {row.shard: row.seq for row in reversed(rows)}
        for n, seq in first.items():
            if seq != before[n] + 1:
                words = f"events {before[n] + 1} to {seq - 1} of shard {n} are archived"
                raise OSError(f"{words}: booking archive --load DIR puts them back")
        steps = {n: Step(before[n], row.seq, row.epoch) for n, row in last.items()}
        events = events_of(rows, self.consumer.kinds)
        async with offsets.moving(steps) as (live, connection):
            if len(live) != len(steps):
                raise OSError("another rebuild is under way")
            await self.consumer.handle(events, connection)
        self.filled.add(len(rows))


def events_of(rows: Sequence[Row], kinds: Collection[str]) -> list[Event]:
    """The events of entities of these kinds, decoded."""
    return [
        Event(row.shard, row.seq, row.address, row.at_ms, row.type, data, row.command)
        for row in rows
        if row.address.kind in kinds
        for data in (decode(row.type, row.version, row.payload),)
    ]
