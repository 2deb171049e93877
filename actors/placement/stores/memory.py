"""The stored placement's in-memory twin: the same contract, with faults that a test can order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from actors.clock import Clock
from actors.connections.memory import FaultyConnection
from actors.journal.contract import JournalError, Lease
from actors.journal.memory import MemoryStore
from actors.placement.stores.contract import Leadership, LogLine, PlacedShard, Via, Written

_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


class _Wish(msgspec.Struct):
    desired: str = ""
    desired_term: int = 0
    pinned_to: str | None = None
    frozen: str = ""


class MemoryTables:
    """The tables beside the journal's: what all instances share. ``clock`` is the database's own,
    its wall clock that is; a test may give it one that jumps."""

    def __init__(self, store: MemoryStore, clock: Clock) -> None:
        self.store = store
        self.clock = clock
        self.away = False
        """The database's own outage."""
        self.term = 0
        self.holder = ""
        self.via: Via = ""
        self.expires_at = _NEVER
        self.wishes = [_Wish() for _ in store.leases]
        self.lines: list[LogLine] = []

    def now(self) -> datetime:
        """The database's time."""
        return _NEVER + timedelta(milliseconds=self.clock.now_ms())


class MemoryPlacement(FaultyConnection):
    """One instance's connection to :class:`MemoryTables`."""

    def __init__(self, tables: MemoryTables) -> None:
        super().__init__(lambda: tables.away, lambda: JournalError("the journal is out of reach"))
        self.tables = tables
        self._lost_answers = 0

    # -- faults ------------------------------------------------------------------------------------

    def lose_answers(self, count: int = 1) -> None:
        """The next raised terms are carried out, and then the caller gets an error."""
        self._lost_answers += count

    # -- the leader's row --------------------------------------------------------------------------

    async def leadership(self) -> Leadership:
        await self._reach()
        row = self.tables
        expired = row.expires_at <= row.now()
        return Leadership(row.term, row.holder, row.via, row.expires_at, expired)

    async def raise_term(
        self, holder: str, via: Via, lease_s: float, seen: Leadership
    ) -> int | None:
        await self._reach()
        row = self.tables
        if (row.term, row.expires_at) != (seen.term, seen.expires_at):
            return None
        row.term, row.holder, row.via = row.term + 1, holder, via
        row.expires_at = row.now() + timedelta(seconds=lease_s)
        if self._lost_answers:
            self._lost_answers -= 1
            raise JournalError("ordered by a test: the answer is lost")
        return row.term

    async def renew_term(self, term: int, via: Via, lease_s: float) -> bool:
        await self._reach()
        row = self.tables
        if row.term != term:
            return False
        row.via, row.expires_at = via, row.now() + timedelta(seconds=lease_s)
        return True

    async def yield_term(self, term: int) -> None:
        await self._reach()
        if self.tables.term == term:
            self.tables.expires_at = self.tables.now()

    # -- where the shards ought to be --------------------------------------------------------------

    async def shards(self) -> list[PlacedShard]:
        await self._reach()
        tables = self.tables
        return [
            PlacedShard(
                shard=lease.shard,
                epoch=lease.epoch,
                owner=lease.owner,
                incarnation=lease.incarnation,
                desired=wish.desired,
                desired_term=wish.desired_term,
                pinned_to=wish.pinned_to,
                frozen=wish.frozen,
            )
            for lease, wish in zip(tables.store.leases, tables.wishes, strict=True)
        ]

    async def write_desired(self, term: int, desired: Mapping[int, tuple[int, str]]) -> Written:
        await self._reach()
        if self.tables.term != term:
            return Written(current=False)
        leases = self.tables.store.leases
        accepted = {
            shard: instance
            for shard, (epoch, instance) in desired.items()
            if leases[shard].epoch == epoch
        }
        for shard, instance in accepted.items():
            wish = self.tables.wishes[shard]
            wish.desired, wish.desired_term = instance, term
        return Written(True, frozenset(accepted))

    async def claim(
        self, wanted: Sequence[tuple[int, int]], owner: str, incarnation: str
    ) -> list[Lease]:
        await self._reach()
        granted = (
            self.tables.store.claim(shard, seen, owner, incarnation)
            for shard, seen in wanted
            if self.tables.wishes[shard].desired == owner
        )
        return [lease for lease in granted if lease is not None]

    # -- operators ---------------------------------------------------------------------------------

    async def pin(self, shard: int, instance: str, who: str) -> None:
        await self._reach()
        self.tables.wishes[shard].pinned_to = instance
        self._note(who, "pin", {"shard": shard, "pinned_to": instance})

    async def unpin(self, shard: int, who: str) -> None:
        await self._reach()
        self.tables.wishes[shard].pinned_to = None
        self._note(who, "unpin", {"shard": shard})

    async def freeze(self, shard: int, reason: str, who: str) -> None:
        assert reason, "a freeze needs a reason"
        await self._reach()
        self.tables.wishes[shard].frozen = reason
        self._note(who, "freeze", {"shard": shard, "frozen": reason})

    async def unfreeze(self, shard: int, who: str) -> None:
        await self._reach()
        self.tables.wishes[shard].frozen = ""
        self._note(who, "unfreeze", {"shard": shard})

    async def log(self, who: str, what: str, detail: Mapping[str, Any]) -> int:
        await self._reach()
        return self._note(who, what, detail)

    def _note(self, who: str, what: str, detail: Mapping[str, Any]) -> int:
        line = LogLine(
            len(self.tables.lines) + 1, self.tables.clock.now_ms(), who, what, dict(detail)
        )
        self.tables.lines.append(line)
        return line.id

    async def logged(self, limit: int, before_id: int | None = None) -> list[LogLine]:
        await self._reach()
        end = len(self.tables.lines) if before_id is None else before_id - 1
        return self.tables.lines[max(0, end - limit) : max(0, end)][::-1]

    async def close(self) -> None:
        """Nothing to close."""
