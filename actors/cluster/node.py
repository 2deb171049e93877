"""One instance of a cluster: a runtime that serves its shards, and all that connects it to
others."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection

from actors.address import Address
from actors.behaviour import Behaviour
from actors.clock import Clock, DatabaseClock
from actors.cluster.admin import ClusterAdmin
from actors.cluster.application import Application, ClusterOptions, Stores
from actors.cluster.control import ControlChannel
from actors.cluster.control_messages import (
    CONTROL_KIND,
    ApplicationMessage,
    ControlCodec,
)
from actors.cluster.heartbeat import Heartbeat
from actors.cluster.membership_view import MembershipView
from actors.cluster.router import Router, ShardAvailability
from actors.cluster.sharding import ClusterSharding
from actors.errors import UnavailableError
from actors.journal.contract import Past
from actors.membership.announcements import Announcements
from actors.membership.contract import Member
from actors.replication.replicas import ReplicationPublisher, ViewReplicas
from actors.replication.streams import (
    FIRST,
    LATER,
    ReplicationUpdate,
    UpdateStreams,
    convert_change,
)
from actors.runtime import Runtime
from actors.tasks import Tasks
from actors.transport import Answer, Request, Transport

log = logging.getLogger(__name__)

DRAIN_CHECK_S = 0.05
DRAIN_MAX_S = 12.0
"""For handing everything over: 256 shards at two at a time take a few seconds."""

_CODEC = ControlCodec()

MakeLinks = Callable[[Callable[[str], str | None], Callable[[str], Behaviour]], Transport]
"""Makes the links, given where an instance listens and which behaviour encodes a kind."""


class ClusterNode:
    """Its parts are attributes, joined by callbacks to the node."""

    def __init__(
        self,
        member: Member,
        stores: Stores,
        application: Application,
        clock: Clock,
        make_links: MakeLinks,
        options: ClusterOptions | None = None,
    ) -> None:
        options = options or ClusterOptions()
        clock = DatabaseClock.over(clock)
        self._tasks = tasks = Tasks(f"{member.instance}/cluster")
        self._heard: set[str] = set()
        """Runs of other instances whose streams are known here from the beginning."""
        self.runtime = self._make_runtime(member, stores, application, clock, options)
        self.members = MembershipView(member, self._connected)
        links = make_links(self.members.url_of, self.behaviour_of)
        self.control = ControlChannel(member.instance, links, clock, tasks)
        announcements = Announcements(stores.membership, stores.standby, clock)
        self.heartbeat = Heartbeat(
            member, announcements, self.members, self.runtime, clock, self._membership_changed
        )
        self.sharding = ClusterSharding(
            stores,
            self.runtime,
            self.members,
            self.control,
            clock,
            options=options,
            hot=application.hot,
            on_gained=lambda shards: self._gained(shards, application.on_gained),
        )
        directory = self.sharding.directory
        self.availability = ShardAvailability(
            self.runtime, directory, self.members, clock, self.sharding.releases.recent
        )
        self.router = Router(member.instance, self.runtime, links, directory, clock, tasks)
        self.runtime.sagas.ask_anywhere = self.router.forward
        self.replication = self._make_replication(member, stores, application, clock)
        self.admin = ClusterAdmin(
            self.sharding.planner,
            stores,
            clock,
            self.sharding.leader.view,
            self.sharding.handoffs,
            self._announce_placement,
        )
        self._handle_messages(application)

    def _make_runtime(
        self,
        member: Member,
        stores: Stores,
        application: Application,
        clock: Clock,
        options: ClusterOptions,
    ) -> Runtime:
        return Runtime(
            instance=member.instance,
            incarnation=member.incarnation,
            behaviours=application.behaviours,
            journal=stores.journal,
            clock=clock,
            limits=options.limits,
            subscriptions=application.subscriptions,
            lanes=options.lanes,
        )

    def _make_replication(
        self, member: Member, stores: Stores, application: Application, clock: Clock
    ) -> ReplicationPublisher:
        runtime = self.runtime
        replicas = ViewReplicas(
            application.replicated,
            self.behaviour_of,
            application.subscriptions,
            stores.journal,
            lambda address: runtime.shards.holds(address.slot),
        )
        streams = UpdateStreams(
            member,
            self.control.tell,
            clock,
            self._tasks,
            owned=runtime.shards.told,
            latest=lambda: replicas.latest_seqs(runtime.shards.holds),
            ends=runtime.shards.ends,
            known=lambda name: self.members.member(name) is not None,
        )
        publisher = ReplicationPublisher(replicas, streams, self._stood_still)
        runtime.subscribe(publisher)
        return publisher

    # -- life ----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Join the cluster. Shards follow, as :meth:`ShardAvailability.problem` tells. Raises
        :class:`~actors.membership.contract.MembershipError` and
        :class:`~actors.journal.contract.JournalError`."""
        await self.heartbeat.join()
        await self.runtime.start(())
        self._tasks.spawn(self.heartbeat.run(), "heartbeat")
        self.replication.replicas.start(self._tasks)
        self.sharding.start(self._tasks)

    async def drain(self, timeout_s: float) -> None:
        """Hand all shards over, as long as another instance can take them."""
        await self.heartbeat.drain()
        self._membership_changed()
        self.control.announce_placement(self.members.others())
        try:
            async with asyncio.timeout(min(timeout_s, DRAIN_MAX_S)):
                while self._serving() and self.somebody_else():  # noqa: ASYNC110 - two conditions
                    await asyncio.sleep(DRAIN_CHECK_S)
        except TimeoutError:
            log.warning("%d shards were not taken in time", len(self.runtime.shards.epochs()))

    def _serving(self) -> bool:
        return bool(self.runtime.shards.epochs()) or self.sharding.allocator.moving > 0

    def somebody_else(self) -> bool:
        """Whether another instance can take shards and requests."""
        mine = self.members.me.instance
        return any(node.usable for node in self.members.nodes() if node.instance != mine)

    async def stop(self, timeout_s: float) -> None:
        """Answer all callers within ``timeout_s``, release everything, and leave the cluster."""
        self.sharding.leader.stop()
        await self.runtime.stop(timeout_s)
        await self.heartbeat.leave()
        await self._tasks.close()
        await self.control.close()

    @property
    def failures(self) -> list[asyncio.Future[BaseException]]:
        """Each is done when a broken invariant has ended a part; the process should then end."""
        return [self._tasks.failed, self.runtime.failed]

    # -- what others ask -----------------------------------------------------------------------

    def behaviour_of(self, kind: str) -> Behaviour:
        """Who encodes commands and replies of this kind. Raises :class:`KeyError`."""
        return _CODEC if kind == CONTROL_KIND else self.runtime.behaviour(kind)

    def ask_here(self, request: Request) -> asyncio.Future[Answer]:
        """Answer what another instance asks: an entity's command, or a control message."""
        if request.address.kind != CONTROL_KIND:
            return self.runtime.send(request)
        if self.runtime.shards.trustworthy:
            return self.control.receive(request.command)
        # The message may have waited here for as long as this process stood still.
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        future.set_exception(UnavailableError("this instance stood still", 0.1))
        return future

    def _handle_messages(self, application: Application) -> None:
        def tell(message: ApplicationMessage) -> None:
            application.on_message(message.topic, message.body)

        self.control.on(ApplicationMessage, tell)
        self.control.on(ReplicationUpdate, self._update)

    def _update(self, update: ReplicationUpdate) -> None:
        if update.place == FIRST:
            self._heard.add(update.incarnation)
        elif update.place == LATER and update.incarnation not in self._heard:
            raise UnavailableError("the stream begins somewhere before", 0.1)
        replicas = self.replication.replicas
        # Replicas of a silent owner are doubted before this update makes it heard again.
        replicas.distrust(self.availability.stale(shard for shard, _ in update.owned or ()))
        self.sharding.on_ownership(update)
        shards, writer = self.runtime.shards, update.incarnation
        for shard, epoch, seq in update.ends:
            shards.hear(shard, Past(seq, epoch, writer))
        for text, seq in update.latest:
            replicas.on_seq(text, seq)
        for encoded in update.changes:
            change = convert_change(encoded)
            if change.epoch:
                slot = Address.parse(change.address).slot
                shards.hear(slot, Past(change.last_seq, change.epoch, writer))
            replicas.on_change(change)

    # -- what parts tell each other ------------------------------------------------------------

    def _stood_still(self) -> None:
        """Parts of streams may have waited here for as long as this process stood still: whatever
        follows them is refused until the stream begins anew."""
        self._heard.clear()
        self.sharding.directory.distrust()

    def _connected(self, instance: str) -> bool:
        return self.control.connected(instance)

    def _announce_placement(self) -> None:
        mine = self.members.me.instance
        self.control.announce_placement([mine, *self.members.others()])

    def _membership_changed(self) -> None:
        self.replication.streams.open(self.members.others())
        self.sharding.membership_changed()

    def _gained(
        self, shards: Collection[int], on_gained: Callable[[Collection[int]], None]
    ) -> None:
        for shard in shards:
            self.sharding.releases.forget(shard)
        stale = self.availability.stale(shards)
        replicas = self.replication.replicas
        replicas.distrust_gained({shard: self.runtime.shards.epoch_of(shard) for shard in stale})
        self.replication.streams.publish_ownership()
        self.sharding.coordinator.kick()
        on_gained(shards)
