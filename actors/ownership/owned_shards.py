"""The shards that this instance owns: claiming them, losing them, and claiming them again.

A shard leaves service *fenced* (another instance claimed it), *past lost* (the journal lost rows;
an operator has to accept that), *in doubt* (the journal did not say what became of a batch; it is
claimed again under a higher epoch, and then the journal tells), or after a *crash loop*, for a
rest.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from itertools import chain, islice

from actors.address import Address
from actors.behaviour import Folded
from actors.core.context import ShardContext
from actors.core.entities import Entities
from actors.core.lane import Lane
from actors.core.sagas import Sagas
from actors.core.shard import Commit, Shard
from actors.core.writer import Writer
from actors.errors import NotOwnedError, OutcomeUnknownError, PastLostError
from actors.journal.contract import Journal, JournalError, Lease, Past, part_number
from actors.ownership.partition import JournalPartition
from actors.ownership.served import ServedShards
from actors.tasks import Tasks

log = logging.getLogger(__name__)

QUIET_CHECK_S = 0.002
"""Between two looks whether a shard that is to be left has come to rest."""


SAVED_MAX = 100
"""Entities of a shard that get a snapshot before it is handed over: two milliseconds."""


class OwnedShards:
    """The shards of one instance."""

    def __init__(
        self,
        journal: Journal,
        context: ShardContext,
        sagas: Sagas,
        tasks: Tasks,
        owner: tuple[str, str],
        lanes: int,
    ) -> None:
        self._context = context
        self._tasks = tasks
        self.entities = Entities(context, sagas, self._rest, self._overtaken)
        self._writer = Writer(context, self.entities, sagas)
        self.incarnation = owner[1]
        self._table = ServedShards(context, self.entities, self._writer, tasks, self.incarnation)
        self.by_number = self._table.shards
        """Those that are served here, for the way of a message."""
        self._table.lanes = self.lanes = [
            Lane(number, journal, context.limits, self) for number in range(lanes)
        ]
        count = len(journal.parts)
        self._parts = [
            JournalPartition((number, count), one, context, self._table, self.entities, owner)
            for number, one in enumerate(journal.parts)
        ]

    def _part_of(self, number: int) -> JournalPartition:
        return self._parts[part_number(number, len(self._parts))]

    def _rest(self, shard: Shard) -> None:
        """Close a shard that crashes in a loop, and claim it again later."""
        limits = self._context.limits
        self._table.reclaim(shard, lambda: NotOwnedError("the shard rests", limits.crash_backoff_s))
        rests_until = self._context.clock.monotonic() + limits.crash_backoff_s
        self._table.pending[shard.number].not_before = rests_until
        self._part_of(shard.number).claim_soon()

    def _overtaken(self, shard: Shard) -> None:
        """Close a shard that somebody else has written to, and find out whose it is."""
        self._table.reclaim(shard, NotOwnedError)
        self._part_of(shard.number).suspect()

    # -- what the lanes tell -------------------------------------------------------------------

    def accepted(self, commits: Sequence[Commit]) -> None:
        """These are durable."""
        counters = self._context.counters
        counters.last_commit = self._context.clock.monotonic()
        if commits:
            self._part_of(commits[0].shard.number).accepted()
        for commit in commits:
            counters.rows += len(commit.rows)
            self._writer.committed(commit)

    def fenced(self, shards: Collection[int], commits: Sequence[Commit]) -> None:
        """These were not written; whose the shards are, the next look at the journal tells."""
        for commit in commits:
            commit.shard.ended(commit)
            commit.refuse(NotOwnedError)
        for shard in dict.fromkeys(commit.shard for commit in commits):
            if not shard.closed:
                self._table.reclaim(shard, NotOwnedError)
        for part in {self._part_of(number) for number in shards}:
            part.suspect()

    def doubtful(
        self, error: JournalError, sent: Sequence[Commit], unsent: Sequence[Commit]
    ) -> None:
        """The journal is away: ``sent`` may be written or not, ``unsent`` are not."""
        pending, unavailable = self._table.pending, self._table.unavailable
        for commit in (*sent, *unsent):
            shard = commit.shard
            shard.ended(commit)
            if not shard.closed:
                self._table.reclaim(shard, unavailable)
        for commit in sent:
            reclaim = pending.get(commit.shard.number)
            if reclaim is not None:
                reclaim.doubtful.update((row.address, None) for row in commit.rows)
            commit.refuse(OutcomeUnknownError)
        for commit in unsent:
            commit.refuse(unavailable)
        for part in {self._part_of(commit.shard.number) for commit in (*sent, *unsent)}:
            part.refused(error)

    # -- taking shards -------------------------------------------------------------------------

    def start(self) -> None:
        """Commit, load, and claim again what falls due, until the tasks are closed."""
        for number, lane in enumerate(self.lanes):
            self._tasks.spawn(lane.run(), f"lane-{number}")
        for part in self._parts:
            self._tasks.spawn(part.run(), f"reclaim-{part.number}")
            for number in range(self._context.limits.loaders):
                self._tasks.spawn(part.loader.run(), f"loader-{part.number}-{number}")
            self._tasks.spawn(part.loader.run_large(), f"loader-{part.number}-large")
        self._tasks.spawn(self.entities.snapshots.run(), "snapshots")
        self._context.pause_detector.start(self._stood_still)

    async def claim(self, numbers: Iterable[int]) -> None:
        """Take these shards from whoever has them, and serve. Raises :class:`JournalError`; those
        of other databases may be served all the same."""
        wanted = list(numbers)
        for part in self._parts:
            await part.claim([number for number in wanted if part.has(number)])

    def claimable(self, numbers: Iterable[int]) -> list[list[int]]:
        """These in groups that can be claimed on their own, if they can be now."""
        wanted = [n for n in numbers if n not in self._table.waiting]
        groups = ([n for n in wanted if part.has(n)] for part in self._parts if not part.away)
        return [group for group in groups if group]

    async def adopt(
        self,
        claim: Callable[[], Awaitable[Sequence[Lease]]],
        wanted: Sequence[int],
        warm: Mapping[Address, Folded] | None = None,
    ) -> list[int]:
        """Serve those shards of one group of :meth:`claimable` that ``claim`` gets; returns which.
        ``warm`` is what :meth:`preload` read of them. Raises :class:`JournalError`; then shards may
        be ours in the journal that are not served, and have to be claimed again."""
        return await self._part_of(wanted[0]).adopt(claim, warm or {})

    async def preload(self, addresses: Sequence[Address]) -> dict[Address, Folded]:
        """Read entities of a shard that is about to come. Raises :class:`JournalError`."""
        if not addresses:
            return {}
        loader = self._part_of(addresses[0].slot).loader
        return await loader.preload(addresses, self._context.behaviours)

    # -- letting go ----------------------------------------------------------------------------

    async def release(self, number: int, limit_s: float) -> bool:
        """Let go of a shard once everybody who waits for it has been answered; false if that took
        longer than ``limit_s``, and then it is served on. Meanwhile newcomers are refused with
        :class:`~actors.errors.NotOwnedError`, which is also raised if the shard is not ours."""
        shard = self.by_number.get(number)
        if shard is None or shard.frozen:
            raise NotOwnedError
        some = islice(chain(shard.resting.values(), shard.changed.values()), SAVED_MAX)
        self.entities.snapshots.save(shard, list(some))
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
        self._table.close(shard, NotOwnedError)
        return True

    async def leave(self, refusal: Callable[[], Exception]) -> None:
        """Let go of all shards, take no more; lanes are answered after they stopped."""
        self._table.left = True
        for shard in list(self.by_number.values()):
            if not shard.closed:
                self._table.close(shard, refusal)
            await asyncio.sleep(0)

    def answer_unfinished(self, refusal: Callable[[], Exception]) -> None:
        """After the lanes were cancelled: nobody waits for them any more."""
        for lane in self.lanes:
            sent, unsent = lane.abandon()
            for commit in sent:
                commit.refuse(OutcomeUnknownError)
            for commit in unsent:
                commit.refuse(refusal)

    # -- which there are -----------------------------------------------------------------------

    def epoch_of(self, number: int) -> int:
        """The epoch under which this instance serves the shard now; 0 if it does not."""
        shard = self.by_number.get(number)
        return 0 if shard is None or shard.frozen else shard.epoch

    def holds(self, number: int) -> bool:
        """Whether the shard is here, also if it is on the move already."""
        return number in self.by_number

    def epochs(self) -> dict[int, int]:
        """The epochs of all shards that are served here."""
        return {n: shard.epoch for n, shard in self.by_number.items() if not shard.frozen}

    def committed(self) -> dict[int, tuple[int, int]]:
        """Of all shards that are served here, the epoch and the last seq that is committed."""
        return {
            n: (shard.epoch, shard.committed_seq)
            for n, shard in self.by_number.items()
            if not shard.frozen
        }

    def told(self) -> list[tuple[int, int]] | None:
        """The shards that others may hear are served here, with their epochs; ``None`` while
        nothing is certain."""
        if not self.trustworthy:
            return None
        return [(n, epoch) for n, epoch in self.epochs().items() if self.trusts(n)]

    def ends(self) -> list[tuple[int, int, int]]:
        """The last seq that each shard served here committed under its epoch, as others are to
        :meth:`hear` of it."""
        return [
            (number, shard.epoch, shard.committed_seq)
            for number, shard in self.by_number.items()
            if shard.committed_seq > shard.began.seq
        ]

    def hear(self, number: int, past: Past) -> None:
        """The owner of a shard says what it has committed."""
        self._table.hear(number, past)

    def turns(self) -> dict[int, tuple[int, int]]:
        """Of each shard: messages decided since it was claimed, and entities in memory."""
        return {n: (shard.turns, len(shard.activations)) for n, shard in self.by_number.items()}

    @property
    def claiming(self) -> frozenset[int]:
        """Shards that were ours a moment ago and are being claimed again."""
        return frozenset(self._table.pending)

    @property
    def lost(self) -> frozenset[int]:
        """Shards that another instance claimed."""
        return frozenset(self._table.lost)

    # -- trust ---------------------------------------------------------------------------------

    def _stood_still(self) -> None:
        log.warning("stood still for a while: asking the journal whose the shards are")
        self.doubt()
        for subscription in self._context.subscriptions:
            subscription.stood_still()

    def doubt(self) -> None:
        """Decide and tell nothing until the journal has said whose the shards are."""
        for part in self._parts:
            part.suspect(unverified=True)

    @property
    def verified(self) -> bool:
        """Whether all that is known of the shards may be told, as mostly: each read asks."""
        jumped = self._context.pause_detector.jumped(self._context.clock.monotonic())
        return not (jumped or self._table.unverified)

    @property
    def trustworthy(self) -> bool:
        """False after a pause or :meth:`doubt`, until a database of the journal has said whose its
        shards are."""
        return self.verified or len(self._table.unverified) < len(self._parts)

    def trusts(self, number: int) -> bool:
        """Whether what is known of this shard may be told: as :attr:`trustworthy`, by the one
        database that has it."""
        return self.verified or not self._part_of(number).unverified

    @property
    def waiting(self) -> Collection[int]:
        """Shards that wait for an operator to accept that the journal lost rows."""
        return self._table.waiting

    def check_past(self, number: int) -> None:
        """Raises :class:`~actors.errors.PastLostError` while the shard waits for an operator."""
        if number in self._table.waiting:
            raise PastLostError

    def check_journal(self, number: int) -> None:
        """Raises JournalUnavailableError while it is away, and as :meth:`check_past`."""
        self.check_past(number)
        if self._part_of(number).away:
            raise self._table.unavailable()

    @property
    def looking(self) -> bool:
        """Whether the journal is being asked, so that :attr:`trustworthy` is worth a wait."""
        return any(not self._parts[number].away for number in self._table.unverified)

    @property
    def journal_away(self) -> bool:
        """Whether any database of the journal is out of reach."""
        return any(part.away for part in self._parts)

    @property
    def journal_refusal(self) -> str:
        """Why no database took its last batch; empty if one of them did."""
        refusals = [part.refusal for part in self._parts]
        return refusals[0] if all(refusals) else ""

    @property
    def journal_answers_s(self) -> tuple[float, ...]:
        """For how many seconds each database has answered; negative: has not."""
        return tuple(round(part.answers_s, 1) for part in self._parts)

    def problem(self) -> str | None:
        """Why shards are not served, in a few words; one database away of several is no reason."""
        if all(part.away for part in self._parts):
            return f"the journal is out of reach: {self._parts[0].trouble}"
        unclaimed = sum(not self._part_of(number).away for number in self._table.pending)
        return f"{unclaimed} shards not claimed" if unclaimed else None
