"""A journal over several databases: shard ``s`` lives, with all that belongs to it, in database
``s % n``.

A shard's rows, lease, outcomes, snapshots and timer entries are in one database, so every statement
that has to be one transaction still is: the fence, the append and the stored outcome. The journal
promises nothing across shards, so nothing is lost.

The mapping is fixed for the life of the journal, as the number of shards is. That the databases are
those of this journal, in this order, is checked before they are opened
(:mod:`booking.schema.parts`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import TypeVar

from actors.address import Address
from actors.journal.contract import (
    Batch,
    Journal,
    JournalError,
    Lease,
    Loaded,
    Loss,
    OutcomeRow,
    PageRow,
    Past,
    Row,
    ShardInfo,
    SnapshotRow,
    part_number,
)
from actors.journal.postgres import POOL_SIZE, PostgresJournal

T = TypeVar("T")
R = TypeVar("R")

PING_TIMEOUT_S = 0.4
"""For one database, so that the next one can be asked while the caller still waits."""


class PartitionedJournal:
    """Implements :class:`actors.journal.contract.Journal` over others with as many lanes each.

    Give the runtime that many lanes *for each database*: lane ``l`` then only ever carries shards
    of database ``l % n``, because a shard's lane is its number modulo the lanes. So a batch goes to
    one database, and when that one does not answer, only its shards are in doubt. A batch for
    several is split all the same; it is in doubt as a whole when one part is.
    """

    def __init__(self, parts: Sequence[Journal]) -> None:
        assert parts, "a journal needs a database"
        self.parts = parts
        self._answered = 0
        """The database that answered the last ping."""

    async def connect(self) -> None:
        """Reach every database, else :class:`~actors.journal.contract.JournalError`."""
        await together(part.connect() for part in self.parts)

    async def close(self) -> None:
        """Close every database's connections."""
        await together(part.close() for part in self.parts)

    async def ping(self) -> None:
        """Raise if no database can be reached. The one that answered last is asked first."""
        error: Exception = JournalError("not asked")
        for number in range(self._answered, self._answered + len(self.parts)):
            self._answered = number % len(self.parts)
            try:
                async with asyncio.timeout(PING_TIMEOUT_S):
                    return await self.parts[self._answered].ping()
            except (JournalError, TimeoutError) as trouble:
                error = trouble
        raise JournalError(f"no database answers: {error}") from error

    async def now_ms(self) -> float | None:
        """That of the first database, by which all instances go."""
        return await self.parts[0].now_ms()

    async def append(self, lane: int, batch: Batch) -> Collection[int]:
        """As the contract says; the batch is in doubt as a whole when one part of it is."""
        count = len(self.parts)
        touched = {part_number(shard, count) for shard, _ in batch.tenures()}
        if len(touched) == 1:
            return await self.parts[touched.pop()].append(lane // count, batch)
        fenced = await together(
            self.parts[number].append(lane // count, _part_of(batch, number, count))
            for number in sorted(touched)
        )
        return set(chain.from_iterable(fenced))

    async def claim(
        self, wanted: Sequence[tuple[int, int]], owner: str, incarnation: str, above: int = 0
    ) -> list[Lease]:
        """As the contract says. When one database does not answer, the claims in the others are
        true all the same, and are found by the next look at :meth:`shards`."""
        claims = [partial(part.claim, above=above) for part in self.parts]
        return await claim_in(claims, wanted, owner, incarnation)

    async def turn_outcomes(self, every_ms: int) -> bool:
        """As the contract says, each database by its own clock; whether any of them did."""
        return any(await together(part.turn_outcomes(every_ms) for part in self.parts))

    async def turn_journal(self, every_ms: int) -> bool:
        """As the contract says, as for outcomes."""
        return any(await together(part.turn_journal(every_ms) for part in self.parts))

    async def load(self, addresses: Sequence[Address], *, whole: bool = False) -> list[Loaded]:
        slots = [address.slot for address in addresses]
        return await self._load(addresses, slots, lambda part, some: part.load(some, whole=whole))

    async def later(self, known: Sequence[tuple[Address, int]]) -> list[Loaded]:
        slots = [address.slot for address, _ in known]
        return await self._load(known, slots, lambda part, some: part.later(some))

    async def pages(self, snapshot: SnapshotRow, after: int) -> list[PageRow]:
        return await self._of(snapshot.address).pages(snapshot, after)

    async def drop_pages(self, address: Address, seq: int) -> None:
        await self._of(address).drop_pages(address, seq)

    def _of(self, address: Address) -> Journal:
        """The database that the entity is in."""
        return self.parts[part_number(address.slot, len(self.parts))]

    async def _load(
        self,
        items: Sequence[T],
        slots: Sequence[int],
        ask: Callable[[Journal, Sequence[T]], Awaitable[list[Loaded]]],
    ) -> list[Loaded]:
        """Put the answers together in order: each database gives its own in order."""
        found = await self._spread(items, slots, ask)
        answers = {number: iter(some) for number, some in found.items()}
        return [next(answers[part_number(slot, len(self.parts))]) for slot in slots]

    async def outcomes(self, commands: Sequence[tuple[int, bytes]]) -> dict[bytes, OutcomeRow]:
        shards = [shard for shard, _ in commands]
        found = await self._spread(commands, shards, lambda part, some: part.outcomes(some))
        return {command: row for part in found.values() for command, row in part.items()}

    async def shards(self, seqs: Mapping[int, int] | None = None) -> list[ShardInfo]:
        """Each from its own database: the others know it as never claimed."""
        return own_of_each(await together(part.shards(seqs) for part in self.parts))

    async def kept(self, pasts: Mapping[int, Past]) -> dict[int, int]:
        items = list(pasts.items())
        found = await self._spread(items, list(pasts), lambda part, some: part.kept(dict(some)))
        return {shard: seq for part in found.values() for shard, seq in part.items()}

    async def report(self, losses: Sequence[Loss], owner: str, incarnation: str) -> Collection[int]:
        found = await self._spread(
            losses,
            [loss.shard for loss in losses],
            lambda part, some: part.report(some, owner, incarnation),
        )
        return set(chain.from_iterable(found.values()))

    async def armed_timers(self, shards: Collection[int]) -> list[Address]:
        numbers = list(shards)
        found = await self._spread(numbers, numbers, lambda part, some: part.armed_timers(some))
        return list(chain.from_iterable(found.values()))

    async def history(
        self, address: Address, types: Collection[str], limit: int, before_seq: int | None = None
    ) -> list[Row]:
        return await self._of(address).history(address, types, limit, before_seq)

    async def read(self, after: Mapping[int, int], limit: int) -> list[Row]:
        found = await self._spread(
            list(after.items()), list(after), lambda part, some: part.read(dict(some), limit)
        )
        return list(chain.from_iterable(found.values()))

    async def ends(self, shards: Collection[int]) -> dict[int, int]:
        numbers = list(shards)
        found = await self._spread(numbers, numbers, lambda part, some: part.ends(some))
        return {shard: seq for part in found.values() for shard, seq in part.items()}

    async def _spread(
        self,
        items: Sequence[T],
        shards: Sequence[int],
        ask: Callable[[Journal, Sequence[T]], Awaitable[R]],
    ) -> dict[int, R]:
        """Ask each database for the items whose shards are its own, all at the same time."""
        split = split_up(items, shards, len(self.parts))
        answers = await together(ask(self.parts[number], some) for number, some in split.items())
        return dict(zip(split, answers, strict=True))


def journal_over(dsns: Sequence[str], lanes_each: int = 1, pool_size: int = POOL_SIZE) -> Journal:
    """The journal in this database, or over these in the order of the mapping."""
    parts = [PostgresJournal(dsn, lanes_each, pool_size=pool_size) for dsn in dsns]
    return parts[0] if len(parts) == 1 else PartitionedJournal(parts)


Claim = Callable[[Sequence[tuple[int, int]], str, str], Awaitable[list[Lease]]]
"""The method of a store that grants shards."""


async def claim_in(
    claims: Sequence[Claim], wanted: Sequence[tuple[int, int]], owner: str, incarnation: str
) -> list[Lease]:
    """Claim each shard in its own database; the leases come in the order wanted."""
    split = split_up(wanted, [shard for shard, _ in wanted], len(claims))
    granted = await together(
        claims[number](some, owner, incarnation) for number, some in split.items()
    )
    leases = {lease.shard: lease for lease in chain.from_iterable(granted)}
    return [leases.pop(shard) for shard, _ in wanted if shard in leases]


def split_up(items: Sequence[T], shards: Sequence[int], count: int) -> dict[int, list[T]]:
    """The items by the number of the database in which each one's shard is."""
    split: dict[int, list[T]] = {}
    for item, shard in zip(items, shards, strict=True):
        split.setdefault(part_number(shard, count), []).append(item)
    return split


def _part_of(batch: Batch, number: int, count: int) -> Batch:
    return batch.of(lambda shard: part_number(shard, count) == number)


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
