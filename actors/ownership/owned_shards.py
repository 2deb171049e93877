"""Which shards this instance holds: claiming them, losing them, and claiming them again.

A shard leaves service in three ways. *Fenced*: the journal refused its rows, because another
instance claimed it; it is lost. *In doubt*: the journal did not say what became of a batch; the
shard is claimed again with a higher epoch, which keeps what is still on its way out of the journal,
and then the journal tells. *Crash loop*: it rests for a while and is claimed again.

Each database of the journal has rounds of its own, so that one which is away holds up nobody but
its own shards.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence

from actors.address import Address
from actors.core.commit import Commit
from actors.core.context import ShardContext
from actors.core.lane import Lane
from actors.core.replay import Folded
from actors.core.shard import Shard
from actors.core.supervision import Backoff
from actors.errors import JournalUnavailableError, NotOwnedError, OutcomeUnknownError
from actors.journal.contract import Journal, JournalError, Lease, ShardInfo, part_number
from actors.ownership.in_doubt import Missed, read_missed
from actors.ownership.partition import JournalPartition
from actors.tasks import Tasks

log = logging.getLogger(__name__)

QUIET_CHECK_S = 0.002
"""Between two looks whether a shard that is to be left has come to rest; a commit takes a few
milliseconds, and its callers wait."""

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
        self._context: ShardContext
        count = len(journal.parts)
        self.parts = [
            JournalPartition(number, count, one) for number, one in enumerate(journal.parts)
        ]
        self.lanes: list[Lane] = []
        self.shards: dict[int, Shard] = {}
        self.pending: dict[int, Reclaim] = {}
        self._left = False
        self.lost: set[int] = set()
        """Shards that another instance claimed."""

    def enter(self, context: ShardContext) -> None:
        """Meet the collaborators, which refer to each other."""
        limits = context.limits
        self._context = context
        for part in self.parts:
            part.backoff = Backoff(
                limits.journal_backoff_min_s, limits.journal_backoff_max_s, context.random.random
            )
        self.lanes = [
            Lane(number, self._journal, limits, self) for number in range(self._lane_count)
        ]

    def part_of(self, number: int) -> JournalPartition:
        """The database of this shard."""
        return self.parts[part_number(number, len(self.parts))]

    # -- what shards and loaders tell ----------------------------------------------------------

    def submit(self, commit: Commit) -> None:
        """Put a commit into its shard's lane."""
        self.lanes[commit.shard.number % self._lane_count].submit(commit)

    def fence(self, shard: Shard) -> None:
        """Close a shard that crashes in a loop, and claim it again later."""
        limits = self._context.limits
        not_before = self._context.clock.monotonic() + limits.crash_backoff_s
        self.pending[shard.number] = Reclaim(shard.number, shard, not_before)
        self._close(shard, lambda: NotOwnedError("the shard rests", limits.crash_backoff_s))
        shard.part.kick.set()

    def journal_lost(self, part: JournalPartition, error: JournalError) -> None:
        """It is away: refuse everybody who asks for its shards until it is back."""
        if part.away:
            return
        log.warning("%s is away: %s", part.name, type(error).__name__)
        part.away = True
        part.loader.pause()
        for shard in self.shards.values():
            if shard.part is part:
                shard.refuse_mail(self.unavailable)
        part.kick.set()

    def stood_still(self) -> None:
        """This process did nothing for so long that its shards may be others' by now."""
        log.warning("stood still for a while: asking the journal whose the shards are")
        self.doubt()
        if self._context.tap is not None:
            self._context.tap.stood_still()

    def doubt(self) -> None:
        """Decide and tell nothing until the journal has said whose the shards are."""
        for part in self.parts:
            part.unverified = part.suspicious = True
            part.kick.set()

    def unavailable(self) -> JournalUnavailableError:
        """What callers are told while the journal is away."""
        return JournalUnavailableError(retry_after_s=self._context.limits.journal_retry_after_s)

    # -- what the lanes tell -------------------------------------------------------------------

    def accepted(self, commits: Sequence[Commit]) -> None:
        """These are durable."""
        counters = self._context.counters
        counters.last_commit = self._context.clock.monotonic()
        for commit in commits:
            counters.rows += len(commit.rows)
            commit.shard.committed(commit)

    def fenced(self, shards: Collection[int], commits: Sequence[Commit]) -> None:
        """These were not written, because somebody else owns their shards now."""
        for commit in commits:
            commit.shard.ended(commit)
            commit.refuse(NotOwnedError)
        for shard in dict.fromkeys(commit.shard for commit in commits):
            if not shard.closed:
                self._close(shard, NotOwnedError)
                self._lose(shard.number)
        for part in {self.part_of(number) for number in shards}:
            part.suspicious = True
            part.kick.set()

    def doubtful(
        self, error: JournalError, sent: Sequence[Commit], unsent: Sequence[Commit]
    ) -> None:
        """The journal is away: ``sent`` may be written or not, ``unsent`` are not."""
        parts = {commit.shard.part for commit in (*sent, *unsent)}
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
        for part in parts:
            self.journal_lost(part, error)

    def _close(self, shard: Shard, refusal: Callable[[], Exception]) -> None:
        self.shards.pop(shard.number, None)
        shard.close(refusal)

    def _lose(self, number: int) -> None:
        log.warning("shard %d belongs to another instance now", number, extra={"shard": number})
        self._context.counters.fenced += 1
        self.lost.add(number)
        self._context.observer.lost(number)
        if self._context.tap is not None:
            self._context.tap.lost(number)

    # -- claiming ------------------------------------------------------------------------------

    def start(self) -> None:
        """Commit, and claim again what falls due, until the tasks are closed."""
        for number, lane in enumerate(self.lanes):
            self._tasks.spawn(lane.run(), f"lane-{number}")
        for part in self.parts:
            self._tasks.spawn(self._run(part), f"reclaim-{part.number}")

    async def claim(self, numbers: Iterable[int]) -> None:
        """Take these shards from whoever has them, and serve. Raises :class:`JournalError`, then
        those of other databases may be served all the same."""
        wanted = list(numbers)
        for part in self.parts:
            await self._claim_fresh(part, [n for n in wanted if self.part_of(n) is part])

    async def _claim_fresh(self, part: JournalPartition, numbers: Sequence[int]) -> None:
        async with part.claiming:
            absent = [number for number in numbers if number not in self.shards]
            fresh = [Reclaim(number) for number in absent if number not in self.pending]
            self.pending.update((reclaim.number, reclaim) for reclaim in fresh)
            try:
                await self._claim(part, fresh)
            except JournalError:
                for reclaim in fresh:
                    del self.pending[reclaim.number]
                raise

    async def _run(self, part: JournalPartition) -> None:
        """Claim shards again as they fall due, and notice when the database is back."""
        while True:
            if not (self._wanted(part) or part.away or part.suspicious):
                part.kick.clear()
                await self._wait_for_kick(part)
            try:
                if not await self._claim_due(part):
                    await asyncio.sleep(SETTLE_CHECK_S)
                    continue
            except JournalError as error:
                self.journal_lost(part, error)
                await asyncio.sleep(part.backoff.next_s())
            else:
                part.backoff.reset()
                self._back(part)

    async def _wait_for_kick(self, part: JournalPartition) -> None:
        """Wait for something to do, at most until the leases are to be looked at again."""
        try:
            async with asyncio.timeout(self._context.limits.lease_check_s):
                await part.kick.wait()
        except TimeoutError:
            part.suspicious = True

    async def _claim_due(self, part: JournalPartition) -> bool:
        """One round, if there is anything to claim or to look at."""
        async with part.claiming:
            due = self._due(part)
            if due or part.away or part.suspicious:
                await self._claim(part, due)
                return True
        return False

    def _wanted(self, part: JournalPartition) -> list[Reclaim]:
        return [one for one in self.pending.values() if self.part_of(one.number) is part]

    def _due(self, part: JournalPartition) -> list[Reclaim]:
        now = self._context.clock.monotonic()
        return [
            reclaim
            for reclaim in self._wanted(part)
            if reclaim.not_before <= now and (reclaim.old is None or reclaim.old.settled)
        ]

    def _back(self, part: JournalPartition) -> None:
        if not (part.away or part.unverified):
            return
        if part.away:
            log.warning("%s is back", part.name)
            part.loader.resume()
            part.away = False
        if not part.suspicious:
            part.unverified = False
        for shard in self.shards.values():
            if shard.part is part:
                shard.writer.rouse()

    async def _claim(self, part: JournalPartition, reclaims: Sequence[Reclaim]) -> None:
        """One round for all of them. Those not granted stay pending for the next, which sees who
        was faster."""
        wanted: list[tuple[int, int]] = []
        infos = await self._look(part)
        held = [shard for shard in self.shards.values() if shard.part is part]
        for shard in [each for each in held if self._superseded(each, infos)]:
            self._close(shard, NotOwnedError)
            self._lose(shard.number)
        for reclaim in reclaims:
            info = infos[reclaim.number]
            if reclaim.old is None or info.incarnation == self._incarnation:
                wanted.append((info.shard, info.epoch))
            else:
                del self.pending[reclaim.number]
                self._lose(reclaim.number)
        if not wanted:
            return
        leases = await part.journal.claim(wanted, self._instance, self._incarnation)
        marked = await self._marks(part, leases)
        missed = [await self._missed(part, self.pending[lease.shard]) for lease in leases]
        for lease, events in zip(leases, missed, strict=True):
            for each in events:
                self._tell_missed(each)
            self._install(lease, marked[lease.shard])

    def _tell_missed(self, missed: Missed) -> None:
        if missed.event is None:
            self._context.observer.loaded(missed.address, missed.state)
        else:
            self._context.observer.committed(missed.address, (missed.event,), missed.state)
        if self._context.tap is not None:
            self._context.tap.missed(missed.address, missed.state, missed.seq)

    async def _look(self, part: JournalPartition) -> dict[int, ShardInfo]:
        """Its shards as they are. What becomes suspicious meanwhile is not settled by an answer
        that may have been on its way before."""
        part.suspicious = False
        try:
            return {info.shard: info for info in await part.journal.shards()}
        except JournalError:
            part.suspicious = True
            raise

    async def _marks(
        self, part: JournalPartition, leases: Sequence[Lease]
    ) -> dict[int, list[Address]]:
        """The entities of these shards that want to be woken."""
        marked: dict[int, list[Address]] = {lease.shard: [] for lease in leases}
        if marked:
            for address in await part.journal.armed_timers(marked):
                marked[address.slot].append(address)
        return marked

    @staticmethod
    def _superseded(shard: Shard, infos: Mapping[int, ShardInfo]) -> bool:
        """Whether somebody claimed the shard after this instance did. What was read before our own
        latest claim has a lower epoch, and says nothing."""
        return infos[shard.number].epoch > shard.epoch

    def _install(
        self,
        lease: Lease,
        marked: Collection[Address],
        warm: Mapping[Address, Folded] | None = None,
    ) -> None:
        # The older of two writers would answer reads from its past until it wrote something.
        assert lease.shard not in self.shards, f"shard {lease.shard} is served already"
        reclaim = self.pending.pop(lease.shard, None)
        old = None if reclaim is None else reclaim.old
        began_ms = 0 if old is None else old.now_ms()
        shard = self.shards[lease.shard] = Shard(lease, self._context, began_ms)
        shard.marked.update(marked)
        shard.warm.update(warm or {})
        self.lost.discard(lease.shard)
        self._tasks.spawn(shard.writer.run(), f"shard-{lease.shard}-{lease.epoch}")
        shard.part.loader.recover(shard, marked)

    async def _missed(self, part: JournalPartition, reclaim: Reclaim) -> list[Missed]:
        """What was in doubt when the shard was closed, and is in the journal."""
        if not reclaim.doubtful:
            return []
        assert reclaim.old is not None
        addresses, known_seq = list(reclaim.doubtful), reclaim.old.committed_seq
        return await read_missed(part.journal, self._context, addresses, known_seq)

    # -- planned moves -------------------------------------------------------------------------

    async def adopt(
        self,
        part: JournalPartition,
        claim: Callable[[], Awaitable[Sequence[Lease]]],
        warm: Mapping[Address, Folded] | None = None,
    ) -> list[int]:
        """Serve the shards that ``claim`` gets in this part; returns which. ``warm`` are entities
        of theirs that were read before. Raises :class:`JournalError`; then shards may be ours in
        the journal that are not served, and have to be claimed again."""
        async with part.claiming:
            leases = [] if self._left else await claim()
            marked = await self._marks(part, leases)
            if self._left:
                return []  # Whoever takes over from this instance takes these too.
            for lease in leases:
                ready = {a: known for a, known in (warm or {}).items() if a.slot == lease.shard}
                self._install(lease, marked[lease.shard], ready)
            return [lease.shard for lease in leases]

    async def release(self, number: int, limit_s: float) -> bool:
        """Let go of a shard once everybody who waits for it has been answered; false if that took
        longer than ``limit_s``, and then it is served on. Meanwhile newcomers are refused with
        :class:`~actors.errors.NotOwnedError`, which is also raised if the shard is not ours."""
        shard = self.shards.get(number)
        if shard is None or shard.frozen:
            raise NotOwnedError
        shard.frozen = True
        ends = self._context.clock.monotonic() + limit_s
        while not shard.quiet:
            if shard.closed:
                raise NotOwnedError
            if self._context.clock.monotonic() >= ends:
                shard.frozen = False
                return False
            await asyncio.sleep(QUIET_CHECK_S)
        if shard.closed:
            raise NotOwnedError
        self._close(shard, NotOwnedError)
        return True

    # -- the end -------------------------------------------------------------------------------

    def leave(self, refusal: Callable[[], Exception]) -> None:
        """Let go of all shards, and take no more. Whatever is in the lanes is answered after they
        stopped."""
        self._left = True
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
