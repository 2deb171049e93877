"""The stored placement when the journal's shards are spread over several databases.

The leader's row and the operators' log are in the first database. What is wanted of a shard stays
in the shard's own row, beside its epoch, because a claim has to look at both in one statement.

**A plan's term elsewhere.** In the first database one statement checks the leader's row and writes.
No statement can do that across databases, so a plan is written in the first database first, which
says whether its term is over, and then in the others, each of which remembers the latest term that
wrote there and refuses earlier ones. What remains is a leader that was stopped just between the two
and goes on after its successor was elected: in a database where the successor has not written yet,
its wish is stored, under its own earlier term, and the successor's next plan reads it and writes
over it. That may cost a needless move. It cannot make two owners: who owns a shard is decided by
the epoch in the shard's own row, which every claim raises and every append checks, whoever wished
for what.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from actors.journal.contract import JournalError, Lease, part_number
from actors.journal.partitioned import own_of_each, together
from actors.placement.stores.contract import (
    Leadership,
    LogLine,
    PlacedShard,
    PlacementStore,
    Via,
    Written,
)
from actors.placement.stores.postgres import PostgresPlacement

log = logging.getLogger(__name__)

SILENT_TIMEOUT_S = 0.3
"""For a database that did not answer the last time: the others are looked at twice a second."""


class ShardedPlacement:
    """Implements :class:`actors.placement.stores.contract.PlacementStore` over PostgreSQL databases
    in the order of the journal's mapping: shard ``s`` is in database ``s % n``."""

    def __init__(self, dsns: Sequence[str]) -> None:
        self._parts = [PostgresPlacement(dsn) for dsn in dsns]
        self._first = self._parts[0]
        self._last: list[Sequence[PlacedShard]] = [() for _ in dsns]
        """What each database said of the shards when it last answered."""
        self._silent: set[int] = set()
        """Databases that did not answer the last time."""

    async def close(self) -> None:
        await together(part.close() for part in self._parts)

    # -- the leader's row ------------------------------------------------------------------------

    async def leadership(self) -> Leadership:
        return await self._first.leadership()

    async def raise_term(
        self, holder: str, via: Via, lease_s: float, seen: Leadership
    ) -> int | None:
        return await self._first.raise_term(holder, via, lease_s, seen)

    async def renew_term(self, term: int, via: Via, lease_s: float) -> bool:
        return await self._first.renew_term(term, via, lease_s)

    async def yield_term(self, term: int) -> None:
        await self._first.yield_term(term)

    # -- where the shards ought to be --------------------------------------------------------------

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

    async def write_desired(self, term: int, desired: Mapping[int, tuple[int, str]]) -> Written:
        """As the contract says, but that a term which ends while the plan is being written may
        leave a part of it behind: see the module. Nothing is accepted by a database that is away,
        but for the first, without which there is no leader."""
        split: list[dict[int, tuple[int, str]]] = [{} for _ in self._parts]
        for shard, wish in desired.items():
            split[part_number(shard, len(split))][shard] = wish
        written = await self._first.write_desired(term, split[0])
        if not written.current:
            return written
        others = await asyncio.gather(
            *(
                self._write_following(number, term, some)
                for number, some in enumerate(split)
                if some and number > 0
            )
        )
        if not all(other.current for other in others):
            return Written(current=False)
        accepted = chain(written.shards, *(other.shards for other in others))
        return Written(True, frozenset(accepted))

    async def _write_following(
        self, number: int, term: int, some: Mapping[int, tuple[int, str]]
    ) -> Written:
        if number in self._silent:
            return Written(True)
        try:
            return await self._parts[number].write_desired_following(term, some)
        except JournalError as error:
            log.info("a part of the plan is not written: %s", error)
            return Written(True)

    async def claim(
        self, wanted: Sequence[tuple[int, int]], owner: str, incarnation: str
    ) -> list[Lease]:
        split: list[list[tuple[int, int]]] = [[] for _ in self._parts]
        for shard, seen in wanted:
            split[part_number(shard, len(split))].append((shard, seen))
        granted = await together(
            part.claim(some, owner, incarnation)
            for part, some in zip(self._parts, split, strict=True)
            if some
        )
        leases = {lease.shard: lease for lease in chain.from_iterable(granted)}
        order = dict.fromkeys(shard for shard, _ in wanted)
        return [leases[shard] for shard in order if shard in leases]

    # -- operators ---------------------------------------------------------------------------------

    async def pin(self, shard: int, instance: str, who: str) -> None:
        if self._is_first(shard):
            await self._first.pin(shard, instance, who)
        else:
            await self._change(shard, who, "pin", pinned_to=instance)

    async def unpin(self, shard: int, who: str) -> None:
        if self._is_first(shard):
            await self._first.unpin(shard, who)
        else:
            await self._change(shard, who, "unpin", pinned_to=None)

    async def freeze(self, shard: int, reason: str, who: str) -> None:
        assert reason, "a freeze needs a reason"
        if self._is_first(shard):
            await self._first.freeze(shard, reason, who)
        else:
            await self._change(shard, who, "freeze", frozen=reason)

    async def unfreeze(self, shard: int, who: str) -> None:
        if self._is_first(shard):
            await self._first.unfreeze(shard, who)
        else:
            await self._change(shard, who, "unfreeze", frozen=None)

    def _is_first(self, shard: int) -> bool:
        return part_number(shard, len(self._parts)) == 0

    async def _change(self, shard: int, who: str, what: str, **change: str | None) -> None:
        """Log and change, in this order, so that no change is without its line: after a failure
        between the two there is a line about a change that was only tried."""
        told = {"shard": shard} | {key: value for key, value in change.items() if value}
        await self._first.log(who, what, told)
        await self._parts[part_number(shard, len(self._parts))].change(shard, **change)

    async def log(self, who: str, what: str, detail: Mapping[str, Any]) -> int:
        return await self._first.log(who, what, detail)

    async def logged(self, limit: int, before_id: int | None = None) -> list[LogLine]:
        return await self._first.logged(limit, before_id)


def placement_over(dsns: Sequence[str]) -> PlacementStore:
    """The placement in this database, or over these in the order of the journal's mapping."""
    return PostgresPlacement(dsns[0]) if len(dsns) == 1 else ShardedPlacement(dsns)
