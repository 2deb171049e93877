"""Takes the shards that ought to be this instance's: over from the dead, or from their owners.

The stored table says where each shard ought to be. A hand-over asks the owner to let go, which it
does once it has answered everybody; then the shard is claimed, and everybody is told. Only source,
target and database take part, each step may be repeated, and whichever of them is lost in between,
the shard is served again: the source claims it back if nobody else did, the target claims it
from a source that is gone. The epoch keeps all of that safe, whatever the order.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial

from actors.address import Address
from actors.clock import Clock
from actors.cluster.directory import Directory
from actors.cluster.histogram import Histogram
from actors.cluster.links import Links
from actors.cluster.messages import DESK, Busy, NotMine, Release, Released, Reply
from actors.cluster.operations import Handover
from actors.cluster.roster import Roster
from actors.cluster.stores import Stores
from actors.errors import EntityCrashedError, NotOwnedError, UnavailableError
from actors.journal.contract import JournalError, Lease, part_number
from actors.membership.contract import Member
from actors.placement.inputs import Pause
from actors.placement.stores.contract import PlacedShard
from actors.runtime import Runtime
from actors.tasks import Tasks

log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.5
"""Between two looks at the table when nobody says that there is something new: 256 small rows."""

RELEASE_LIMIT_S = 0.2
"""How long an owner may take to answer everybody; callers are promised 250 ms in all."""

ASK_TIMEOUT_S = 1.0
"""For the owner's word: five times that."""

BUSY_PAUSE_S = 0.5
"""Before an owner that could not let go is asked again: its callers want to get on."""

STUBBORN_S = 2.0
"""After which an owner that does not say a word is replaced without one, and after which an owner
takes a shard back that it let go and nobody claimed."""

HANDOVERS_KEPT = 200
"""Remembered hand-overs, for people and for the expected pauses of plans."""


Claim = Callable[[Sequence[tuple[int, int]]], Awaitable[list[Lease]]]
"""Takes shards over, given with the epochs that were seen."""


