"""The journal's in-memory twin: the same contract without a database.

Several :class:`MemoryJournal` objects over one :class:`MemoryStore` are the connections of several
instances to one database. The store is what survives a crash of all of them.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from copy import copy
from itertools import repeat
from operator import attrgetter
from typing import Any

import msgspec
from msgspec.structs import replace

from actors.address import SLOT_COUNT, Address
from actors.clock import SKEW_MAX_MS, Clock
from actors.journal.contract import (
    PAGES_MAX,
    Batch,
    JournalCorruptedError,
    Lease,
    Loaded,
    Loss,
    OutcomeRow,
    PageRow,
    Past,
    Row,
    ShardInfo,
    SnapshotRow,
    rows_each,
)

_by_number = attrgetter("number", "seq")


class StoredLoss(msgspec.Struct, frozen=True):
    """A loss as the database has it."""

    loss: Loss
    incarnation: str
    """Who noticed it."""
    raised_to: int
    """The epoch of the shard from then on."""
    accepted: str = ""
    """By whom; empty before."""


class MemoryStore:
    """The tables, and the rules the database keeps: fence, keys, gapless seq. ``clock`` is the
    database's own; without one, instances go by theirs."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock
        self.leases = [ShardInfo(number, 0, "", "") for number in range(SLOT_COUNT)]
        self.rows: list[list[Row]] = [[] for _ in range(SLOT_COUNT)]
        self.outcomes: dict[tuple[int, bytes], OutcomeRow] = {}
        self.segments: list[list[tuple[int, bytes]]] = [[], [], []]
        """The keys of outcomes; those of the current segment first."""
        self._turned_ms = 0 if clock is None else clock.now_ms()
        self.snapshots: dict[Address, SnapshotRow] = {}
        self.pages: defaultdict[Address, list[PageRow]] = defaultdict(list)
        """By number and seq."""
        self.timers: dict[Address, int] = {}
        """Marked entities with their shard."""
        self.claims: list[ShardInfo] = []
        """Every claim ever granted, in order."""
        self.losses: list[StoredLoss] = []
        self._writers: dict[tuple[int, int], str] = {}
        """The incarnation that claimed an epoch of a shard."""
        self._of_entity: defaultdict[Address, list[Row]] = defaultdict(list)

    def standby(self) -> MemoryStore:
        """A copy that gets nothing of what is written from now on, as a standby that is cut
        off."""
        twin = MemoryStore()
        twin._take_over(self)
        return twin

    def promote(self, standby: MemoryStore) -> None:
        """Go on as this standby: everything that was written since it was made is lost."""
        self._take_over(standby)

    def _take_over(self, other: MemoryStore) -> None:
        for name, value in vars(other).items():
            if isinstance(value, dict | list):
                setattr(self, name, _copied(value))

    def forget(self, shard: int, after_seq: int) -> None:
        """Lose the events of one shard above a seq, and nothing else."""
        for row in self.rows[shard][after_seq:]:
            self._of_entity[row.address].remove(row)
        del self.rows[shard][after_seq:]

    def write(self, batch: Batch) -> set[int]:
        """Write all parts of live shards; return the fenced ones."""
        ends = batch.ends()
        fenced = {
            shard
            for shard, epoch in batch.tenures()
            if (self.leases[shard].epoch, self.leases[shard].incarnation)
            != (epoch, batch.incarnation)
            or ends.get(shard, 0) > len(self.rows[shard])
        }
        if self.clock is not None:
            latest_ms = self.clock.now_ms() + SKEW_MAX_MS
            fenced |= {row.shard for row in batch.rows if row.at_ms > latest_ms}
        live = batch.of(lambda shard: shard not in fenced)
        for row in live.rows:
            self._write_row(row)
        for outcome in live.outcomes:
            key = (outcome.shard, outcome.command)
            if self.outcomes.setdefault(key, outcome) is outcome:
                self.segments[0].append(key)
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
        if row.seq != len(rows) + 1:
            raise JournalCorruptedError(f"shard {row.shard}: seq {row.seq} after {len(rows)}")
        assert row.address.slot == row.shard, f"{row.address} in shard {row.shard}"
        rows.append(row)
        self._of_entity[row.address].append(row)

    def claim(
        self, wanted: Sequence[tuple[int, int]], owner: str, incarnation: str, above: int = 0
    ) -> list[Lease]:
        """Grant each shard whose epoch is still the one seen and that has no open loss."""
        leases = []
        for shard, seen in wanted:
            if self.leases[shard].epoch == seen and not self.lost(shard):
                epoch = 1 + max(seen, above, self._past(shard, len(self.rows[shard])).epoch)
                self.leases[shard] = granted = ShardInfo(shard, epoch, owner, incarnation)
                self._writers[shard, epoch] = incarnation
                self.claims.append(granted)
                rows = self.rows[shard]
                last_ms = rows[-1].at_ms if rows else 0
                leases.append(Lease(shard, epoch, self._past(shard, len(rows)), last_ms))
        return leases

    def turn_outcomes(self, every_ms: int) -> bool:
        """Forget the oldest segment, unless one was forgotten less than this ago."""
        assert self.clock is not None, "without a clock nothing is old"
        now_ms = self.clock.now_ms()
        self._turned_ms = min(self._turned_ms, now_ms)
        if now_ms - self._turned_ms < every_ms:
            return False
        for key in self.segments.pop():
            del self.outcomes[key]
        self.segments.insert(0, [])
        self._turned_ms = now_ms
        return True

    def lost(self, shard: int) -> bool:
        """Whether the shard has a loss that is not accepted."""
        return any(not stored.accepted for stored in self.losses if stored.loss.shard == shard)

    def infos(self, seqs: Mapping[int, int]) -> list[ShardInfo]:
        """All shards; those of ``seqs`` with what is there of them up to this seq."""
        infos = list(self.leases)
        for shard, seq in seqs.items():
            if seq:
                infos[shard] = replace(infos[shard], past=self._past(shard, seq))
        for shard, count in Counter(stored.loss.shard for stored in self.losses).items():
            infos[shard] = replace(infos[shard], losses=count, lost=self.lost(shard))
        return infos

    def _past(self, shard: int, seq: int) -> Past:
        if not 0 < seq <= len(self.rows[shard]):
            return Past()
        epoch = self.rows[shard][seq - 1].epoch
        return Past(seq, epoch, self._writers.get((shard, epoch), ""))

    def kept(self, shard: int, known: Past) -> int:
        """The last row of this past that is still there."""
        for seq in range(min(known.seq, len(self.rows[shard])), 0, -1):
            past = self._past(shard, seq)
            if past.epoch < known.epoch or (past.epoch, past.writer) == (known.epoch, known.writer):
                return seq
        return 0

    def report(self, loss: Loss, incarnation: str) -> bool:
        """Write a loss down, once; whether the shard has to be left alone for it."""
        shard, known = loss.shard, loss.known
        if self._past(shard, known.seq) == known:
            return False
        before = [stored for stored in self.losses if stored.loss.shard == shard]
        if any(stored.accepted and stored.raised_to > known.epoch for stored in before):
            return False
        if not any((s.incarnation, s.loss.known) == (incarnation, known) for s in before):
            epoch = 1 + max(self.leases[shard].epoch, known.epoch, loss.served)
            self.leases[shard] = ShardInfo(shard, epoch, "", "")
            self.losses.append(StoredLoss(loss, incarnation, epoch))
        return True

    def accept_losses(self, shards: Collection[int], who: str) -> None:
        """Let these shards be claimed again. A snapshot of what is lost is no use any more."""
        open_ = {shard for shard in shards if self.lost(shard)}
        self.losses = [
            replace(one, accepted=one.accepted or who) if one.loss.shard in open_ else one
            for one in self.losses
        ]
        for snapshot in list(self.snapshots.values()):
            if snapshot.shard in open_ and snapshot.seq > len(self.rows[snapshot.shard]):
                del self.snapshots[snapshot.address]
        for address, pages in self.pages.items():
            if address.slot in open_:
                pages[:] = [page for page in pages if page.seq <= len(self.rows[page.shard])]

    def events(self, address: Address, after_seq: int = 0) -> list[Row]:
        """The entity's events above ``after_seq``, oldest first."""
        rows = self._of_entity.get(address, [])
        return rows[bisect_right(rows, after_seq, key=attrgetter("seq")) :]


