"""The journal's in-memory twin: the same contract without a database.

Several :class:`MemoryJournal` objects over one :class:`MemoryStore` are the connections of several
instances to one database. The store is what survives a crash of all of them.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from itertools import repeat
from operator import attrgetter

from actors.address import SLOT_COUNT, Address
from actors.clock import SKEW_MAX_MS, Clock
from actors.journal.contract import (
    PAGES_MAX,
    Batch,
    Lease,
    Loaded,
    OutcomeRow,
    PageRow,
    Row,
    ShardInfo,
    SnapshotRow,
    rows_each,
)

_by_number = attrgetter("number", "seq")


class MemoryStore:
    """The tables, and the rules the database keeps: fence, keys, gapless seq. ``clock`` is the
    database's own; without one, instances go by theirs."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock
        self.leases = [ShardInfo(number, 0, "", "") for number in range(SLOT_COUNT)]
        self.rows: list[list[Row]] = [[] for _ in range(SLOT_COUNT)]
        self.outcomes: dict[tuple[int, bytes], OutcomeRow] = {}
        self.snapshots: dict[Address, SnapshotRow] = {}
        self.pages: defaultdict[Address, list[PageRow]] = defaultdict(list)
        """By number and seq."""
        self.timers: dict[Address, int] = {}
        """Marked entities with their shard."""
        self.claims: list[ShardInfo] = []
        """Every claim ever granted, in order."""
        self._of_entity: defaultdict[Address, list[Row]] = defaultdict(list)

    def write(self, batch: Batch) -> set[int]:
        """Write all parts of live shards; return the fenced ones."""
        tenures = batch.tenures()
        fenced = {shard for shard, epoch in tenures if self.leases[shard].epoch != epoch}
        if self.clock is not None:
            latest_ms = self.clock.now_ms() + SKEW_MAX_MS
            fenced |= {row.shard for row in batch.rows if row.at_ms > latest_ms}
        live = batch.of(lambda shard: shard not in fenced)
        for row in live.rows:
            self._write_row(row)
        for outcome in live.outcomes:
            self.outcomes.setdefault((outcome.shard, outcome.command), outcome)
        for snapshot in live.snapshots:
            self.snapshots[snapshot.address] = snapshot
        for page in live.pages:
            insort(self.pages[page.address], page, key=_by_number)
        for timer in live.timers:
            if timer.armed:
                self.timers[timer.address] = timer.shard
            else:
                self.timers.pop(timer.address, None)
        return fenced

    def _write_row(self, row: Row) -> None:
        rows = self.rows[row.shard]
        assert row.seq == len(rows) + 1, f"shard {row.shard}: seq {row.seq} after {len(rows)}"
        assert row.address.slot == row.shard, f"{row.address} in shard {row.shard}"
        rows.append(row)
        self._of_entity[row.address].append(row)

    def claim(self, wanted: Sequence[tuple[int, int]], owner: str, incarnation: str) -> list[Lease]:
        """Grant each shard whose epoch is still the one seen."""
        leases = []
        for shard, seen in wanted:
            if self.leases[shard].epoch == seen:
                self.leases[shard] = granted = ShardInfo(shard, seen + 1, owner, incarnation)
                self.claims.append(granted)
                rows = self.rows[shard]
                last_ms = rows[-1].at_ms if rows else 0
                leases.append(Lease(shard, granted.epoch, len(rows), last_ms))
        return leases

    def events(self, address: Address, after_seq: int = 0) -> list[Row]:
        """The entity's events above ``after_seq``, oldest first."""
        rows = self._of_entity.get(address, [])
        return rows[bisect_right(rows, after_seq, key=attrgetter("seq")) :]


class MemoryJournal:
    """One instance's connection to a :class:`MemoryStore`."""

    def __init__(self, store: MemoryStore | None = None) -> None:
        self.store = store if store is not None else MemoryStore()
        self.parts: Sequence[MemoryJournal] = (self,)

    async def append(self, lane: int, batch: Batch) -> Collection[int]:
        """As the contract says."""
        return self.store.write(batch)

    async def load(self, addresses: Sequence[Address], *, whole: bool = False) -> list[Loaded]:
        """As the contract says."""
        snapshots = [None if whole else self.store.snapshots.get(a) for a in addresses]
        known = [(a, one.seq if one else 0) for a, one in zip(addresses, snapshots, strict=True)]
        return self._loaded(known, snapshots)

    def _loaded(
        self, known: Sequence[tuple[Address, int]], snapshots: Iterable[SnapshotRow | None]
    ) -> list[Loaded]:
        limit = rows_each(len(known))
        found = []
        for (address, seq), snapshot in zip(known, snapshots, strict=False):
            rows = self.store.events(address, seq)[:limit]
            found.append(Loaded(address, snapshot, rows, len(rows) == limit))
        return found

    async def later(self, known: Sequence[tuple[Address, int]]) -> list[Loaded]:
        """As the contract says."""
        return self._loaded(known, repeat(None))

    async def pages(self, snapshot: SnapshotRow, after: int) -> list[PageRow]:
        """As the contract says."""
        rows = self.store.pages[snapshot.address]
        newest = {row.number: row for row in rows if row.seq <= snapshot.seq}
        return [row for row in newest.values() if row.number > after and row.data][:PAGES_MAX]

    async def drop_pages(self, address: Address, seq: int) -> None:
        """As the contract says."""
        rows = self.store.pages[address]
        newest = {row.number: row for row in rows if row.seq <= seq}
        self.store.pages[address] = [
            row for row in rows if row.seq > seq or (row is newest[row.number] and row.data)
        ]

    async def outcomes(self, commands: Sequence[tuple[int, bytes]]) -> dict[bytes, OutcomeRow]:
        """As the contract says."""
        found = (self.store.outcomes.get(command) for command in commands)
        return {row.command: row for row in found if row is not None}

    async def claim(
        self, wanted: Sequence[tuple[int, int]], owner: str, incarnation: str
    ) -> list[Lease]:
        """As the contract says."""
        return self.store.claim(wanted, owner, incarnation)

    async def shards(self) -> list[ShardInfo]:
        """As the contract says."""
        return list(self.store.leases)

    async def armed_timers(self, shards: Collection[int]) -> list[Address]:
        """As the contract says."""
        wanted = frozenset(shards)
        return [address for address, shard in self.store.timers.items() if shard in wanted]

    async def history(
        self, address: Address, types: Collection[str], limit: int, before_seq: int | None = None
    ) -> list[Row]:
        """As the contract says."""
        rows = [
            row
            for row in reversed(self.store.events(address))
            if row.type in types and (before_seq is None or row.seq < before_seq)
        ]
        return rows[:limit]

    async def purge_outcomes(self, before_ms: int, limit: int) -> int:
        """As the contract says."""
        old = [key for key, row in self.store.outcomes.items() if row.at_ms < before_ms][:limit]
        for key in old:
            del self.store.outcomes[key]
        return len(old)

    async def now_ms(self) -> float | None:
        """As the contract says."""
        return None if self.store.clock is None else float(self.store.clock.now_ms())

    async def ping(self) -> None:
        """Do nothing: the store is always there."""

    connect = close = ping
