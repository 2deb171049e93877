"""A journal over several databases: shard ``s`` lives, with all that belongs to it, in database
``s % n``.

A shard's rows, lease, outcomes, snapshots and timer entries are in one database, so every statement
that has to be one transaction still is: the fence, the append and the stored outcome. Nothing is
ever promised across two databases that was promised within one, because the journal promises
nothing across shards.

The mapping is fixed for the life of the journal, as the number of shards is. That the databases are
those of this journal, in this order, is for whoever opens them to check
(:mod:`booking.schema.parts`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from itertools import chain
from typing import Any, TypeVar

from actors.address import Address
from actors.journal.contract import (
    Batch,
    Journal,
    JournalError,
    Lease,
    Loaded,
    OutcomeRow,
    Row,
    ShardInfo,
    part_number,
)
from actors.journal.postgres import PostgresJournal

T = TypeVar("T")

PING_TIMEOUT_S = 0.4
"""For one database, so that the next one can be asked while whoever wants to know still waits."""


class ShardedJournal:
    """Implements :class:`actors.journal.contract.Journal` over others, which have as many lanes
    each.

    Give the runtime that many lanes *for each database*: lane ``l`` then only ever carries shards
    of database ``l % n``, because a shard's lane is its number modulo the lanes. So a batch goes to
    one database, and when that one does not answer, only its shards are in doubt. A batch for
    several is split all the same; it is in doubt as a whole when one part is.
    """

    def __init__(self, parts: Sequence[Journal]) -> None:
        assert parts, "a journal needs a database"
        self._parts = parts
        self._answers = 0
        """The database that answered last."""

    @property
    def parts(self) -> Sequence[Journal]:
        return self._parts

    @classmethod
    def over(cls, dsns: Sequence[str], lanes_each: int = 1) -> ShardedJournal:
        """Over PostgreSQL databases in the order of the mapping."""
        return cls([PostgresJournal(dsn, lanes_each) for dsn in dsns])

    async def connect(self) -> None:
        """Reach every database, else :class:`~actors.journal.contract.JournalError`."""
        await together(
            part.connect() if isinstance(part, PostgresJournal) else part.ping()
            for part in self._parts
        )

    async def close(self) -> None:
        await together(part.close() for part in self._parts)

    async def ping(self) -> None:
        """Raises if no database can be reached. One that answers is asked first the next time."""
        error: Exception = JournalError("not asked")
        for place in range(len(self._parts)):
            number = (self._answers + place) % len(self._parts)
            try:
                async with asyncio.timeout(PING_TIMEOUT_S):
                    await self._parts[number].ping()
            except (JournalError, TimeoutError) as trouble:
                error = trouble
            else:
                self._answers = number
                return
        raise JournalError(f"no database answers: {error}") from error

    # -- writing ---------------------------------------------------------------------------------

    async def append(self, lane: int, batch: Batch) -> Collection[int]:
        count = len(self._parts)
        touched = {
            part_number(entry.shard, count)
            for entries in (batch.rows, batch.outcomes, batch.snapshots, batch.timers)
            for entry in entries
        }
        if len(touched) == 1:
            return await self._parts[touched.pop()].append(lane // count, batch)
        fenced = await together(
            self._parts[number].append(lane // count, _part_of(batch, number, count))
            for number in sorted(touched)
        )
        return set(chain.from_iterable(fenced))

    async def claim(
        self, wanted: Sequence[tuple[int, int]], owner: str, incarnation: str
    ) -> list[Lease]:
        """As the contract says. When one database does not answer, the claims in the others are
        true all the same, and are found by the next look at :meth:`shards`."""
        granted = await self._spread(
            wanted, lambda pair: pair[0], lambda part, some: part.claim(some, owner, incarnation)
        )
        leases = {lease.shard: lease for lease in chain.from_iterable(granted)}
        return [
            leases[shard]
            for shard in dict.fromkeys(shard for shard, _ in wanted)
            if shard in leases
        ]

    async def purge_outcomes(self, before_ms: int, limit: int) -> int:
        purged = 0
        for part in self._parts:
            if purged < limit:
                purged += await part.purge_outcomes(before_ms, limit - purged)
        return purged

    # -- reading ---------------------------------------------------------------------------------

    async def load(self, addresses: Sequence[Address], *, whole: bool = False) -> list[Loaded]:
        found = await self._spread(
            addresses,
            lambda address: address.slot,
            lambda part, some: part.load(some, whole=whole),
        )
        loaded = {one.address: one for one in chain.from_iterable(found)}
        return [loaded[address] for address in addresses]

    async def later(self, known: Sequence[tuple[Address, int]]) -> list[Loaded]:
        found = await self._spread(
            known, lambda pair: pair[0].slot, lambda part, some: part.later(some)
        )
        loaded = {one.address: one for one in chain.from_iterable(found)}
        return [loaded[address] for address, _ in known]

    async def outcomes(self, commands: Sequence[tuple[int, bytes]]) -> dict[bytes, OutcomeRow]:
        found = await self._spread(
            commands, lambda pair: pair[0], lambda part, some: part.outcomes(some)
        )
        return {command: row for part in found for command, row in part.items()}

    async def shards(self) -> list[ShardInfo]:
        """Each from its own database: the others know it as never claimed."""
        return own_of_each(await together(part.shards() for part in self._parts))

    async def armed_timers(self, shards: Collection[int]) -> list[Address]:
        found = await self._spread(
            list(shards), lambda shard: shard, lambda part, some: part.armed_timers(some)
        )
        return list(chain.from_iterable(found))

    async def history(
        self, address: Address, types: Collection[str], limit: int, before_seq: int | None = None
    ) -> list[Row]:
        part = self._parts[part_number(address.slot, len(self._parts))]
        return await part.history(address, types, limit, before_seq)

    async def _spread(
        self,
        items: Sequence[T],
        shard_of: Callable[[T], int],
        ask: Callable[[Journal, Sequence[T]], Awaitable[Any]],
    ) -> list[Any]:
        """Ask each database for what is its own, all at the same time."""
        count = len(self._parts)
        split: dict[int, list[T]] = {}
        for item in items:
            split.setdefault(part_number(shard_of(item), count), []).append(item)
        return await together(ask(self._parts[number], some) for number, some in split.items())


def journal_over(dsns: Sequence[str], lanes_each: int = 1) -> PostgresJournal | ShardedJournal:
    """The journal in this database, or over these in the order of the mapping."""
    if len(dsns) == 1:
        return PostgresJournal(dsns[0], lanes_each)
    return ShardedJournal.over(dsns, lanes_each)


async def together(asked: Iterable[Awaitable[T]]) -> list[T]:
    """All answers in order. Waits for every one of them before the first failure is raised, so that
    nothing is still under way when the caller hears of it."""
    answers = await asyncio.gather(*asked, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return answers  # type: ignore[return-value]  # those that are exceptions were raised


def own_of_each(lists: Sequence[Sequence[T]]) -> list[T]:
    """Of each database's list of all shards, by number, the shards that are its own."""
    count, size = len(lists), len(lists[0])
    assert all(len(one) == size for one in lists), "databases with another number of shards"
    return [lists[part_number(number, count)][number] for number in range(size)]


def _part_of(batch: Batch, number: int, count: int) -> Batch:
    return Batch(
        [row for row in batch.rows if part_number(row.shard, count) == number],
        [outcome for outcome in batch.outcomes if part_number(outcome.shard, count) == number],
        [snapshot for snapshot in batch.snapshots if part_number(snapshot.shard, count) == number],
        [timer for timer in batch.timers if part_number(timer.shard, count) == number],
    )
