"""The composition root: one instance put together out of its settings, stores, links and clock."""

import asyncio
import os
import random
from collections.abc import Callable, Collection
from typing import Any

from actors.clock import Clock, DatabaseClock
from actors.cluster.application import ClusterOptions
from actors.cluster.node import ClusterNode, MakeLinks
from actors.consumers.operations import Consumers
from actors.consumers.reader import EventReader
from actors.consumers.runner import ConsumerRunner
from actors.core.context import Limits
from actors.journal.contract import Row
from actors.membership.contract import Member
from actors.tasks import Tasks
from booking.accounts.service import AccountService
from booking.calls import ActorClient, Freshness, TokenSigner
from booking.entities import queue_address
from booking.identity import Identity
from booking.instance.background import CatalogueWatch, SegmentRotation, ViewLoader
from booking.instance.consumers import Followers
from booking.instance.health import ReadinessCheck, Succession
from booking.instance.stores import LANES, Stores
from booking.instance.views import Views
from booking.queue.keeper import PresenceReports, QueueKeeper
from booking.queue.service import QueueService
from booking.seats.service import SeatService
from booking.services import Services
from booking.settings import Settings

CONSUMERS_TOPIC = "consumers"
"""Of the message that an operator changed how far consumers are."""


class App:
    """One instance without its sockets. ``links`` makes the links to other instances, given who
    this one is; ``draw`` gives numbers from 0 to 1 that spread what clients do; ``seed`` gives the
    seed of a queue's draw, which nobody can foretell."""

    def __init__(
        self,
        settings: Settings,
        stores: Stores,
        links: Callable[[Member], MakeLinks],
        clock: Clock,
        *,
        identity: Identity,
        limits: Limits | None = None,
        followers: Followers | None = None,
        draw: Callable[[], float] = random.random,
        seed: Callable[[], str] = lambda: os.urandom(32).hex(),
    ) -> None:
        clock = DatabaseClock.over(clock)
        started_ms = clock.now_ms()
        self._settings = settings
        self._clock = clock
        self._tasks = Tasks("app")
        self.stores = stores
        # The incarnation is a name for this run of the instance that is never used twice.
        incarnation = f"{settings.instance}@{started_ms}-{os.urandom(4).hex()}"
        self.identity = identity
        self.member = Member(
            settings.instance,
            incarnation,
            settings.advertise_url,
            started_ms,
            cluster=identity.cluster,
        )
        self._succession = Succession(self.member, stores.placement, self._tasks)
        self.views = Views(settings, clock, started_ms, draw)
        self.node = self._make_node(links(self.member), limits)
        self.loader = ViewLoader(self.node, self.views.seats, self.views.queues)
        self._presence = PresenceReports(
            settings.instance,
            self.views.queues,
            clock,
            owner_of=self._owner_of,
            others=self.node.members.others,
            send=self.node.control.send,
        )
        self.keeper = self._make_keeper(seed)
        self.consumers = self._make_consumers(followers or Followers(stores.journal), draw)
        self.readiness = ReadinessCheck(self.node, self.loader, stores.journal, clock)
        self.services = self._make_services()

    def _make_node(self, links: MakeLinks, limits: Limits | None) -> ClusterNode:
        return ClusterNode(
            self.member,
            self.stores,
            self.views.application(
                on_lost=self._lost,
                on_gained=self._gained,
                on_message=self._told,
                hot=lambda shard: [each for each in self.loader.shown() if each.slot == shard],
            ),
            self._clock,
            links,
            ClusterOptions(limits=limits or Limits(), lanes=LANES * len(self._settings.databases)),
        )

    def _make_keeper(self, seed: Callable[[], str]) -> QueueKeeper:
        return QueueKeeper(
            ask=self.node.router.ask,
            queues=self.views.queues,
            owns=lambda name: self.node.runtime.shards.epoch_of(queue_address(name).slot) > 0,
            clock=self._clock,
            idle_ms=self._settings.queue_idle_s * 1000,
            draw_seed=seed,
        )

    def _make_consumers(self, followers: Followers, draw: Callable[[], float]) -> Consumers:
        reader = EventReader(followers.journal, self._read_event)
        node, served = self.node, self.node.runtime.shards.committed
        runners = [
            ConsumerRunner(consumer, offsets, reader, served, self._clock, draw)
            for consumer, offsets in followers.consumers
        ]
        consumers = Consumers(
            runners,
            reader,
            elsewhere=followers.elsewhere,
            announce=self._announce_consumers,
        )
        if runners:
            node.runtime.subscribe(consumers)
        return consumers

    def _announce_consumers(self) -> None:
        for name in self.node.members.others():
            self.node.control.send(name, CONSUMERS_TOPIC, b"")

    def _make_services(self) -> Services:
        actors = ActorClient(self.node.router)
        freshness = Freshness(self.node, self._tasks)
        seats = SeatService(actors, self.views.seats, freshness)
        signer = TokenSigner(self._settings.token_secrets, self.identity)
        queue = QueueService(
            actors, self.views.queues, signer, freshness, self._clock, self.identity.renewed_ms
        )
        return Services(
            queue=queue,
            seats=seats,
            accounts=AccountService(
                actors,
                seats,
                self.stores.journal,
                self._read_event,
                queue.use_up,
                timed_ids=self.identity.generation > 0,
            ),
            freshness=freshness,
            clock=self._clock,
            readiness=self.readiness,
        )

    # -- life ----------------------------------------------------------------------------------

    async def load_catalogue(self) -> None:
        """Read the catalogue before anybody asks. :class:`actors.journal.contract.JournalError`."""
        self.views.use(await self.stores.catalogue.load())

    async def start(self) -> None:
        """Join the others and wait until ready, for a while. Raises :class:`MembershipError`."""
        await self.node.start()
        self._tasks.spawn(self.loader.run(), "views")
        await self.loader.load(self.loader.shown())
        watch = CatalogueWatch(self.stores.catalogue, self.views, self.loader)
        self._tasks.spawn(watch.run(), "catalogue")
        self._tasks.spawn(SegmentRotation(self.stores.journal).run(), "segments")
        self._tasks.spawn(self.keeper.run(), "queues")
        self._tasks.spawn(self._presence.run(), "presence")
        self.consumers.start(self._tasks)
        await self.readiness.wait()

    @property
    def failures(self) -> list[asyncio.Future[BaseException]]:
        """Done when a part is broken, or a later run replaced this one: the process should end."""
        return [self._tasks.failed, self._succession.superseded, *self.node.failures]

    async def close(self) -> None:
        """Close what is left once the node has stopped."""
        await self._tasks.close()
        await self.consumers.close()
        await self.stores.close()

    def _lost(self, shard: int) -> None:
        self.node.sharding.allocator.kick()
        self._succession.lost(shard)

    def _owner_of(self, slot: int) -> str:
        if self.node.runtime.shards.holds(slot):
            return self.member.instance
        return self.node.sharding.directory.owner(slot).instance

    def _gained(self, shards: Collection[int]) -> None:
        self.loader.gained(shards)
        self.consumers.wake()

    def _told(self, topic: str, body: bytes) -> None:
        if topic == CONSUMERS_TOPIC:
            self.consumers.refresh()
        else:
            self._presence.told(topic, body)

    def _read_event(self, row: Row) -> Any:
        behaviour = self.node.runtime.behaviour(row.address.kind)
        return behaviour.decode_event(row.type, row.version, row.payload)
