"""One database of the journal as this instance finds it, with the claims of its shards.

Whatever waits for the journal, doubts it or pauses for it does that for one partition.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from actors.address import Address
from actors.behaviour import Folded
from actors.clock import SKEW_MAX_MS, Clock
from actors.core.context import ShardContext
from actors.core.entities import Entities
from actors.core.folding import Folding, Slices
from actors.core.loader import Loader
from actors.core.shard import Shard
from actors.core.supervision import Backoff, where
from actors.errors import NotOwnedError, PastLostError
from actors.journal.contract import (
    ENTITIES_NAMED_MAX,
    Journal,
    JournalError,
    Lease,
    Loaded,
    Loss,
    Past,
    Row,
    ShardInfo,
    part_number,
)
from actors.ownership.served import Reclaim, ServedShards
from actors.subscription import Change
from actors.tasks import comes

log = logging.getLogger(__name__)

SETTLE_CHECK_S = 0.05
"""Between two looks whether a closed shard's last commits have left the lane."""

ARMED_TOGETHER = 5_000
"""Entities with a timer that are looked at in one piece of a claim: two milliseconds."""

REFUSAL_KEPT_S = 10.0
"""How long a refused batch makes an instance unready when no other one is sent."""

SILENT_MIN_S = 2.5
"""Silent for so long, a database has missed a look (``Limits.lease_check_s``), and is not slow."""


