"""Takes the shards that are desired here: from dead instances at once, from live ones by
hand-over."""

import asyncio
import logging
from collections.abc import Callable, Sequence

from attrs import define, field

from actors.clock import Clock
from actors.cluster.application import Stores
from actors.cluster.claims import ShardClaims
from actors.cluster.directory import ShardDirectory
from actors.cluster.handoff import HandoffRequests, ShardReleases
from actors.cluster.membership_view import MembershipView
from actors.journal.contract import JournalError
from actors.placement.contract import PlacedShard
from actors.runtime import Runtime
from actors.tasks import Tasks, comes

log = logging.getLogger(__name__)

READ_EVERY_S = 0.5
"""Between two readings of the table while shards are on the move."""

QUIET_S = 1.0
"""Between two readings when every shard is where it should be, unless something is said to have
changed: they are 256 rows, and a millisecond on each of many instances."""


@define(eq=False)
class ShardTable:
    """Reads the stored table into the directory. ``on_news``: it names an owner not heard of."""

    _stores: Stores
    _members: MembershipView
    _runtime: Runtime
    _directory: ShardDirectory
    _clock: Clock
    _on_news: Callable[[], None]
    read_s: float | None = field(default=None, init=False)
    """When the table was last read, on the monotonic clock."""

    async def read(self) -> Sequence[PlacedShard]:
        """Read all shards, and what operators want. Raises
        :class:`~actors.journal.contract.JournalError`."""
        table = await self._stores.placement.shards()
        try:
            self._members.desired = await self._stores.operations.desired_states()
        except JournalError as error:  # Only its own database is away: the last answer stands.
            log.info("what operators want cannot be read: %s", error)
        self.read_s = self._clock.monotonic()
        if [placed for placed in table if self._learn(placed)]:
            self._on_news()
        for shard, epoch in self._runtime.shards.epochs().items():
            self._directory.confirm(shard, epoch, self.read_s)
        return table

    def _learn(self, placed: PlacedShard) -> bool:
        owner, incarnation = placed.owner, placed.incarnation
        return self._directory.learn(placed.shard, owner, placed.epoch, incarnation)


@define(eq=False)
class ShardAllocator:
    """Compares the table with what this instance serves, and closes the difference."""

    _table: ShardTable
    _members: MembershipView
    _claims: ShardClaims
    _handoffs: HandoffRequests
    _releases: ShardReleases
    _kick: asyncio.Event = field(factory=asyncio.Event, init=False)
    _moving: set[int] = field(factory=set, init=False)
    """Shards being taken from their owners."""

    @property
    def moving(self) -> int:
        """How many shards are being handed over to this instance."""
        return len(self._moving)

    def kick(self) -> None:
        """Read the table now."""
        self._kick.set()

    async def run(self, tasks: Tasks) -> None:
        """Allocate until cancelled. Each hand-over is one of the tasks."""
        while True:
            quiet = False
            try:
                quiet = await self._allocate(tasks)
            except JournalError as error:
                log.info("the table of shards cannot be read: %s", error)
            await comes(self._kick, QUIET_S if quiet else READ_EVERY_S)
            self._kick.clear()

    async def _allocate(self, tasks: Tasks) -> bool:
        """Read and act; whether every shard is where it should be."""
        table = await self._table.read()
        if gained := await self._claims.claim_desired([p for p in table if self._unserved(p)]):
            log.info("claimed %d shards", gained)
        for placed in table:
            if self._to_hand_over(placed):
                self._moving.add(placed.shard)
                tasks.spawn(self._hand_over(placed), f"handoff-{placed.shard}")
        if gained := await self._claims.reclaim([p for p in table if self._abandoned(p)]):
            log.warning("claimed %d shards back that nobody came for", gained)
        return not self._releases.waiting and all(p.owner == p.desired for p in table)

    async def _hand_over(self, placed: PlacedShard) -> None:
        try:
            await self._handoffs.take(placed)
        finally:
            self._moving.discard(placed.shard)
            self._kick.set()

    # -- which shard is to be taken ------------------------------------------------------------

    def _here(self, placed: PlacedShard) -> bool:
        """Served here, or on the way."""
        return placed.shard in self._moving or self._claims.held(placed.shard)

    def _unserved(self, placed: PlacedShard) -> bool:
        """Desired here, and no live owner is to be asked for it."""
        me, owner = self._members.me, placed.owner
        if placed.desired != me.instance or self._here(placed):
            return False
        if owner == me.instance and placed.incarnation != me.incarnation:
            return True  # an earlier run's; a later run's is not granted
        if owner in ("", me.instance):
            return self._releases.claimable(placed)
        return not self._members.serves(owner)

    def _to_hand_over(self, placed: PlacedShard) -> bool:
        """Desired here, and served by another instance."""
        mine = self._members.me.instance
        return (
            placed.desired == mine
            and placed.owner not in ("", mine)
            and not self._here(placed)
            and self._members.serves(placed.owner)
        )

    def _abandoned(self, placed: PlacedShard) -> bool:
        """Released by this run for another instance that has not claimed it."""
        me = self._members.me
        return (
            placed.incarnation == me.incarnation
            and placed.desired != me.instance
            and not self._here(placed)
            and self._releases.claimable(placed)
        )
