"""The journal, where a decision becomes true: its contract and the values that its users share.

Three implementations pass the same tests: :class:`actors.journal.memory.MemoryJournal`,
:class:`actors.journal.postgres.PostgresJournal` and, over several databases,
:class:`actors.journal.partitioned.PartitionedJournal`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

import msgspec

from actors.address import Address


class Row(msgspec.Struct, frozen=True, gc=False):
    """One event in the journal. ``(shard, seq)`` is its key; seq is gapless within a shard."""

    shard: int
    seq: int
    epoch: int
    address: Address
    type: str
    version: int
    payload: bytes
    """JSON."""
    at_ms: int
    command: bytes | None = None
    """The 16 bytes of the :class:`~actors.behaviour.CommandKey` that led to it, if any."""


class OutcomeRow(msgspec.Struct, frozen=True, gc=False):
    """The stored answer to a keyed command; kept at least 24 hours."""

    shard: int
    epoch: int
    command: bytes
    fingerprint: bytes
    reply: bytes
    at_ms: int


class SnapshotRow(msgspec.Struct, frozen=True, gc=False):
    """An entity's state after all its events up to and including ``seq``."""

    shard: int
    epoch: int
    address: Address
    seq: int
    state: bytes


class TimerEntry(msgspec.Struct, frozen=True, gc=False):
    """Says that an entity has (or no longer has) a timer or an unfinished saga, so that the next
    owner of its shard finds it without reading the journal."""

    shard: int
    epoch: int
    address: Address
    armed: bool


class Batch(msgspec.Struct):
    """What one statement writes: all of a shard's part or nothing of it."""

    rows: list[Row] = []
    outcomes: list[OutcomeRow] = []
    snapshots: list[SnapshotRow] = []
    timers: list[TimerEntry] = []
    """At most one for each address."""

    def tenures(self) -> set[tuple[int, int]]:
        """Every ``(shard, epoch)`` that something in the batch was decided under."""
        entries = (self.rows, self.outcomes, self.snapshots, self.timers)
        return {(entry.shard, entry.epoch) for part in entries for entry in part}

    def of(self, wanted: Callable[[int], bool]) -> Batch:
        """What belongs to the shards that are wanted."""
        return Batch(
            [row for row in self.rows if wanted(row.shard)],
            [outcome for outcome in self.outcomes if wanted(outcome.shard)],
            [snapshot for snapshot in self.snapshots if wanted(snapshot.shard)],
            [timer for timer in self.timers if wanted(timer.shard)],
        )


class Lease(msgspec.Struct, frozen=True):
    """A shard as its owner holds it."""

    shard: int
    epoch: int
    last_seq: int
    """The last seq in the journal; 0 for an empty shard."""
    last_ms: int = 0
    """When that was decided; no decision of the shard is later."""


class ShardInfo(msgspec.Struct, frozen=True):
    """A shard as anybody may see it. ``owner`` is empty before the first claim."""

    shard: int
    epoch: int
    owner: str
    incarnation: str


class Loaded(msgspec.Struct, frozen=True):
    """What the journal knows of one entity: a snapshot, if any, and the events after it."""

    address: Address
    snapshot: SnapshotRow | None
    rows: Sequence[Row]


class JournalError(Exception):
    """The journal could not be reached or did not answer in time. For :meth:`Journal.append` it
    means that the outcome is not known."""


class JournalCorruptedError(AssertionError):
    """A row is already there that only this owner could have written: a broken invariant."""


def part_number(shard: int, parts: int) -> int:
    """In which of so many databases a shard is: for the life of a journal."""
    return shard % parts


class Journal(Protocol):
    """Every method may raise :class:`JournalError`; none retries by itself."""

    @property
    def parts(self) -> Sequence[Journal]:
        """The databases that it is made of, each a journal of its own shards (:func:`part_number`).
        A question about shards of several fails when one of them is away."""

    async def connect(self) -> None:
        """Open what is needed for appending; without it that is done by the first append."""

    async def append(self, lane: int, batch: Batch) -> Collection[int]:
        """Write the batch in one autocommitted statement on the connection of this lane.

        Returns the shards that were *fenced*: their epoch in the journal is not the one in the
        batch, or a row's time leads the database's clock by more than
        :data:`~actors.clock.SKEW_MAX_MS`, and nothing of theirs was written. Everything of the
        other shards is durable now.
        """

    async def load(self, addresses: Sequence[Address], *, whole: bool = False) -> list[Loaded]:
        """Snapshot and later events of each address, in the order asked.

        With ``whole`` snapshots are left aside and every event is returned, for entities whose
        snapshot has a format that is no longer read.
        """

    async def later(self, known: Sequence[tuple[Address, int]]) -> list[Loaded]:
        """The events of each address above a seq that the caller has read before, in the order
        asked, without snapshots."""

    async def outcomes(self, commands: Sequence[tuple[int, bytes]]) -> dict[bytes, OutcomeRow]:
        """The stored outcomes among these ``(shard, command id)`` pairs, by command id."""

    async def claim(
        self, wanted: Sequence[tuple[int, int]], owner: str, incarnation: str
    ) -> list[Lease]:
        """Take over shards, given as ``(shard, epoch last seen)``; epoch 0 means never claimed.

        Each whose epoch is still the one seen gets epoch + 1 and this owner; the others are left
        out of the answer, which is in the order asked.
        """

    async def shards(self) -> list[ShardInfo]:
        """All shards, by number."""

    async def armed_timers(self, shards: Collection[int]) -> list[Address]:
        """The entities of these shards that have a timer or an unfinished saga."""

    async def history(
        self, address: Address, types: Collection[str], limit: int, before_seq: int | None = None
    ) -> list[Row]:
        """The entity's events of these types, newest first, below ``before_seq`` if given."""

    async def purge_outcomes(self, before_ms: int, limit: int) -> int:
        """Delete up to ``limit`` outcomes older than this; returns how many."""

    async def ping(self) -> None:
        """Raise if the journal cannot be reached."""

    async def now_ms(self) -> float | None:
        """The database's clock, in milliseconds since the epoch; ``None`` if it has none. Raises
        unless the database commits: one that can only be read is of no use."""

    async def close(self) -> None:
        """Close every connection. The journal cannot be used again."""
