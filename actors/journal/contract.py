"""The journal, where a decision becomes true: its contract and the values that its users share.

Three implementations pass the same tests: :class:`actors.journal.memory.MemoryJournal`,
:class:`actors.journal.postgres.PostgresJournal` and, over several databases,
:class:`actors.journal.partitioned.PartitionedJournal`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
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
    pages: int = 0
    """How many pages the state has besides: of each number the newest row that is not above
    ``seq``, unless that is empty."""


class PageRow(msgspec.Struct, frozen=True, gc=False):
    """One page of a large state (:meth:`actors.behaviour.Behaviour.pages`), as it was after the
    entity's events up to and including ``seq``. It counts from the next :class:`SnapshotRow` of the
    entity on. Empty ``data`` says that there is no page of this number any more."""

    shard: int
    epoch: int
    address: Address
    number: int
    seq: int
    data: bytes


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
    pages: list[PageRow] = []
    incarnation: str = ""
    """Of the instance that decided all of it."""

    def ends(self) -> dict[int, int]:
        """Where the journal has to end for each shard with rows: at the seq before its first."""
        return {row.shard: row.seq - 1 for row in reversed(self.rows)}

    def tenures(self) -> set[tuple[int, int]]:
        """Every ``(shard, epoch)`` that something in the batch was decided under."""
        entries = (self.rows, self.outcomes, self.snapshots, self.timers, self.pages)
        return {(entry.shard, entry.epoch) for part in entries for entry in part}

    def of(self, wanted: Callable[[int], bool]) -> Batch:
        """What belongs to the shards that are wanted."""
        return Batch(
            [row for row in self.rows if wanted(row.shard)],
            [outcome for outcome in self.outcomes if wanted(outcome.shard)],
            [snapshot for snapshot in self.snapshots if wanted(snapshot.shard)],
            [timer for timer in self.timers if wanted(timer.shard)],
            [page for page in self.pages if wanted(page.shard)],
            self.incarnation,
        )


class Past(msgspec.Struct, frozen=True):
    """Names all that a shard went through by its last row: one incarnation writes under an epoch,
    and every row is written behind the one before it, so a journal that has this row of this writer
    has everything before it as well (the log matching of Raft; Ongaro and Ousterhout, 2014)."""

    seq: int = 0
    """0 for a shard without rows; the other fields say nothing then."""
    epoch: int = 0
    writer: str = ""
    """The incarnation that claimed the epoch."""


class Lease(msgspec.Struct, frozen=True):
    """A shard as its owner holds it."""

    shard: int
    epoch: int
    past: Past
    """What the journal has of it."""
    last_ms: int = 0
    """When its last row was decided; no decision of the shard is later."""

    @property
    def last_seq(self) -> int:
        """The last seq in the journal; 0 for an empty shard."""
        return self.past.seq


class ShardInfo(msgspec.Struct, frozen=True):
    """A shard as anybody may see it. ``owner`` is empty before the first claim."""

    shard: int
    epoch: int
    owner: str
    incarnation: str
    losses: int = 0
    """How often its journal was found to have lost rows."""
    lost: bool = False
    """Nobody may claim it until an operator has accepted a loss."""
    past: Past = Past()
    """Up to the row that was asked about; without rows if there is no such row."""


class Loss(msgspec.Struct, frozen=True, kw_only=True):
    """What an instance knew to be in the journal of a shard, and is no longer there."""

    shard: int
    known: Past
    """What was committed."""
    served: int
    """The epoch under which this instance served it last."""
    kept_seq: int
    """The last row of it that is still there."""
    entities: tuple[str, ...]
    """The addresses of entities that this instance knows to have lost events, at most
    :data:`ENTITIES_NAMED_MAX`."""


ENTITIES_NAMED_MAX = 100
"""Entities that a loss names; a person reads the first few, and the rows fit into one message."""


class Loaded(msgspec.Struct, frozen=True):
    """What the journal knows of one entity: a snapshot, if any, and the first events after it."""

    address: Address
    snapshot: SnapshotRow | None
    rows: Sequence[Row]
    more: bool = False
    """There may be later events than these."""


ROWS_MAX = 8_000
ROWS_EACH_MAX = 2_000
"""Events of one answer in all, and of one entity: some 10 and 3 ms of the event loop."""


def rows_each(entities: int) -> int:
    """How many events one answer holds of each of so many entities: at 200 of them 40, which is
    more than most have."""
    return min(ROWS_EACH_MAX, max(1, ROWS_MAX // max(1, entities)))


PAGES_MAX = 32
"""Pages of one answer: a megabyte."""


class JournalError(Exception):
    """The journal could not be reached, did not answer in time, or cannot do it now; ``cause`` is
    one word for that, PostgreSQL's own if there is one. For :meth:`Journal.append` it means that
    the outcome is not known."""

    def __init__(self, words: str = "", cause: str = "out_of_reach") -> None:
        super().__init__(words)
        self.cause = cause


class JournalCorruptedError(AssertionError):
    """A row is already there that only this owner could have written: a broken invariant."""


class ArchivedError(Exception):
    """Events that are asked for are not in the journal any more: they are in an archive."""


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

        Returns the shards that were *fenced*, and nothing of theirs was written: their lease is not
        the one in the batch, the journal lacks the row before their first one, or a row's time
        leads the database's clock by more than :data:`~actors.clock.SKEW_MAX_MS`. Everything of the
        other shards is durable now.
        """

    async def load(self, addresses: Sequence[Address], *, whole: bool = False) -> list[Loaded]:
        """Snapshot and later events of each address, in the order asked; of one with many events
        the first :func:`rows_each`, and :meth:`later` has more.

        With ``whole`` snapshots are left aside and every event is returned, for entities whose
        snapshot has a format that is no longer read. Raises :class:`ArchivedError` if the first of
        them may be archived.
        """

    async def later(self, known: Sequence[tuple[Address, int]]) -> list[Loaded]:
        """The events of each address above a seq that the caller has read before, in the order
        asked, without snapshots and not more of each than in :meth:`load`."""

    async def pages(self, snapshot: SnapshotRow, after: int) -> list[PageRow]:
        """The pages of a snapshot with a number above ``after``, ascending: at most
        :data:`PAGES_MAX`, and none after the last."""

    async def drop_pages(self, address: Address, seq: int) -> None:
        """Delete the rows of an entity's pages that no snapshot of this seq or a later one has."""

    async def outcomes(self, commands: Sequence[tuple[int, bytes]]) -> dict[bytes, OutcomeRow]:
        """The stored outcomes among these ``(shard, command id)`` pairs, by command id."""

    async def claim(
        self, wanted: Sequence[tuple[int, int]], owner: str, incarnation: str, above: int = 0
    ) -> list[Lease]:
        """Take over shards, given as ``(shard, epoch last seen)``; epoch 0 means never claimed.

        Each whose epoch is still the one seen gets this owner and the next epoch: above the one
        seen, all that the journal has of the shard, and ``above``, which is what the caller knows
        and the journal may have forgotten. The others are left out of the answer, which is in the
        order asked, and so are shards with a loss that is not accepted.
        """

    async def shards(self, seqs: Mapping[int, int] | None = None) -> list[ShardInfo]:
        """All shards, by number; those of ``seqs`` with what the journal has up to this seq of
        theirs."""

    async def kept(self, pasts: Mapping[int, Past]) -> dict[int, int]:
        """The last row of each of these pasts that is still there; 0 if none is."""

    async def report(self, losses: Sequence[Loss], owner: str, incarnation: str) -> Collection[int]:
        """Write down what was lost, once, by whom it was noticed, and raise the epochs of these
        shards above all that were ever served; returns the shards that nobody may claim now. Left
        out are those whose row is there after all, and those whose loss an operator has accepted
        before, under a later epoch."""

    async def armed_timers(self, shards: Collection[int]) -> list[Address]:
        """The entities of these shards that have a timer or an unfinished saga."""

    async def history(
        self, address: Address, types: Collection[str], limit: int, before_seq: int | None = None
    ) -> list[Row]:
        """The entity's events of these types, newest first, below ``before_seq`` if given."""

    async def read(self, after: Mapping[int, int], limit: int) -> list[Row]:
        """The first events of these shards above a seq each, at most so many of each; those of a
        shard stand together, in order and without a gap."""

    async def ends(self, shards: Collection[int]) -> dict[int, int]:
        """The last seq of each of these shards that is in the journal; 0 for one without events."""

    async def turn_outcomes(self, every_ms: int) -> bool:
        """Forget the oldest of three segments of outcomes and begin another, unless that was done
        less than this ago by the journal's own clock; returns whether. So each outcome is kept for
        two to three times as long, and for one even if that clock leaps ahead."""

    async def turn_journal(self, every_ms: int) -> bool:
        """Begin another segment of the journal, which can be archived whole, unless that was done
        less than this ago by the journal's own clock; returns whether."""

    async def ping(self) -> None:
        """Raise if the journal cannot be reached."""

    async def now_ms(self) -> float | None:
        """The database's clock, in milliseconds since the epoch; ``None`` if it has none. Raises
        unless the database commits: one that can only be read is of no use."""

    async def close(self) -> None:
        """Close every connection. The journal cannot be used again."""