class Reach:
    """For how long a database has answered, or has not."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since_s = self._last_s = clock.monotonic()

    def answered(self) -> None:
        """It has answered, and the shards can be served."""
        now_s = self._clock.monotonic()
        if now_s - self._last_s > SILENT_MIN_S:
            self._since_s = now_s
        self._last_s = now_s

    @property
    def answers_s(self) -> float:
        """As :attr:`JournalPartition.answers_s`."""
        silent_s = self.silent_s
        return self._last_s + silent_s - self._since_s if silent_s <= SILENT_MIN_S else -silent_s

    @property
    def silent_s(self) -> float:
        """For how many seconds it has not answered."""
        return self._clock.monotonic() - self._last_s


class JournalPartition:
    """The database of the shards of one part. ``owner``: the instance and its incarnation."""

    def __init__(
        self,
        place: tuple[int, int],
        journal: Journal,
        context: ShardContext,
        table: ServedShards,
        entities: Entities,
        owner: tuple[str, str],
    ) -> None:
        self.number, self._count = place
        self._journal = journal
        self._context = context
        self._table = table
        self._owner = owner
        self._name = (
            "the journal" if self._count == 1 else f"database {self.number + 1} of {self._count}"
        )
        limits = context.limits
        self.loader = Loader(journal, limits, entities, self.went_away)
        self._folding = Folding(journal)
        self._backoff = Backoff(
            limits.journal_backoff_min_s, limits.journal_backoff_max_s, context.random.random
        )
        self._reach = Reach(context.clock)
        self.trouble = ""
        """Why it is away, in a few words."""
        self._refusal, self._refused_s = "", 0.0
        self._suspicious = False
        """One shard was found to be lost, so all are looked at: a shard that appends nothing would
        never notice, and answer reads and repeated keys from a past that is over."""
        self._kick = asyncio.Event()
        """There is something to claim or to look at."""
        self._claiming = asyncio.Lock()
        """One round of claims at a time, so that none sees the half of another."""

    def has(self, number: int) -> bool:
        """Whether this shard is in it."""
        return part_number(number, self._count) == self.number

    @property
    def answers_s(self) -> float:
        """For how many seconds it has answered; negative: for how many it has not."""
        return self._reach.answers_s

    @property
    def away(self) -> bool:
        """Whether the database is out of reach; nothing of its shards is decided then."""
        return self.loader.away

    @property
    def unverified(self) -> bool:
        """Whether nothing of its shards is decided or told until it says whose they are."""
        return self.number in self._table.unverified

    @property
    def _held(self) -> Iterator[Shard]:
        return (shard for shard in self._table.shards.values() if self.has(shard.number))

    # -- what it is told -----------------------------------------------------------------------

    def went_away(self, error: JournalError) -> None:
        """It does not answer: refuse everybody who asks for its shards until it is back."""
        self._context.counters.journal_errors[error.cause] += 1
        if self.away:
            return
        self.trouble = str(error)
        log.warning("%s is away: %s", self._name, error)
        self.loader.pause()
        self.loader.halted = True
        for shard in self._held:
            shard.refuse_mail(self._table.unavailable)
        self._kick.set()

    def refused(self, error: JournalError) -> None:
        """It did not take a batch."""
        self._refusal, self._refused_s = str(error), self._context.clock.monotonic()
        self.went_away(error)

    def accepted(self) -> None:
        """It took a batch."""
        self._refusal = ""

    @property
    def refusal(self) -> str:
        """Why it did not take the last batch, in PostgreSQL's words, unless that is long ago."""
        age_s = self._context.clock.monotonic() - self._refused_s
        return self._refusal if age_s < REFUSAL_KEPT_S else ""

    def suspect(self, *, unverified: bool = False) -> None:
        """Ask whose its shards are, and decide and tell nothing before if they are unverified."""
        if unverified:
            self._table.unverified.add(self.number)
            self.loader.halted = True
        self._suspicious = True
        self._kick.set()

    def claim_soon(self) -> None:
        """Something waits to be claimed."""
        self._kick.set()

    # -- rounds --------------------------------------------------------------------------------

    async def run(self) -> None:
        """Claim shards again as they fall due, and notice when the database is back."""
        while True:
            if not (any(self._wanted) or self.away or self._suspicious):
                self._kick.clear()
                await self._wait_for_kick()
            try:
                if not await self._claim_due():
                    await asyncio.sleep(SETTLE_CHECK_S)
                    continue
            except JournalError as error:
                self.went_away(error)
                await asyncio.sleep(self._backoff.next_s())
            else:
                self._backoff.reset()
                self._back()

    async def _wait_for_kick(self) -> None:
        """Wait for something to do, at most until the leases are to be looked at again."""
        if not await comes(self._kick, self._context.limits.lease_check_s):
            self._suspicious = True

    async def _claim_due(self) -> bool:
        """One round, if there is anything to claim or to look at, or the last one was a while
        ago."""
        overdue = self._reach.silent_s > self._context.limits.lease_check_s
        async with self._claiming:
            if self._due() or self.away or self._suspicious or overdue:
                await self._claim()
                return True
        return False

    @property
    def _wanted(self) -> Iterator[Reclaim]:
        return (one for one in self._table.pending.values() if self.has(one.number))

    def _due(self) -> list[Reclaim]:
        now = self._context.clock.monotonic()
        return [
            reclaim
            for reclaim in self._wanted
            if reclaim.not_before <= now and (reclaim.old is None or reclaim.old.settled)
        ]

    def _back(self) -> None:
        if not (self.away or self.unverified):
            return
        if self.away:
            log.warning("%s is back", self._name)
            self.loader.resume()
        if not self._suspicious:
            self._table.unverified.discard(self.number)
        self.loader.halted = self.unverified
        for shard in self._held:
            shard.wake_writer()

    async def claim(self, numbers: Sequence[int]) -> None:
        """Take these shards from whoever has them. Raises :class:`JournalError`."""
        pending = self._table.pending
        async with self._claiming:
            absent = [number for number in numbers if number not in self._table.shards]
            fresh = [Reclaim(number) for number in absent if number not in pending]
            pending.update((reclaim.number, reclaim) for reclaim in fresh)
            try:
                await self._claim()
            except JournalError:
                for reclaim in fresh:
                    pending.pop(reclaim.number, None)
                raise

    async def _claim(self) -> None:
        """One round for all that are due; the others stay pending."""
        asked, infos = await self._look()
        for shard in list(self._held):
            if shard.number in asked:
                self._compare(shard, asked[shard.number].past, infos[shard.number])
        known = self._table.known  # Not those whose loss was accepted just now.
        gone = [n for n, lease in asked.items() if infos[n].past != lease.past and n in known]
        await self._report([n for n in gone if self._has_to_report(asked[n], infos[n])])
        for reclaim in self._wanted:
            info = infos[reclaim.number]
            if reclaim.old is not None and info.epoch > reclaim.old.epoch:
                # An append that still hangs is not told any more: the next owner's are newer.
                reclaim.old.lost = not self._is_ours(info)
        wanted, above = [], 0
        for reclaim in self._due():
            info = infos[reclaim.number]
            served = 0 if reclaim.old is None else reclaim.old.epoch
            if info.lost:
                del self._table.pending[info.shard]
            elif served == 0 or self._is_ours(info) or info.epoch <= served:
                wanted.append((info.shard, info.epoch))
                if info.epoch < served or not self._is_ours(info):
                    # The journal has forgotten our claim, of which others have heard.
                    above = max(above, served)
            else:
                del self._table.pending[info.shard]
                self._table.lose(info.shard)
        if wanted:
            await self._serve(await self._journal.claim(wanted, *self._owner, above))

    async def _serve(self, claimed: Sequence[Lease]) -> None:
        leases = await self._whole(claimed)
        armed = await self._armed(leases)
        missed = [await self._missed(self._table.pending[lease.shard]) for lease in leases]
        for lease, (changes, warm) in zip(leases, missed, strict=True):
            if self._table.left:
                return
            for change in changes:
                self._tell_missed(change)
            self._table.install(lease, self.loader, armed[lease.shard], warm)

    def _is_ours(self, info: ShardInfo) -> bool:
        return info.incarnation == self._owner[1]

    async def _look(self) -> tuple[dict[int, Lease], dict[int, ShardInfo]]:
        """Its shards as they are, and those whose past is known here. What becomes suspicious
        meanwhile is not settled by an answer that may have been on its way before."""
        self._suspicious = False
        known, unchecked = self._table.known, self._table.unchecked
        asked = {number: lease for number, lease in known.items() if self.has(number)}
        unchecked |= asked.keys()
        asked |= {shard.number: self._table.lease_of(shard) for shard in self._held}
        try:
            infos, _ = await asyncio.gather(
                self._journal.shards({n: lease.past.seq for n, lease in asked.items()}),
                self._compare_clocks(),
            )
        except JournalError:
            self._suspicious = True
            raise
        self._reach.answered()
        for number, lease in asked.items():
            if known.get(number) is lease and infos[number].past == lease.past:
                unchecked.discard(number)
        self._table.learn_losses(info for info in infos if self.has(info.shard))
        return asked, {info.shard: info for info in infos}

    async def _compare_clocks(self) -> None:
        """All decisions of an instance go by the clock of the first database; the others have to
        agree with it. Whatever was decided by a clock that was wrong is not to be trusted: the
        shards are left until the clocks agree."""
        clock = self._context.clock
        sent_s = clock.monotonic()
        told_ms = await self._journal.now_ms()
        if told_ms is None:
            return
        compare = clock.compare if self.number == 0 else clock.ahead_ms
        ahead_ms = compare(told_ms, sent_s)
        if abs(ahead_ms) > SKEW_MAX_MS:
            self._context.counters.clock_steps += 1
            raise JournalError(f"its clock and this instance's were {abs(ahead_ms):.0f} ms apart")

    # -- whether the journal still has what it had ---------------------------------------------

    def _compare(self, shard: Shard, past: Past, info: ShardInfo) -> None:
        """Leave a served shard if the journal says otherwise than its memory. Somebody else's claim
        has a higher epoch. With a lower one, or the same of another incarnation, it is ours that
        the journal has forgotten: so it is made again, above both."""
        if info.lost or info.past != past:
            self._table.reclaim(shard, PastLostError)
        elif info.epoch > shard.epoch:
            shard.lost = True
            self._table.close(shard, NotOwnedError)
            self._table.lose(shard.number)
        elif info.epoch < shard.epoch or not self._is_ours(info):
            log.error("the journal has forgotten that shard %d was claimed here", shard.number)
            self._table.reclaim(shard, NotOwnedError)

    async def _whole(self, leases: Sequence[Lease]) -> Sequence[Lease]:
        """Those of shards just claimed that have all that was ever committed to them here."""
        known = {lease.shard: self._table.known.get(lease.shard, lease) for lease in leases}
        doubtful = {x.shard: known[x.shard].past for x in leases if known[x.shard].past != x.past}
        if not any(past.seq for past in doubtful.values()):
            return leases
        infos = await self._journal.shards({n: past.seq for n, past in doubtful.items()})
        closed = await self._report([n for n, past in doubtful.items() if infos[n].past != past])
        return [lease for lease in leases if lease.shard not in closed]

    def _has_to_report(self, known: Lease, info: ShardInfo) -> bool:
        """Whether nobody else reports this loss, or has done so: who told of it does if it owns the
        shard still, and it knows more."""
        told = (info.epoch, info.incarnation) == (known.epoch, known.past.writer)
        return known.shard in self._table.pending or not (info.lost or told)

    async def _report(self, gone: Sequence[int]) -> Collection[int]:
        """Write the losses down; those that now wait for an operator."""
        if not gone:
            return ()
        known = {number: self._table.known[number] for number in gone}
        kept = await self._journal.kept({n: lease.past for n, lease in known.items()})
        losses = [self._loss(known[number], kept[number]) for number in gone]
        waiting = await self._journal.report(losses, *self._owner)
        for loss in losses:
            self._table.forget_past(loss.shard, self._table.losses.get(loss.shard, 0) + 1)
            if loss.shard not in waiting:
                del self._table.known[loss.shard]
            else:
                self._table.pending.pop(loss.shard, None)
                self._table.waiting.add(loss.shard)
                self._context.counters.losses += 1
                log.critical(
                    "the journal of shard %d has lost seqs %d to %d, which were committed: nobody"
                    " serves it until an operator accepts the loss; entities seen to lose events:"
                    " %s",
                    loss.shard,
                    loss.kept_seq + 1,
                    loss.known.seq,
                    ", ".join(loss.entities) or "none in memory",
                    extra={"shard": loss.shard},
                )
        self._suspicious = True
        return waiting

    def _loss(self, known: Lease, kept_seq: int) -> Loss:
        reclaim = self._table.pending.get(known.shard)
        seqs = reclaim.old.last_seqs if reclaim is not None and reclaim.old is not None else ()
        entities = sorted(address.text for address, seq in seqs if seq > kept_seq)
        return Loss(
            shard=known.shard,
            known=known.past,
            served=known.epoch,
            kept_seq=kept_seq,
            entities=tuple(entities[:ENTITIES_NAMED_MAX]),
        )

    async def _armed(self, leases: Sequence[Lease]) -> dict[int, dict[Address, None]]:
        """The entities of these shards that have a timer entry."""
        armed: dict[int, dict[Address, None]] = {lease.shard: {} for lease in leases}
        slices = Slices(ARMED_TOGETHER)
        for address in await self._journal.armed_timers(armed) if armed else ():
            if address.kind in self._context.behaviours:
                armed[address.slot][address] = None
            else:
                # Of a newer release, which will find it again.
                log.warning("%s has a timer, and a kind that is not known here", address.text)
            await slices.worked(1)
        return armed

    async def _missed(self, reclaim: Reclaim) -> tuple[list[Change], dict[Address, Folded]]:
        """What was in doubt when the shard was closed, and is in the journal, in the order of seqs;
        and the entities that were read for it. One that cannot be read is left out, as any other
        that crashes."""
        missed, warm = list[Change](), dict[Address, Folded]()
        addresses, limits = list(reclaim.doubtful), self._context.limits
        for start in range(0, len(addresses), limits.loads_max):
            for loaded in await self._journal.load(addresses[start : start + limits.loads_max]):
                assert reclaim.old is not None
                try:
                    found, folded = await self._missed_of(loaded, reclaim.old.committed_seq)
                except JournalError:
                    raise
                except Exception as error:  # noqa: BLE001 - a broken invariant of the behaviour
                    log.error("%s cannot be loaded: %s", loaded.address.text, where(error))
                    self._context.counters.crashes += 1
                    continue
                missed += found
                warm[loaded.address] = folded
        return sorted(missed, key=lambda one: one.seq), warm

    async def _missed_of(self, loaded: Loaded, known_seq: int) -> tuple[list[Change], Folded]:
        """What the entity has after ``known_seq``, one event a change; a change without events says
        that only the state is known, because a snapshot hides them."""
        address, missed = loaded.address, list[Change]()

        def tell(folded: Folded, row: Row, event: Any) -> None:
            if row.seq > known_seq:
                missed.append(Change(address, folded.state, row.epoch, row.seq, [event], [row]))

        behaviour = self._context.behaviours[address.kind]
        folded = await self._folding.fold(behaviour, loaded, told=tell)
        if loaded.snapshot is not None and folded.from_seq > known_seq:
            missed = [Change(address, folded.state, loaded.snapshot.epoch, folded.seq)]
        return missed, folded

    def _tell_missed(self, missed: Change) -> None:
        for subscription in self._context.subscriptions:
            if missed.events:
                subscription.committed(missed)
            else:
                subscription.loaded(missed.address, missed.state, missed.seq, missed.epoch)

    async def adopt(
        self,
        claim: Callable[[], Awaitable[Sequence[Lease]]],
        warm: Mapping[Address, Folded],
    ) -> list[int]:
        """Serve the shards that ``claim`` gets; returns which. ``warm``: read before. Raises
        :class:`JournalError`; then they have to be claimed again."""
        async with self._claiming:
            leases = [] if self._table.left else await self._whole(await claim())
            armed = await self._armed(leases)
            if self._table.left:
                return []  # Whoever takes over from this instance takes these too.
            for lease in leases:
                ready = {a: known for a, known in warm.items() if a.slot == lease.shard}
                self._table.install(lease, self.loader, armed[lease.shard], ready)
            return [lease.shard for lease in leases]
