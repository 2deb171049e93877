"""The composition root: builds one instance out of its parts, starts it, stops it.

This is the only place that knows the real stores, the cluster and the edge together; the parts that
take more than a line to make are made in :mod:`booking.instance`.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Collection
from typing import Any

from actors.clock import Clock, SystemClock
from actors.cluster.application import ClusterOptions
from actors.cluster.node import ClusterNode
from actors.journal.contract import Row
from actors.membership.contract import Member, MembershipError
from actors.tasks import Tasks
from booking.accounts.service import AccountService
from booking.addresses import queue_address
from booking.audit.schedule import Audits
from booking.calls import ActorClient
from booking.catalogue import store
from booking.catalogue.admin import StoredCatalogue
from booking.catalogue.domain import Catalogue
from booking.instance.background import CatalogueWatch, OutcomePurge, ViewLoader
from booking.instance.cluster_numbers import ClusterNumbers
from booking.instance.edges import Edges
from booking.instance.freshness import NodeFreshness
from booking.instance.gauges import gauges
from booking.instance.measures import MEANINGS
from booking.instance.peering import Peering
from booking.instance.readiness import ReadinessCheck
from booking.instance.stores import LANES, make_journal, make_stores
from booking.instance.succession import Succession
from booking.instance.views import Views
from booking.observability.tracing import Tracing
from booking.queue.keeper import QueueKeeper
from booking.queue.presence_reports import NodeOthers, PresenceReports
from booking.queue.service import QueueService
from booking.queue.tokens import TokenSigner
from booking.seats.service import SeatService
from booking.services import Services
from booking.settings import Settings
from booking_http.admin import AdminParts
from booking_http.metrics import EdgeMetrics

START_GIVEN_UP_S = 1.0
"""For a runtime whose instance could not start: nobody waits for it."""

NOTICED_AFTER_S = 1.0
"""How long an instance that stops goes on listening at least, if there is another to go to: some
have no shard to hand over, and load balancers look at ``/readyz`` about once a second."""


class App:
    """One running instance."""

    def __init__(self, settings: Settings, clock: Clock, catalogue: Catalogue) -> None:
        started_ms = clock.now_ms()
        self._settings = settings
        self._clock = clock
        self._tasks = Tasks("app")
        # A name for this run of the instance that is never used twice.
        incarnation = f"{settings.instance}@{started_ms}-{os.urandom(4).hex()}"
        member = Member(settings.instance, incarnation, settings.advertise_url, started_ms)
        self._journal = make_journal(settings)
        self._stores = make_stores(settings, self._journal)
        self._succession = Succession(member, self._stores.placement, self._tasks)
        self._shown = Views(settings, catalogue, clock, started_ms)
        self._tracing = Tracing.of(settings)
        self._peering = Peering(member, settings, clock, self._tracing)
        self._node = self._make_node(member)
        if self._tracing is not None:
            self._tracing.follow(self._node)
        self._views = ViewLoader(self._node, self._shown.seats, self._shown.queues)
        self._watch = CatalogueWatch(
            settings.database_url, self._shown.seats, self._shown.queues, self._views
        )
        self._keeper = self._make_keeper()
        self._presence = PresenceReports(
            settings.instance, NodeOthers(self._node), self._shown.queues, clock
        )
        self._readiness = ReadinessCheck(self._node, self._views, self._journal, clock)
        self._audits = Audits(settings.database_url, clock, journal_urls=settings.journal_urls)
        self._endpoint = self._peering.make_endpoint(self._node)
        self._edges = self._make_edges()

    # -- parts ---------------------------------------------------------------------------------

    def _make_node(self, member: Member) -> ClusterNode:
        return ClusterNode(
            member,
            self._stores,
            self._shown.application(
                on_lost=self._lost,
                on_gained=self._gained,
                on_told=self._told,
                hot=lambda shard: [each for each in self._views.shown() if each.slot == shard],
            ),
            self._clock,
            self._peering.make_links,
            ClusterOptions(lanes=LANES * len(self._settings.databases)),
        )

    def _make_keeper(self) -> QueueKeeper:
        return QueueKeeper(
            ask=self._node.router.ask,
            queues=self._shown.queues,
            owns=lambda name: self._node.runtime.epoch_of(queue_address(name).slot) > 0,
            clock=self._clock,
            idle_ms=self._settings.queue_idle_s * 1000,
            draw_seed=lambda: os.urandom(32).hex(),
        )

    def _make_services(self) -> Services:
        actors, seats = ActorClient(self._node.router), self._shown.seats
        freshness = NodeFreshness(self._node)
        signer = TokenSigner(self._settings.token_secrets)
        return Services(
            queue=QueueService(actors, self._shown.queues, signer, freshness, self._clock),
            seats=SeatService(actors, seats, freshness),
            accounts=AccountService(actors, seats, self._journal, self._read_event),
            clock=self._clock,
            readiness=self._readiness,
        )

    def _make_edges(self) -> Edges:
        services = self._make_services()
        admin = AdminParts(
            token=self._settings.admin_token,
            operations=self._node.admin,
            queues=services.queue,
            catalogue=StoredCatalogue(self._settings.database_url),
            audits=self._audits,
        )
        metrics = self._make_metrics()
        return Edges(self._settings, services, metrics, admin, self._endpoint, self._tracing)

    def _make_metrics(self) -> EdgeMetrics:
        shown, node = self._shown, self._node
        metrics = EdgeMetrics(lambda: gauges(node, shown.queues.values(), shown.tallies), MEANINGS)
        metrics.add(
            ClusterNumbers(lambda: node.sharding.handoffs.pauses, self._peering.links.statistics)
        )
        return metrics

    # -- life ----------------------------------------------------------------------------------

    @classmethod
    async def start(cls, settings: Settings, shared: socket.socket | None = None) -> App:
        """Everything up and listening, or nothing: OSError when a server or the port cannot be
        had. ``shared`` is a socket that listens already, for several instances; connections are
        taken from it once this one is ready, and it is closed with it."""
        clock = SystemClock()
        app = cls(settings, clock, await store.load(settings.database_url))
        try:
            await app._start()
            if shared is not None:
                await app._edges.share(shared)
        except BaseException:
            await app._endpoint.close()  # others may know of it already, and ask for shards
            await app._node.stop(START_GIVEN_UP_S)
            await app._edges.stop(START_GIVEN_UP_S)
            await app._close()
            raise
        return app

    async def _start(self) -> None:
        await self._journal.connect()
        # Others reach this instance as soon as it is a member, so it listens before.
        await self._edges.start()
        self._node.heartbeat.advertise(self._settings.advertise_url or self._edges.url)
        try:
            await self._node.start()
        except MembershipError as error:
            raise ConnectionError(f"BOOKING_REDIS_URL: {error}") from error
        self._tasks.spawn(self._views.run(), "views")
        await self._views.load(self._views.shown())
        self._tasks.spawn(self._watch.run(), "catalogue")
        self._tasks.spawn(OutcomePurge(self._journal, self._clock).run(), "purge")
        self._tasks.spawn(self._audits.run(), "audits")
        self._tasks.spawn(self._keeper.run(), "queues")
        self._tasks.spawn(self._presence.run(), "presence")
        await self._readiness.wait()

    @property
    def port(self) -> int:
        return self._edges.port

    @property
    def failures(self) -> list[asyncio.Future[BaseException]]:
        """Done when a broken invariant has ended a part, or a later run has taken the place of this
        one: the process should end then."""
        return [
            self._tasks.failed,
            self._audits.failed,
            self._peering.links.failed,
            self._succession.superseded,
            *self._edges.failures,
            *self._node.failures,
        ]

    async def failed(self) -> BaseException:
        """Wait for what this instance cannot go on after."""
        done, _ = await asyncio.wait(self.failures, return_when=asyncio.FIRST_COMPLETED)
        return done.pop().result()

    async def stop(self, timeout_s: float) -> None:
        """Hand everything over, answer what was accepted, close everything."""
        began = self._clock.monotonic()
        end = began + timeout_s
        self._readiness.draining = True
        self._edges.drain()
        await self._node.drain(timeout_s / 2)
        if self._node.somebody_else():
            await asyncio.sleep(began + NOTICED_AFTER_S - self._clock.monotonic())
        await self._endpoint.close()
        await self._edges.stop(timeout_s / 4)
        await self._node.stop(max(end - self._clock.monotonic(), 1.0))
        await self._close()

    async def _close(self) -> None:
        await self._tasks.close()
        await self._audits.close()
        await self._watch.close()
        await self._endpoint.close()
        await self._stores.close()
        if self._tracing is not None:
            await self._tracing.close()

    # -- what parts tell each other ------------------------------------------------------------

    def _gained(self, shards: Collection[int]) -> None:
        self._views.gained(shards)

    def _lost(self, shard: int) -> None:
        self._node.sharding.allocator.kick()
        self._succession.lost(shard)

    def _told(self, topic: str, body: bytes) -> None:
        self._presence.told(topic, body)

    def _read_event(self, row: Row) -> Any:
        behaviour = self._node.runtime.behaviour(row.address.kind)
        return behaviour.decode_event(row.type, row.version, row.payload)
