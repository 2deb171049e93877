"""Which shards this instance holds: claiming them, losing them, and claiming them again.

A shard leaves service in three ways. *Fenced*: the journal refused its rows, because another
instance claimed it; it is lost. *In doubt*: the journal did not say what became of a batch; the
shard is claimed again with a higher epoch, which keeps what is still on its way out of the journal,
and then the journal tells. *Crash loop*: it rests for a while and is claimed again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from actors.address import Address
from actors.commit import Commit
from actors.errors import JournalUnavailableError, NotOwnedError, OutcomeUnknownError
from actors.journal import Journal, JournalError, Lease, Loaded
from actors.lane import Lane
from actors.room import Room
from actors.shard import Shard
from actors.supervision import Backoff, where
from actors.tasks import Tasks

log = logging.getLogger(__name__)

SETTLE_CHECK_S = 0.05
"""Between two looks whether a closed shard's last commits have left the lane; a commit takes a
few milliseconds."""


class Reclaim:
    """A shard this instance wants to hold (again)."""

    __slots__ = ("doubtful", "not_before", "number", "old")

    def __init__(self, number: int, old: Shard | None = None, not_before: float = 0.0) -> None:
        self.number = number
        self.old = old
        """As it was held before; ``None`` for a shard that is taken from whoever has it."""
        self.not_before = not_before
        self.doubtful: dict[Address, None] = {}
        """Entities with rows whose fate is not known."""


class Ownership:
    """The shards of one instance. Bounded by the number of shards."""

    def __init__(
        self, journal: Journal, instance: str, incarnation: str, tasks: Tasks, lanes: int
    ) -> None:
        self._journal = journal
        self._instance = instance
        self._incarnation = incarnation
        self._tasks = tasks
        self._lane_count = lanes
        self._kick = asyncio.Event()
        self._room: Room
        self._backoff: Backoff
        self.lanes: list[Lane] = []
        self.shards: dict[int, Shard] = {}
        self.pending: dict[int, Reclaim] = {}
        self.lost: set[int] = set()
        """Shards that another instance claimed."""

    def enter(self, room: Room) -> None:
        """Meet the collaborators, which refer to each other."""
        limits = room.limits
        self._room = room
        self._backoff = Backoff(
            limits.journal_backoff_min_s, limits.journal_backoff_max_s, room.random.random
        )
        self.lanes = [
            Lane(number, self._journal, limits.batch_rows_max, self)
            for number in range(self._lane_count)
        ]

    # -- what shards and loader tell -----------------------------------------------------------

    def submit(self, commit: Commit) -> None:
        """Put a commit into its shard's lane."""
        self.lanes[commit.shard.number % self._lane_count].submit(commit)

    def fence(self, shard: Shard) -> None:
        """Close a shard that crashes in a loop, and claim it again later."""
        limits = self._room.limits
        not_before = self._room.clock.monotonic() + limits.crash_backoff_s
        self.pending[shard.number] = Reclaim(shard.number, shard, not_before)
        self._close(shard, lambda: NotOwnedError("the shard rests", limits.crash_backoff_s))
        self._kick.set()

    def journal_lost(self, error: JournalError) -> None:
        """The journal is away: refuse everybody until it is back."""
        if self._room.away:
            return
        log.warning("the journal is away: %s", type(error).__name__)
        self._room.away = True
        self._room.loader.pause()
        for shard in self.shards.values():
            shard.refuse_mail(self.unavailable)
        self._kick.set()

    def unavailable(self) -> JournalUnavailableError:
        """What callers are told while the journal is away."""
        return JournalUnavailableError(retry_after_s=self._room.limits.journal_retry_after_s)

    # -- what the lanes tell -------------------------------------------------------------------

    def accepted(self, commits: Sequence[Commit]) -> None:
        """These are durable."""
        counters = self._room.counters
        counters.last_commit = self._room.clock.monotonic()
        counters.commits += len(commits)
        for commit in commits:
            counters.rows += len(commit.rows)
            commit.shard.committed(commit)

    def fenced(self, shards: Collection[int], commits: Sequence[Commit]) -> None:
        """These were not written, because somebody else owns their shards now."""
        for commit in commits:
            commit.shard.ended(commit)
            commit.refuse(NotOwnedError)
        for shard in {commit.shard for commit in commits}:
            if not shard.closed:
                self._close(shard, NotOwnedError)
                self._lose(shard.number)

    def doubtful(
        self, error: JournalError, sent: Sequence[Commit], unsent: Sequence[Commit]
    ) -> None:
        """The journal is away: ``sent`` may be written or not, ``unsent`` are not."""
        for commit in (*sent, *unsent):
            shard = commit.shard
            shard.ended(commit)
            if not shard.closed:
                self.pending[shard.number] = Reclaim(shard.number, shard)
                self._close(shard, self.unavailable)
        for commit in sent:
            reclaim = self.pending.get(commit.shard.number)
            if reclaim is not None:
                reclaim.doubtful.update((row.address, None) for row in commit.rows)
            commit.refuse(OutcomeUnknownError)
        for commit in unsent:
            commit.refuse(self.unavailable)
        self.journal_lost(error)

    def _close(self, shard: Shard, refusal: Callable[[], Exception]) -> None:
        self.shards.pop(shard.number, None)
        shard.close(refusal)

    def _lose(self, number: int) -> None:
        log.warning("shard %d belongs to another instance now", number)
        self._room.counters.fenced += 1
        self.lost.add(number)
        self._room.observer.lost(number)

    # -- claiming ------------------------------------------------------------------------------

    async def start(self, numbers: Iterable[int]) -> None:
        """Claim these shards from whoever has them, and serve."""
        for lane in self.lanes:
            self._tasks.spawn(lane.run(), f"lane-{self.lanes.index(lane)}")
        fresh = [Reclaim(number) for number in numbers]
        self.pending.update((reclaim.number, reclaim) for reclaim in fresh)
        await self._claim(fresh)
        self._tasks.spawn(self._run(), "reclaim")

    async def _run(self) -> None:
        """Claim shards again as they fall due, and notice when the journal is back."""
        while True:
            if not self.pending and not self._room.away:
                self._kick.clear()
                await self._kick.wait()
            due = self._due()
            if not due and not self._room.away:
                await asyncio.sleep(SETTLE_CHECK_S)
                continue
            try:
                await self._claim(due)
            except JournalError as error:
                self.journal_lost(error)
                await asyncio.sleep(self._backoff.next_s())
            else:
                self._backoff.reset()
                self._back()

    def _due(self) -> list[Reclaim]:
        now = self._room.clock.monotonic()
        return [
            reclaim
            for reclaim in self.pending.values()
            if reclaim.not_before <= now and (reclaim.old is None or reclaim.old.settled)
        ]

    def _back(self) -> None:
        if not self._room.away:
            return
        log.warning("the journal is back")
        self._room.away = False
        self._room.loader.resume()
        for shard in self.shards.values():
            shard.writer.rouse()

    async def _claim(self, reclaims: Sequence[Reclaim]) -> None:
        """One round for all of them. Those not granted stay pending for the next, which sees who
        was faster."""
        wanted: list[tuple[int, int]] = []
        infos = {info.shard: info for info in await self._journal.shards()}
        for reclaim in reclaims:
            info = infos[reclaim.number]
            if reclaim.old is None or info.incarnation == self._incarnation:
                wanted.append((info.shard, info.epoch))
            else:
                del self.pending[reclaim.number]
                self._lose(reclaim.number)
        if not wanted:
            return
        leases = await self._journal.claim(wanted, self._instance, self._incarnation)
        marked: dict[int, list[Address]] = {lease.shard: [] for lease in leases}
        for address in await self._journal.wakes(marked):
            marked[address.slot].append(address)
        missed = [await self._missed(self.pending[lease.shard]) for lease in leases]
        for lease, events in zip(leases, missed, strict=True):
            del self.pending[lease.shard]
            for _, address, event, state in events:
                self._room.observer.committed(address, (event,), state)
            self._install(lease, marked[lease.shard])

    def _install(self, lease: Lease, marked: Collection[Address]) -> None:
        shard = self.shards[lease.shard] = Shard(lease, self._room)
        shard.marked.update(marked)
        self.lost.discard(lease.shard)
        self._tasks.spawn(shard.writer.run(), f"shard-{lease.shard}-{lease.epoch}")
        self._room.loader.recover(shard, marked)

    async def _missed(self, reclaim: Reclaim) -> list[tuple[int, Address, Any, Any]]:
        """The events, by seq, that were in doubt and turned out to be written: the views have not
        heard of them."""
        if not reclaim.doubtful:
            return []
        assert reclaim.old is not None
        known_seq = reclaim.old.committed_seq
        addresses = list(reclaim.doubtful)
        missed: list[tuple[int, Address, Any, Any]] = []
        for start in range(0, len(addresses), self._room.limits.loads_max):
            chunk = addresses[start : start + self._room.limits.loads_max]
            for loaded in await self._journal.load(chunk, whole=True):
                missed += self._after(loaded, known_seq)
        return sorted(missed, key=lambda one: one[0])

    def _after(self, loaded: Loaded, known_seq: int) -> list[tuple[int, Address, Any, Any]]:
        behaviour = self._room.behaviours[loaded.address.kind]
        missed: list[tuple[int, Address, Any, Any]] = []
        try:
            state = behaviour.initial(loaded.address)
            for row in loaded.rows:
                event = behaviour.decode_event(row.type, row.version, row.payload)
                state = behaviour.evolve(state, event)
                if row.seq > known_seq:
                    missed.append((row.seq, loaded.address, event, state))
        except Exception as error:  # noqa: BLE001 - a broken invariant of the behaviour
            log.error("%s cannot be loaded: %s", loaded.address.text, where(error))
            self._room.counters.crashes += 1
        return missed

    # -- the end -------------------------------------------------------------------------------

    def leave(self, refusal: Callable[[], Exception]) -> None:
        """Let go of all shards. Whatever is in the lanes is answered after they stopped."""
        for shard in list(self.shards.values()):
            self._close(shard, refusal)

    def answer_unfinished(self, refusal: Callable[[], Exception]) -> None:
        """After the lanes were cancelled: nobody waits for them any more."""
        for lane in self.lanes:
            sent, unsent = lane.abandon()
            for commit in sent:
                commit.refuse(OutcomeUnknownError)
            for commit in unsent:
                commit.refuse(refusal)