def _copied(value: Any) -> Any:
    """A container of containers of values that never change."""
    copied = copy(value)
    for place in range(len(value)) if isinstance(value, list) else list(value):
        if isinstance(copied[place], list):
            copied[place] = list(copied[place])
    return copied


class MemoryJournal:
    """One instance's connection to a :class:`MemoryStore`."""

    def __init__(self, store: MemoryStore | None = None) -> None:
        self.store = store if store is not None else MemoryStore()
        self.parts: Sequence[MemoryJournal] = (self,)

    async def append(self, lane: int, batch: Batch) -> Collection[int]:
        return self.store.write(batch)

    async def load(self, addresses: Sequence[Address], *, whole: bool = False) -> list[Loaded]:
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
        return self._loaded(known, repeat(None))

    async def pages(self, snapshot: SnapshotRow, after: int) -> list[PageRow]:
        rows = self.store.pages[snapshot.address]
        newest = {row.number: row for row in rows if row.seq <= snapshot.seq}
        return [row for row in newest.values() if row.number > after and row.data][:PAGES_MAX]

    async def drop_pages(self, address: Address, seq: int) -> None:
        rows = self.store.pages[address]
        newest = {row.number: row for row in rows if row.seq <= seq}
        self.store.pages[address] = [
            row for row in rows if row.seq > seq or (row is newest[row.number] and row.data)
        ]

    async def outcomes(self, commands: Sequence[tuple[int, bytes]]) -> dict[bytes, OutcomeRow]:
        found = (self.store.outcomes.get(command) for command in commands)
        return {row.command: row for row in found if row is not None}

    async def claim(
        self, wanted: Sequence[tuple[int, int]], owner: str, incarnation: str, above: int = 0
    ) -> list[Lease]:
        return self.store.claim(wanted, owner, incarnation, above)

    async def shards(self, seqs: Mapping[int, int] | None = None) -> list[ShardInfo]:
        return self.store.infos(seqs or {})

    async def kept(self, pasts: Mapping[int, Past]) -> dict[int, int]:
        return {shard: self.store.kept(shard, past) for shard, past in pasts.items()}

    async def report(self, losses: Sequence[Loss], owner: str, incarnation: str) -> Collection[int]:
        return {loss.shard for loss in losses if self.store.report(loss, incarnation)}

    async def armed_timers(self, shards: Collection[int]) -> list[Address]:
        wanted = frozenset(shards)
        return [address for address, shard in self.store.timers.items() if shard in wanted]

    async def history(
        self, address: Address, types: Collection[str], limit: int, before_seq: int | None = None
    ) -> list[Row]:
        rows = [
            row
            for row in reversed(self.store.events(address))
            if row.type in types and (before_seq is None or row.seq < before_seq)
        ]
        return rows[:limit]

    async def read(self, after: Mapping[int, int], limit: int) -> list[Row]:
        rows = self.store.rows
        return [row for shard, seq in after.items() for row in rows[shard][seq : seq + limit]]

    async def ends(self, shards: Collection[int]) -> dict[int, int]:
        return {shard: len(self.store.rows[shard]) for shard in shards}

    async def turn_outcomes(self, every_ms: int) -> bool:
        """As the contract says; without a clock nothing is old."""
        return self.store.clock is not None and self.store.turn_outcomes(every_ms)

    async def turn_journal(self, every_ms: int) -> bool:
        """It has one segment."""
        return False

    async def now_ms(self) -> float | None:
        return None if self.store.clock is None else float(self.store.clock.now_ms())

    async def ping(self) -> None:
        """Do nothing: the store is always there."""

    connect = close = ping
