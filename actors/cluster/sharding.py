"""Cluster sharding: how shards get to the instances that ought to serve them.

The coordinator writes where; allocators take shards; the directory tells who owns what.
"""

import logging
from collections.abc import Callable, Collection, Sequence

from actors.address import Address
from actors.clock import Clock
from actors.cluster.allocator import ShardAllocator, ShardTable
from actors.cluster.application import ClusterOptions, Stores
from actors.cluster.claims import ShardClaims
from actors.cluster.control import ControlChannel
from actors.cluster.control_messages import PlacementChanged, ReleaseShard
from actors.cluster.coordinator import ClusterPlanner, ShardCoordinator
from actors.cluster.directory import ShardDirectory
from actors.cluster.handoff import HandoffRequests, ShardReleases
from actors.cluster.membership_view import MembershipView
from actors.cluster.partition_detector import PartitionDetector
from actors.election.leadership import Leader
from actors.replication.streams import ReplicationUpdate
from actors.runtime import Runtime
from actors.tasks import Tasks

log = logging.getLogger(__name__)


class ClusterSharding:
    """One instance's parts of it, and how they wake each other. ``hot`` names what callers of a
    shard want at once; ``on_gained`` is called with shards that are served here from now on."""

    def __init__(
        self,
        stores: Stores,
        runtime: Runtime,
        members: MembershipView,
        control: ControlChannel,
        clock: Clock,
        *,
        options: ClusterOptions,
        hot: Callable[[int], Sequence[Address]],
        on_gained: Callable[[Collection[int]], None],
    ) -> None:
        self._runtime = runtime
        self._clock = clock
        self.directory = ShardDirectory()
        self.releases = ShardReleases(runtime, clock)
        table = ShardTable(stores, members, runtime, self.directory, clock, self._on_news)
        self.claims = ShardClaims(members.me, stores, runtime, self.directory, on_gained)
        self.handoffs = HandoffRequests(runtime, members, control, self.claims, clock, hot)
        self.allocator = ShardAllocator(table, members, self.claims, self.handoffs, self.releases)
        self.leader = Leader(
            stores.election,
            stores.placement,
            members.me.incarnation,
            clock,
            on_elected=lambda term: self._on_news(),
            fit=lambda: not members.cut_off(members.me.instance),
            times=options.times,
        )
        self.planner = ClusterPlanner(stores, members, options.rules, self.handoffs.observed_pauses)
        self.coordinator = ShardCoordinator(
            self.planner, stores, clock, lambda: self.leader.term, control.announce_placement
        )
        self._detector = PartitionDetector(runtime, members, control, table, clock)
        control.on(PlacementChanged, lambda message: self.kick())
        control.answer(ReleaseShard, self.releases.release)

    def _on_news(self) -> None:
        self.coordinator.kick()

    def start(self, tasks: Tasks) -> None:
        """Take part in the election, take shards, and watch for a partition."""
        tasks.spawn(self.leader.run(), "leader")
        tasks.spawn(self.allocator.run(tasks), "allocator")
        tasks.spawn(self.coordinator.run(), "coordinator")
        tasks.spawn(self._detector.run(), "partition-detector")

    def kick(self) -> None:
        """Look at the stored placement now: it has changed."""
        self.allocator.kick()
        self.coordinator.kick()

    def membership_changed(self) -> None:
        """Look at the stored placement now: an instance joined, left or changed."""
        self.coordinator.membership_changed()
        self.allocator.kick()

    def on_ownership(self, update: ReplicationUpdate) -> None:
        """An owner publishes which shards it serves."""
        now_s = self._clock.monotonic()
        for shard, epoch in update.owned or ():
            if 0 < self._runtime.shards.epoch_of(shard) < epoch:
                log.warning("%s says that it owns shard %d", update.instance, shard)
                self._runtime.shards.doubt()
            if self.directory.learn(shard, update.instance, epoch, update.incarnation):
                self.coordinator.kick()
            self.directory.confirm(shard, epoch, now_s)
