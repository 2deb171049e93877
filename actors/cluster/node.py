"""One instance of a cluster, put together: a runtime that serves the shards it has, and everything
that gives it shards, takes them away, and brings messages to whoever has theirs.

The application gives behaviours, an observer and stores, and asks through
:attr:`ClusterNode.router`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from math import inf
from typing import Any

import msgspec

from actors.address import SLOT_COUNT, Address
from actors.behaviour import Behaviour, CommandKey
from actors.candidacy import Times
from actors.clock import Clock
from actors.cluster.control import (
    CONTROL,
    DESK,
    Abandon,
    Changed,
    ControlCodec,
    Look,
    Message,
    Noted,
    Release,
    Reply,
    Told,
    Update,
    convert_change,
    encode_change,
)
from actors.cluster.coordinator import Coordinator
from actors.cluster.copies import Copies
from actors.cluster.desk import Desk
from actors.cluster.directory import Directory
from actors.cluster.links import Links
from actors.cluster.operation_store import OperationStore
from actors.cluster.pulse import Pulse
from actors.cluster.roster import Roster
from actors.cluster.router import Router
from actors.cluster.steward import Steward
from actors.cluster.streams import Streams
from actors.commit import Change
from actors.election import Election
from actors.errors import EntityCrashedError, UnavailableError
from actors.journal import Journal
from actors.leadership import Leader
from actors.limits import Limits
from actors.membership import Member, Membership
from actors.peers.served import Owner
from actors.placement.inputs import Pause, Rules
from actors.placement_store import PlacementStore
from actors.room import Observer
from actors.runtime import Runtime
from actors.shard import Shard
from actors.tasks import Tasks
from actors.transport import Answer

log = logging.getLogger(__name__)

TIMES = Times(
    renew_every_s=0.6,
    call_timeout_s=0.4,
    hold_s=1.8,
    row_lease_s=2.2,
    key_ttl_s=2.7,
)
"""Shorter than the defaults: a leader that is lost is replaced within about 3.3 s, and the shards
of an instance that is lost together with it wait for that."""

OLD_AFTER_S = 2.0
"""Since an owner last said that it serves a shard: what is known of it is not told any more."""

DRAIN_CHECK_S = 0.05
DRAIN_MAX_S = 12.0
"""For handing everything over: 256 shards at two at a time take a few seconds."""


class Stores(msgspec.Struct):
    """Everything outside that a node is connected to."""

    journal: Journal
    placement: PlacementStore
    operations: OperationStore
    membership: Membership
    election: Election

    async def close(self) -> None:
        """Close them all."""
        await self.placement.close()
        await self.operations.close()
        await self.membership.close()
        await self.election.close()
        await self.journal.close()


class StaleError(UnavailableError):
    """What is known of the shard is too old to be told."""

    reason = "stale"


class ClusterNode:
    """``shown`` says which kinds of entities views are made of, and whether the view wants states
    or only events; ``follower`` is told of what other instances decide, or else the observer is.
    ``links`` makes the links, given where instances listen and who encodes; ``hot`` names the
    entities of a shard that are read before it moves here."""

    _heard_all = False
    """Every shard's owner has spoken since the start."""

    def __init__(
        self,
        member: Member,
        stores: Stores,
        behaviours: Sequence[Behaviour],
        observer: Observer,
        clock: Clock,
        *,
        shown: Mapping[str, bool],
        follower: Observer | None = None,
        links: Callable[[Callable[[str], str | None], Callable[[str], Behaviour]], Links],
        limits: Limits | None = None,
        lanes: int = 1,
        times: Times = TIMES,
        rules: Rules | None = None,
        on_gained: Callable[[Collection[int]], None] = lambda shards: None,
        on_told: Callable[[str, bytes], None] = lambda topic, body: None,
        hot: Callable[[int], Sequence[Address]] = lambda shard: (),
    ) -> None:
        self.stores = stores
        self._member = member
        self._clock = clock
        self._times = times
        self._rules = rules
        self._tasks = Tasks(f"{member.instance}/cluster")
        self._on_told = on_told
        self._on_gained = on_gained
        self._hot = hot
        self._codec = ControlCodec()
        self.directory = Directory()
        self.runtime = Runtime(
            instance=member.instance,
            incarnation=member.incarnation,
            behaviours=behaviours,
            journal=stores.journal,
            clock=clock,
            limits=limits,
            observer=observer,
            lanes=lanes,
            ask_anywhere=self._forward,
        )
        self.runtime.listen(self)
        self.roster = Roster(member, self._linked)
        self._links = links(self.roster.url_of, self.behaviour_of)
        self.router = Router(
            member.instance, self.runtime, self._links, self.directory, clock, self._tasks
        )
        self.copies = Copies(
            dict(shown),
            self.behaviour_of,
            follower or observer,
            stores.journal,
            lambda address: self.runtime.holds(address.slot),
        )
        self.streams = self._make_streams()
        self.pulse = self._make_pulse()
        self.leader = self._make_leader()
        self.steward = self._make_steward()
        self.coordinator = self._make_coordinator()
        self.desk = self._make_desk()

    # -- parts ---------------------------------------------------------------------------------

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

    def _make_pulse(self) -> Pulse:
        return Pulse(
            self._member,
            self.stores.membership,
            self.roster,
            self.runtime,
            self._clock,
            changed=self._roster_changed,
            alone=lambda: self.leader.term is not None and self.leader.view().via == "postgres",
        )

    def _make_leader(self) -> Leader:
        return Leader(
            self.stores.election,
            self.stores.placement,
            self._member.incarnation,
            self._clock,
            on_elected=lambda term: self.coordinator.kick(),
            on_deposed=lambda: None,
            times=self._times,
        )

    def _make_steward(self) -> Steward:
        return Steward(
            self._member,
            self.runtime,
            self.stores.journal,
            self.stores.placement,
            self.stores.operations,
            self._links,
            self.directory,
            self.roster,
            self._clock,
            self._tasks,
            on_gained=self._gained,
            on_news=self._news,
            hot=self._hot,
        )

    def _make_coordinator(self) -> Coordinator:
        return Coordinator(
            self.stores.placement,
            self.stores.operations,
            self.roster,
            self._clock,
            term=lambda: self.leader.term,
            pauses=self._measured,
            tell=self._nudge,
            rules=self._rules,
        )

    def _make_desk(self) -> Desk:
        return Desk(
            lambda: self.pulse.member,
            self.stores.placement,
            self.stores.operations,
            self.roster,
            self._clock,
            leader=self.leader.view,
            handovers=lambda: self.steward.handovers,
            pauses=self._measured,
            nudge=lambda: self._nudge([self._member.instance, *self.roster.others()]),
            rules=self._rules,
        )

    # -- life ----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Join the others. Shards come by themselves; :meth:`problem` tells when all are there.

        Raises :class:`~actors.membership.MembershipError` and
        :class:`~actors.journal.JournalError`.
        """
        await self.pulse.beat()
        await self.runtime.start(())
        self._tasks.spawn(self.pulse.run(), "pulse")
        self._tasks.spawn(self.copies.run(), "copies")
        self._tasks.spawn(self.leader.run(), "leader")
        self._tasks.spawn(self.steward.run(), "steward")
        self._tasks.spawn(self.coordinator.run(), "coordinator")

    async def drain(self, timeout_s: float) -> None:
        """Have everything handed over, if there is somebody to take it."""
        ends = self._clock.monotonic() + min(timeout_s, DRAIN_MAX_S)
        await self.pulse.drain()
        self._roster_changed()
        self._nudge(self.roster.others())
        while (self.runtime.epochs() or self.steward.moving) and self.somebody_else():
            if self._clock.monotonic() >= ends:
                log.warning("%d shards were not taken in time", len(self.runtime.epochs()))
                return
            await asyncio.sleep(DRAIN_CHECK_S)

    def somebody_else(self) -> bool:
        """Whether another instance is there that takes shards and requests."""
        mine = self.pulse.member.instance
        return any(node.usable for node in self.roster.nodes() if node.instance != mine)

    async def stop(self, timeout_s: float) -> None:
        """Answer what was asked, let go of everything, and say good-bye."""
        self.leader.stop()
        await self.runtime.stop(timeout_s)
        await self.pulse.leave()
        await self._tasks.close()
        await self._links.close()

    @property
    def failures(self) -> list[asyncio.Future[BaseException]]:
        """Done when a broken invariant has ended a part; the process should end then."""
        return [self._tasks.failed, self.runtime.failed]

    # -- what others say -----------------------------------------------------------------------

    def ask_here(
        self, address: Address, command: Any, key: CommandKey | None, timeout_s: float
    ) -> asyncio.Future[Answer]:
        """What other instances ask of this one."""
        if address.kind != CONTROL:
            return self.runtime.ask(address, command, key=key, timeout_s=timeout_s)
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        if not self.runtime.trustworthy:
            # It may have lain here for as long as this process stood still.
            future.set_exception(UnavailableError("this instance stood still", 0.1))
        elif isinstance(command, Release):
            self._tasks.spawn(self._release(command, future), f"release-{command.shard}")
        else:
            future.set_result(Answer(self._hear(command)))
        return future

    async def _release(self, message: Release, future: asyncio.Future[Answer]) -> None:
        reply = await self.steward.release(message)
        if not future.done():
            future.set_result(Answer(reply))

    def _hear(self, message: Message) -> Reply:
        match message:
            case Look():
                self.steward.kick()
                self.coordinator.kick()
            case Abandon():
                self.runtime.abandon(message.address, CommandKey(message.id, message.fingerprint))
            case Update():
                self._update(message)
            case Told():
                self._on_told(message.topic, message.body)
        return Noted()

    def _update(self, update: Update) -> None:
        now_s = self._clock.monotonic()
        self.copies.distrust(self._silent((shard for shard, _ in update.owned or ()), now_s))
        for shard, epoch in update.owned or ():
            if self.directory.learn(shard, update.instance, epoch, update.incarnation):
                self.coordinator.kick()
            self.directory.confirm(shard, epoch, now_s)
        for text, seq in update.marks:
            self.copies.marked(text, seq)
        for change in update.changes:
            self.copies.changed(convert_change(change))

    def _silent(self, shards: Iterable[int], now_s: float) -> frozenset[int]:
        """Those of which nobody was heard for a while."""
        unheard = ((shard, self.directory.unheard_s(shard, now_s)) for shard in shards)
        return frozenset(shard for shard, for_s in unheard if for_s > OLD_AFTER_S)

    def owner_of(self, slot: int) -> Owner | None:
        """For refusals: who has the slot."""
        epoch = self.runtime.epoch_of(slot)
        if epoch:
            return Owner(self.pulse.member.instance, epoch)
        known = self.directory.owner(slot)
        return Owner(known.instance, known.epoch) if known.instance else None

    def behaviour_of(self, kind: str) -> Behaviour:
        """Who encodes what is said for this kind. Raises :class:`KeyError`."""
        return self._codec if kind == CONTROL else self.runtime.behaviour(kind)

    # -- what this one says --------------------------------------------------------------------

    def loaded(self, shard: Shard, address: Address, state: Any, seq: int) -> None:
        """Part of :class:`actors.room.Tap`."""
        if self.copies.shows(address):
            self.copies.own_loaded(address, state, seq, shard.epoch)
            self.streams.mark(address.text, seq)

    def committed(self, shard: Shard, change: Change) -> None:
        """Part of :class:`actors.room.Tap`."""
        address = change.cell.address
        if not self.copies.shows(address):
            return
        before_seq = self.copies.own_committed(address, change.state, change.last_seq, shard.epoch)
        if self.streams.listeners:
            rows = [(row.seq, row.type, row.version, row.payload) for row in change.rows]
            changed = Changed(address.text, max(before_seq, 0), rows)
            self.streams.put(address.text, change.last_seq, encode_change(changed))

    def lost(self, shard: int) -> None:
        """Part of :class:`actors.room.Tap`."""
        self.copies.lost(shard)

    def stood_still(self) -> None:
        """Part of :class:`actors.room.Tap`."""
        self.directory.distrust()
        self.copies.distrust(range(SLOT_COUNT))

    def missed(self, address: Address, state: Any, seq: int) -> None:
        """Part of :class:`actors.room.Tap`."""
        if self.copies.shows(address):
            self.copies.own_committed(address, state, seq)
            self.streams.mark(address.text, seq)

    def tell(self, instance: str, topic: str, body: bytes) -> None:
        """Something of the application's for another instance, which may not arrive."""
        self._tasks.spawn(self._say(instance, Told(topic, body)), "tell")

    def _owned(self) -> Sequence[tuple[int, int]] | None:
        return list(self.runtime.epochs().items()) if self.runtime.trustworthy else None

    def _nudge(self, instances: Collection[str]) -> None:
        for name in instances:
            if name == self.pulse.member.instance:
                self.steward.kick()
                self.coordinator.kick()
            else:
                self._tasks.spawn(self._say(name, Look()), "nudge")

    async def _say(self, instance: str, message: Message) -> None:
        deadline = self._clock.monotonic() + 1.0
        try:
            await self._links.ask(instance, DESK, message, key=None, deadline=deadline)
        except (UnavailableError, EntityCrashedError) as error:
            log.info("%s does not hear %s: %s", instance, type(message).__name__, error)

    def _forward(self, address: Address, command: Any) -> asyncio.Future[Answer]:
        return self.router.forward(address, command)

    def _linked(self, instance: str) -> bool:
        return self._links.hears(instance)

    def _roster_changed(self) -> None:
        self.streams.meet(self.roster.others())
        self.coordinator.roster_changed()
        self.steward.kick()

    def _gained(self, shards: Collection[int]) -> None:
        silent = self._silent(shards, self._clock.monotonic())
        self.copies.distrust_gained({shard: self.runtime.epoch_of(shard) for shard in silent})
        self.streams.announce()
        self.coordinator.kick()
        self._on_gained(shards)

    def _news(self) -> None:
        self.coordinator.kick()

    def _measured(self) -> Sequence[Pause]:
        return [Pause(one.shard, one.pause_ms) for one in self.steward.handovers]

    # -- health --------------------------------------------------------------------------------

    def check_fresh(self, slot: int) -> None:
        """Raises :class:`StaleError` if what this instance knows of the slot is too old to be
        told: it stood still, or the owner was not heard for a while."""
        self.check_here()
        if self.runtime.holds(slot):
            return
        if self.directory.unheard_s(slot, self._clock.monotonic()) > OLD_AFTER_S:
            raise StaleError("the owner was not heard for a while", 0.5)

    def check_here(self) -> None:
        """Raises :class:`StaleError` if this instance stood still just now."""
        if not self.runtime.trustworthy:
            raise StaleError("this instance stood still and is looking around", 0.2)

    def problem(self) -> str | None:
        """Why this instance cannot answer for every shard, in a few words."""
        if (problem := self.runtime.problem()) is not None:
            return problem
        unserved = sum(not self._served(slot) for slot in range(SLOT_COUNT))
        if unserved:
            return f"{unserved} shards have no owner that is there"
        return self._unheard()

    def _unheard(self) -> str | None:
        """Until every owner has spoken once, what is known of some shards is as old as the table,
        and would be refused as stale. Later silence is no reason to get no requests."""
        if not self._heard_all:
            now_s = self._clock.monotonic()
            unheard = sum(
                not self.runtime.holds(slot) and self.directory.unheard_s(slot, now_s) == inf
                for slot in range(SLOT_COUNT)
            )
            if unheard:
                return f"{unheard} shards whose owners were not heard yet"
            self._heard_all = True
        return None

    def _served(self, slot: int) -> bool:
        if self.runtime.holds(slot):
            return True
        owner = self.directory.owner(slot).instance
        mine = self.pulse.member.instance
        if owner == mine:
            return self.steward.giving(slot)
        return bool(owner) and self.roster.alive(owner)
