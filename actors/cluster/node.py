"""One instance of a cluster, put together: a runtime that serves the shards it has, and everything
that gives it shards, takes them away, and brings messages to whoever has theirs.

The application gives behaviours and observers (:class:`Application`) and stores
(:class:`Stores`), and asks through :attr:`ClusterNode.router`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from typing import Any

from actors.address import Address
from actors.behaviour import Behaviour
from actors.clock import Clock
from actors.cluster.admin import AdminService
from actors.cluster.allocator import ShardAllocator
from actors.cluster.application import Application
from actors.cluster.coordinator import Coordinator
from actors.cluster.coverage import Coverage
from actors.cluster.directory import Directory
from actors.cluster.freshness import Freshness
from actors.cluster.heartbeat import Heartbeat
from actors.cluster.inbox import Inbox
from actors.cluster.links import Links
from actors.cluster.messages import CONTROL, ControlCodec
from actors.cluster.notices import Notices
from actors.cluster.partition_detector import PartitionDetector
from actors.cluster.roster import Roster
from actors.cluster.router import Router
from actors.cluster.stores import Stores
from actors.core.limits import Limits
from actors.election.candidacy import Times
from actors.election.leadership import Leader
from actors.membership.announcements import Announcements
from actors.membership.contract import Member
from actors.placement.inputs import Rules
from actors.replication.broadcast import Broadcast
from actors.replication.replicas import ViewReplicas
from actors.replication.streams import Streams
from actors.runtime import Runtime
from actors.tasks import Tasks
from actors.transport import Answer

log = logging.getLogger(__name__)

TIMES = Times(
    renew_every_s=0.6,
    call_timeout_s=0.4,
    hold_s=1.8,
    row_lease_s=2.2,
    key_ttl_s=2.7,
    fallback_after_s=4.0,
)
"""Shorter than the defaults: a leader that is lost is replaced within about 3.3 s, without Redis
within 4.6 s, and the shards of an instance that is lost together with it wait for that."""

DRAIN_CHECK_S = 0.05
DRAIN_MAX_S = 12.0
"""For handing everything over: 256 shards at two at a time take a few seconds."""

MakeLinks = Callable[[Callable[[str], str | None], Callable[[str], Behaviour]], Links]
"""Links, given where an instance listens and who encodes what is said of a kind."""


class ClusterNode:
    """Its parts are attributes, each with a module of its own. Those that need each other before
    both are there are given a method of the node, or a look into it when it is whole.

    ``limits`` and ``lanes`` are the runtime's, ``times`` those of the leader's election, and
    ``rules`` say what is worth moving a shard for.
    """

    def __init__(
        self,
        member: Member,
        stores: Stores,
        application: Application,
        clock: Clock,
        *,
        links: MakeLinks,
        limits: Limits | None = None,
        lanes: int = 1,
        times: Times = TIMES,
        rules: Rules | None = None,
    ) -> None:
        self.stores = stores
        self._application = application
        self._member = member
        self._clock = clock
        self._times = times
        self._rules = rules
        self._tasks = Tasks(f"{member.instance}/cluster")
        self._codec = ControlCodec()
        # Who serves what: here, and elsewhere as far as it is heard.
        self.runtime = self._make_runtime(limits, lanes)
        self.directory = Directory()
        self.roster = Roster(member, self._linked)
        self._links = links(self.roster.url_of, self.behaviour_of)
        self.notices = Notices(
            member.instance, self._links, clock, self._tasks, look_here=self._look
        )
        self.router = self._make_router()
        # What is shown of all shards everywhere, and how old it may be.
        self.copies = ViewReplicas(
            dict(application.shown),
            self.behaviour_of,
            application.follower,
            stores.journal,
            lambda address: self.runtime.holds(address.slot),
        )
        self.streams = self._make_streams()
        self.runtime.listen(Broadcast(self.copies, self.streams, self.directory))
        self.freshness = Freshness(self.runtime, self.directory, clock)
        # How shards get where they ought to be.
        self.heartbeat = self._make_pulse()
        self.leader = self._make_leader()
        self.allocator = self._make_steward()
        self.coordinator = self._make_coordinator()
        self.coverage = Coverage(
            self.runtime, self.directory, self.roster, clock, self.allocator.giving
        )
        # What others ask of this instance, and what operators do.
        self.inbox = self._make_inbox()
        self.desk = self._make_desk()

    # -- parts ---------------------------------------------------------------------------------

    def _make_runtime(self, limits: Limits | None, lanes: int) -> Runtime:
        return Runtime(
            instance=self._member.instance,
            incarnation=self._member.incarnation,
            behaviours=self._application.behaviours,
            journal=self.stores.journal,
            clock=self._clock,
            limits=limits,
            observer=self._application.observer,
            lanes=lanes,
            ask_anywhere=self._forward,
        )

    def _make_router(self) -> Router:
        return Router(
            self._member.instance,
            self.runtime,
            self._links,
            self.directory,
            self.notices,
            self._clock,
            self._tasks,
        )

    def _make_streams(self) -> Streams:
        return Streams(
            self._member.instance,
            self._member.incarnation,
            self._links,
            self._clock,
            self._tasks,
            owned=self._owned,
            marks=lambda: self.copies.seqs(self.runtime.holds),
            there=lambda name: self.roster.member(name) is not None,
        )

    def _make_pulse(self) -> Heartbeat:
        return Heartbeat(
            self._member,
            Announcements(self.stores.membership, self.stores.standby, self._clock),
            self.roster,
            self.runtime,
            self._clock,
            changed=self._roster_changed,
        )

    def _make_leader(self) -> Leader:
        return Leader(
            self.stores.election,
            self.stores.placement,
            self._member.incarnation,
            self._clock,
            on_elected=lambda term: self.coordinator.kick(),
            times=self._times,
        )

    def _make_steward(self) -> ShardAllocator:
        return ShardAllocator(
            self._member,
            self.runtime,
            self.stores,
            self._links,
            self.directory,
            self.roster,
            self._clock,
            self._tasks,
            on_gained=self._gained,
            on_news=self._news,
            hot=self._application.hot,
        )

    def _make_coordinator(self) -> Coordinator:
        return Coordinator(
            self.stores,
            self.roster,
            self._clock,
            term=lambda: self.leader.term,
            pauses=self.allocator.pauses_seen,
            tell=self.notices.nudge,
            rules=self._rules,
        )

    def _make_inbox(self) -> Inbox:
        return Inbox(
            self.runtime,
            self.allocator,
            self.coordinator,
            self.copies,
            self.directory,
            self.freshness,
            self._clock,
            self._tasks,
            on_told=self._application.on_told,
        )

    def _make_desk(self) -> AdminService:
        return AdminService(
            lambda: self.heartbeat.member,
            self.stores,
            self.roster,
            self._clock,
            leader=self.leader.view,
            handovers=lambda: self.allocator.handovers,
            pauses=self.allocator.pauses_seen,
            nudge=lambda: self.notices.nudge([self._member.instance, *self.roster.others()]),
            rules=self._rules,
        )

    # -- life ----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Join the others. Shards come by themselves; :meth:`Coverage.problem` tells when all are
        there.

        Raises :class:`~actors.membership.contract.MembershipError` and
        :class:`~actors.journal.contract.JournalError`.
        """
        await self.heartbeat.join()
        await self.runtime.start(())
        self._tasks.spawn(self.heartbeat.run(), "heartbeat")
        for part in range(len(self.stores.journal.parts)):
            self._tasks.spawn(self.copies.run(part), f"copies-{part}")
        self._tasks.spawn(self.leader.run(), "leader")
        self._tasks.spawn(self.allocator.run(), "allocator")
        self._tasks.spawn(self.coordinator.run(), "coordinator")
        isolation = PartitionDetector(
            self.runtime, self.roster, self._links, self.allocator, self._clock
        )
        self._tasks.spawn(isolation.run(), "isolation")

    async def drain(self, timeout_s: float) -> None:
        """Have everything handed over, if there is somebody to take it."""
        ends = self._clock.monotonic() + min(timeout_s, DRAIN_MAX_S)
        await self.heartbeat.drain()
        self._roster_changed()
        self.notices.nudge(self.roster.others())
        while (self.runtime.epochs() or self.allocator.moving) and self.somebody_else():
            if self._clock.monotonic() >= ends:
                log.warning("%d shards were not taken in time", len(self.runtime.epochs()))
                return
            await asyncio.sleep(DRAIN_CHECK_S)

    def somebody_else(self) -> bool:
        """Whether another instance is there that takes shards and requests."""
        mine = self._member.instance
        return any(node.usable for node in self.roster.nodes() if node.instance != mine)

    async def stop(self, timeout_s: float) -> None:
        """Answer what was asked, let go of everything, and say good-bye."""
        self.leader.stop()
        await self.runtime.stop(timeout_s)
        await self.heartbeat.leave()
        await self._tasks.close()
        await self._links.close()

    @property
    def failures(self) -> list[asyncio.Future[BaseException]]:
        """Done when a broken invariant has ended a part; the process should end then."""
        return [self._tasks.failed, self.runtime.failed]

    # -- what parts tell each other ------------------------------------------------------------

    def behaviour_of(self, kind: str) -> Behaviour:
        """Who encodes what is said for this kind. Raises :class:`KeyError`."""
        return self._codec if kind == CONTROL else self.runtime.behaviour(kind)

    def _linked(self, instance: str) -> bool:
        return self._links.hears(instance)

    def _forward(self, address: Address, command: Any) -> asyncio.Future[Answer]:
        return self.router.forward(address, command)

    def _owned(self) -> Sequence[tuple[int, int]] | None:
        return list(self.runtime.epochs().items()) if self.runtime.trustworthy else None

    def _look(self) -> None:
        self.allocator.kick()
        self.coordinator.kick()

    def _news(self) -> None:
        self.coordinator.kick()

    def _roster_changed(self) -> None:
        self.streams.meet(self.roster.others())
        self.coordinator.roster_changed()
        self.allocator.kick()

    def _gained(self, shards: Collection[int]) -> None:
        silent = self.freshness.silent(shards)
        self.copies.distrust_gained({shard: self.runtime.epoch_of(shard) for shard in silent})
        self.streams.announce()
        self.coordinator.kick()
        self._application.on_gained(shards)
