"""The stored placement when the journal's shards are spread over several databases.

The leader's row and the operators' log are in the first database. What is wanted of a shard stays
in the shard's own row, beside its epoch, because a claim has to look at both in one statement.

**A plan's term elsewhere.** In the first database one statement checks the leader's row and writes.
No statement can do that across databases, so a plan is written in the first database first, which
says whether its term is over, and then in the others, each of which remembers the latest term that
wrote there and refuses earlier ones. What remains is a leader that was stopped just between the two
and goes on after its successor was elected: in a database where the successor has not written yet,
its placement is stored, under its own earlier term, and the successor's next plan reads it and
writes over it. That may cost a needless move. It cannot make two owners: who owns a shard is
decided by the epoch in the shard's own row, which every claim raises and every append checks.
"""

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
from itertools import chain

from actors.journal.contract import JournalError, Lease, part_number
from actors.journal.partitioned import claim_in, own_of_each, split_up, together
from actors.placement.contract import PlacedShard, PlacementStore, StoredLoss, WriteResult
from actors.placement.postgres import PostgresPlacement

log = logging.getLogger(__name__)

SILENT_TIMEOUT_S = 0.3
"""For a database that did not answer the last time: the others are looked at twice a second."""


class PartitionedPlacement:
    """Implements :class:`actors.placement.contract.PlacementStore` over PostgreSQL databases
    in the order of the journal's mapping: shard ``s`` is in database ``s % n``."""

    def __init__(self, dsns: Sequence[str]) -> None:
        first = PostgresPlacement(dsns[0])
        self._parts = [first, *(PostgresPlacement(dsn, first) for dsn in dsns[1:])]
        self._last: list[Sequence[PlacedShard]] = [() for _ in dsns]
        """What each database said of the shards when it last answered."""
        self._silent: set[int] = set()
        """Databases that did not answer the last time."""
        self.leadership, self.raise_term = first.leadership, first.raise_term
        self.renew_term, self.yield_term = first.renew_term, first.yield_term
        self.log, self.logged = first.log, first.logged

    async def close(self) -> None:
        await together(part.close() for part in self._parts)

    async def shards(self) -> list[PlacedShard]:
        """As the contract says. While some of the databases do not answer, what they said last
        stands for them: a claim there fails, and claims in the others do not depend on it."""
        errors = await asyncio.gather(*(self._look(number) for number in range(len(self._parts))))
        failed = [error for error in errors if error is not None]
        if len(failed) == len(errors) or not all(self._last):
            raise failed[0]
        return own_of_each(self._last)

    async def _look(self, number: int) -> JournalError | None:
        timeout_s = SILENT_TIMEOUT_S if number in self._silent else None
        try:
            async with asyncio.timeout(timeout_s):
                self._last[number] = await self._parts[number].shards()
        except JournalError as error:
            self._silent.add(number)
            return error
        except TimeoutError:
            return JournalError("a database does not answer")
        self._silent.discard(number)
        return None

    async def write_desired(self, term: int, desired: Mapping[int, tuple[int, str]]) -> WriteResult:
        """As the contract says, but that a term which ends while the plan is being written may
        leave a part of it behind: see the module. Nothing is accepted by a database that is away,
        but for the first, without which there is no leader."""
        shards = list(desired)
        split = split_up(shards, shards, len(self._parts))
        plans = {n: {shard: desired[shard] for shard in some} for n, some in split.items()}
        written = await self._parts[0].write_desired(term, plans.pop(0, {}))
        if not written.current:
            return written
        others = await asyncio.gather(
            *(self._write_following(number, term, plan) for number, plan in plans.items())
        )
        if not all(other.current for other in others):
            return WriteResult(current=False)
        accepted = chain(written.shards, *(other.shards for other in others))
        return WriteResult(True, frozenset(accepted))

    async def _write_following(
        self, number: int, term: int, some: Mapping[int, tuple[int, str]]
    ) -> WriteResult:
        if number in self._silent:
            return WriteResult(True)
        try:
            return await self._parts[number].write_desired(term, some)
        except JournalError as error:
            log.info("a part of the plan is not written: %s", error)
            return WriteResult(True)

    async def claim(
        self, wanted: Sequence[tuple[int, int]], owner: str, incarnation: str
    ) -> list[Lease]:
        claims = [part.claim for part in self._parts]
        return await claim_in(claims, wanted, owner, incarnation)

    async def pin(self, shard: int, instance: str | None, who: str) -> None:
        await self._part_of(shard).pin(shard, instance, who)

    async def freeze(self, shard: int, reason: str | None, who: str) -> None:
        await self._part_of(shard).freeze(shard, reason, who)

    async def losses(self) -> list[StoredLoss]:
        found = chain.from_iterable(await together(part.losses() for part in self._parts))
        return sorted(found, key=lambda loss: loss.noticed_at_ms, reverse=True)

    async def accept_losses(self, shards: Collection[int], who: str) -> None:
        """As the contract says, the log first: no change is without its entry."""
        await self.log(who, "accept_loss", {"shards": sorted(shards)})
        numbers = sorted(shards)
        split = split_up(numbers, numbers, len(self._parts))
        await together(self._parts[n].accept_losses_here(some, who) for n, some in split.items())

    def _part_of(self, shard: int) -> PostgresPlacement:
        return self._parts[part_number(shard, len(self._parts))]


def placement_over(dsns: Sequence[str]) -> PlacementStore:
    """The placement in this database, or over these in the order of the journal's mapping."""
    return PostgresPlacement(dsns[0]) if len(dsns) == 1 else PartitionedPlacement(dsns)