class ShardAllocator:
    """One instance's. ``on_gained`` is told of shards that are served from now on; ``hot`` names
    the entities of a shard that callers will want at once, to be read before it moves; ``on_news``
    is told when the table knew of a new owner before this instance had heard of it."""

    def __init__(
        self,
        me: Member,
        runtime: Runtime,
        stores: Stores,
        links: Links,
        directory: Directory,
        roster: Roster,
        clock: Clock,
        tasks: Tasks,
        *,
        on_gained: Callable[[Collection[int]], None],
        hot: Callable[[int], Sequence[Address]] = lambda shard: (),
        on_news: Callable[[], None] = lambda: None,
    ) -> None:
        self._me = me
        self._runtime = runtime
        self._journal = stores.journal
        self._placement = stores.placement
        self._operations = stores.operations
        self._links = links
        self._directory = directory
        self._roster = roster
        self._clock = clock
        self._tasks = tasks
        self._on_gained = on_gained
        self._on_news = on_news
        self._hot = hot
        self._kick = asyncio.Event()
        self._moving: dict[int, float] = {}
        """Shards being taken from their owner, and since when."""
        self._held: set[int] = set()
        """Shards that this run has had at any time."""
        self._given: dict[int, tuple[int, float]] = {}
        """Shards let go: their epoch, and when."""
        self.handovers: deque[Handover] = deque(maxlen=HANDOVERS_KEPT)
        self.claims = 0
        """Shards claimed from whoever had them."""
        self.pauses = Histogram()
        """Seconds of the hand-overs to this instance."""
        self.looked_s: float | None = None
        """When the table was last read."""
        self.table: Sequence[PlacedShard] = ()
        """As last read."""

    @property
    def moving(self) -> int:
        """Shards on their way here."""
        return len(self._moving)

    def pauses_seen(self) -> Sequence[Pause]:
        """How long the last hand-overs to this instance took: what plans expect of the next."""
        return [Pause(one.shard, one.pause_ms) for one in self.handovers]

    def giving(self, shard: int) -> bool:
        """Whether it was let go just now, for somebody who is about to claim it."""
        given = self._given.get(shard)
        return given is not None and self._clock.monotonic() - given[1] < STUBBORN_S

    def kick(self) -> None:
        """There is something new in the table."""
        self._kick.set()

    async def run(self) -> None:
        """Look, for ever."""
        while True:
            try:
                await self.look()
            except JournalError as error:
                log.info("the table of shards cannot be read: %s", error)
            try:
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._kick.wait()
            except TimeoutError:
                continue
            finally:
                self._kick.clear()

    # -- looking -------------------------------------------------------------------------------

    async def look(self) -> None:
        """Read the table, and take what is ours. Raises :class:`JournalError`."""
        self.table = table = await self._placement.shards()
        await self._hear_wishes()
        self.looked_s = self._clock.monotonic()
        news = [placed for placed in table if self._learn(placed)]
        if news:
            self._on_news()
        for shard, epoch in self._runtime.epochs().items():
            self._directory.confirm(shard, epoch, self.looked_s)
        await self._take([placed for placed in table if self._free(placed)])
        for placed in table:
            if self._to_ask(placed):
                self._moving[placed.shard] = self._clock.monotonic()
                self._tasks.spawn(self._move(placed), f"move-{placed.shard}")
        await self._take_back(table)

    async def _hear_wishes(self) -> None:
        """They are in the first database. While it alone is away, the last ones stand."""
        try:
            self._roster.wishes = await self._operations.wishes()
        except JournalError as error:
            log.info("what operators want cannot be read: %s", error)

    def _learn(self, placed: PlacedShard) -> bool:
        owner, incarnation = placed.owner, placed.incarnation
        return self._directory.learn(placed.shard, owner, placed.epoch, incarnation)

    def _mine(self, placed: PlacedShard) -> bool:
        """Claimed by this run of this instance."""
        return placed.incarnation == self._me.incarnation

    def _busy(self, shard: int) -> bool:
        return (
            shard in self._moving or self._runtime.holds(shard) or shard in self._runtime.claiming
        )

    def _free(self, placed: PlacedShard) -> bool:
        """Ours to be, and nobody is to be asked."""
        if placed.desired != self._me.instance or self._busy(placed.shard):
            return False
        owner = placed.owner
        if owner == self._me.instance and not self._mine(placed):
            # An earlier run's, to be taken; or a later run's, if this one had it before.
            return placed.shard not in self._held
        if not owner or owner == self._me.instance:
            return placed.shard not in self._given or self._overdue(placed)
        return not self._roster.serves(owner)

    def _overdue(self, placed: PlacedShard) -> bool:
        """Let go long ago, and not claimed by anybody since."""
        given = self._given.get(placed.shard)
        if given is None or given[0] != placed.epoch:
            return True
        return self._clock.monotonic() - given[1] >= STUBBORN_S

    def _to_ask(self, placed: PlacedShard) -> bool:
        return (
            placed.desired == self._me.instance
            and placed.owner not in ("", self._me.instance)
            and not self._busy(placed.shard)
            and self._roster.serves(placed.owner)
        )

    async def _take(self, free: Sequence[PlacedShard]) -> None:
        gained = await self._adopt(free, self._claim_desired)
        if gained:
            log.info("claimed %d shards", gained)

    async def _adopt(self, placed: Sequence[PlacedShard], claim: Claim) -> int:
        """Claim these, each database on its own: one that does not answer is tried again at the
        next look. Returns how many are served now."""
        epochs = {one.shard: one.epoch for one in placed}
        count = 0
        for part, shards in self._runtime.parted(epochs).items():
            wanted = [(shard, epochs[shard]) for shard in shards]
            try:
                gained = await self._runtime.adopt(partial(claim, wanted), part=part)
            except JournalError as error:
                log.info("%d shards cannot be claimed yet: %s", len(wanted), error)
                continue
            self._gained(gained)
            count += len(gained)
        return count

    async def _claim_desired(self, wanted: Sequence[tuple[int, int]]) -> list[Lease]:
        return await self._placement.claim(wanted, self._me.instance, self._me.incarnation)

    async def _take_back(self, table: Sequence[PlacedShard]) -> None:
        """What was let go for somebody who did not come."""
        abandoned = [
            placed
            for placed in table
            if self._mine(placed)
            and placed.desired != self._me.instance
            and not self._busy(placed.shard)
            and self._overdue(placed)
        ]
        if gained := await self._adopt(abandoned, self._claim):
            log.warning("claimed %d shards back that nobody came for", gained)

    async def _claim(self, wanted: Sequence[tuple[int, int]]) -> list[Lease]:
        return await self._journal.claim(wanted, self._me.instance, self._me.incarnation)

    def _gained(self, shards: Collection[int]) -> None:
        for shard in shards:
            self._given.pop(shard, None)
            self._held.add(shard)
            epoch = self._runtime.epoch_of(shard)
            self._directory.learn(shard, self._me.instance, epoch, self._me.incarnation)
            self._directory.wake(shard)
        self.claims += len(shards)
        if shards:
            self._on_gained(shards)

    # -- hand-overs ----------------------------------------------------------------------------

    async def _move(self, placed: PlacedShard) -> None:
        """Have the owner let go, and claim. What fails is tried again at the next look."""
        shard = placed.shard
        try:
            warm = await self._runtime.preload(self._hot(shard))
            began = self._clock.monotonic()
            word = await self._ask_to_release(placed)
            if isinstance(word, Busy):
                await asyncio.sleep(BUSY_PAUSE_S)
                return
            wanted = [(shard, placed.epoch)]
            part = part_number(shard, len(self._journal.parts))
            claim = partial(self._claim_desired, wanted)
            gained = await self._runtime.adopt(claim, warm, part=part)
            self._gained(gained)
            if gained and isinstance(word, Released):
                self._remember(placed, self._clock.monotonic() - began)
        except JournalError as error:
            log.warning("shard %d was let go and cannot be claimed yet: %s", shard, error)
        finally:
            self._moving.pop(shard, None)
            self._kick.set()

    async def _ask_to_release(self, placed: PlacedShard) -> Reply:
        """What the owner says; that it is not its shard if it says nothing for long."""
        began, first = self._clock.monotonic(), True
        while True:
            deadline = self._clock.monotonic() + ASK_TIMEOUT_S
            release = Release(placed.shard, placed.epoch, self._me.instance)
            try:
                answer = await self._links.ask(
                    placed.owner, DESK, release, key=None, deadline=deadline
                )
            except (UnavailableError, EntityCrashedError) as error:
                if first:
                    log.info("%s does not say whether it lets go: %s", placed.owner, error)
                first = False
            else:
                reply: Reply = answer.reply
                return reply
            if not self._roster.serves(placed.owner) or (
                self._clock.monotonic() - began >= STUBBORN_S
            ):
                return NotMine()
            await asyncio.sleep(0.05)

    def _remember(self, placed: PlacedShard, pause_s: float) -> None:
        self.pauses.add(pause_s)
        self.handovers.appendleft(
            Handover(
                shard=placed.shard,
                from_=placed.owner,
                to=self._me.instance,
                at_ms=self._clock.now_ms(),
                pause_ms=round(pause_s * 1000, 1),
            )
        )

    async def release(self, message: Release) -> Reply:
        """Another instance asks for a shard."""
        if self._runtime.epoch_of(message.shard) != message.epoch:
            return NotMine()
        try:
            if not await self._runtime.release(message.shard, RELEASE_LIMIT_S):
                log.info("shard %d does not come to rest and stays", message.shard)
                return Busy()
        except NotOwnedError:
            return NotMine()
        self._given[message.shard] = (message.epoch, self._clock.monotonic())
        return Released()
