"""Whether a runtime serves as it should, and what it has counted."""

import asyncio
from collections.abc import Iterator, Mapping

import msgspec
from attrs import define, field

from actors.core.context import ShardContext
from actors.core.envelope import Deadlines, Envelope
from actors.ownership.owned_shards import OwnedShards


class RuntimeStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """The counts and gauges of a runtime at one moment."""

    shards: int
    """Owned and serving."""
    lost_shards: tuple[int, ...]
    """Fenced by another owner."""
    entities: int
    """In memory."""
    unreadable: int
    """Entities whose events could not be read; they are refused until they can."""
    mailbox_depth: int
    """External messages waiting to be decided."""
    queued_commits: int
    """Decisions waiting for the journal, sent or not."""
    in_flight: int
    """Callers waiting for an answer of a decision: those of ``queued_commits`` and of sagas."""
    turns: int
    batches: int
    """Sent to the journal."""
    rows: int
    """Events committed."""
    last_commit_age_s: float | None
    """``None`` before the first commit."""
    fenced: int
    """Shards taken away by another owner's claim."""
    losses: int
    """Times that a shard's journal was found here to have lost rows."""
    crashes: int
    refused: int
    """Asks refused at once."""
    deadlines_exceeded: int
    loads: int
    """Entities loaded."""
    timers: int
    """Entities with a timer."""
    sagas: int
    """Running."""
    machine_ahead_s: float
    """By how much the machine's wall clock is ahead of the database's clock."""
    clock_steps: int
    """Comparisons of clocks after which shards were left."""
    journal_silent_s: float
    """For how long a database of the journal has not answered, at most; 0 while all answer."""
    epochs: dict[int, int]
    """Of each owned shard."""


@define(eq=False)
class Health:
    """What is told of one runtime."""

    _context: ShardContext
    _shards: OwnedShards
    _deadlines: Deadlines
    _failed: asyncio.Future[BaseException]
    started: bool = field(default=False, init=False)
    stopping: bool = field(default=False, init=False)

    def problem(self) -> str | None:
        """Why the runtime does not serve as it should, in a few words; ``None`` if it does."""
        if self._failed.done():
            return "ended by a failure"
        if self.stopping:
            return "stopping"
        return self._shards.problem() if self.started else "not started"

    @property
    def busy(self) -> bool:
        """Whether anybody still waits for an answer that can come."""
        return (
            self._context.counters.waiting > 0
            or any(lane.pending for lane in self._shards.lanes)
            or any(not waiter.over for waiter in self._parked())
        ) and not self._failed.done()

    def _parked(self) -> Iterator[Envelope]:
        for shard in self._shards.by_number.values():
            for waiting in shard.parked.values():
                yield from waiting

    @property
    def commit_age_s(self) -> float | None:
        """Seconds since the last commit; ``None`` before the first."""
        last_commit = self._context.counters.last_commit
        return None if last_commit is None else self._context.clock.monotonic() - last_commit

    @property
    def journal_errors(self) -> Mapping[str, int]:
        """How often the journal could not be used, by cause."""
        return self._context.counters.journal_errors

    @property
    def lag_s(self) -> float:
        """How late the event loop runs what is due, in seconds."""
        return self._context.pause_detector.lag_s

    def statistics(self) -> RuntimeStatistics:
        """Counts and gauges at this moment."""
        counters, lanes, shards = self._context.counters, self._shards.lanes, self._shards.by_number
        return RuntimeStatistics(
            shards=len(shards),
            lost_shards=tuple(sorted(self._shards.lost)),
            entities=self._shards.entities.pool.size,
            unreadable=sum(len(shard.unreadable) for shard in shards.values()),
            mailbox_depth=counters.waiting,
            queued_commits=sum(lane.pending for lane in lanes),
            in_flight=sum(lane.callers for lane in lanes)
            + sum(not waiter.over for waiter in self._parked()),
            turns=counters.turns,
            batches=sum(lane.batches for lane in lanes),
            rows=counters.rows,
            last_commit_age_s=self.commit_age_s,
            fenced=counters.fenced,
            losses=counters.losses,
            crashes=counters.crashes,
            refused=counters.refused,
            deadlines_exceeded=self._deadlines.exceeded,
            loads=counters.loads,
            timers=sum(len(shard.timers) for shard in shards.values()),
            sagas=counters.sagas,
            machine_ahead_s=self._context.clock.machine_ahead_ms / 1000,
            clock_steps=counters.clock_steps,
            journal_silent_s=max(0.0, *(-each_s for each_s in self._shards.journal_answers_s)),
            epochs={number: shard.epoch for number, shard in sorted(shards.items())},
        )
