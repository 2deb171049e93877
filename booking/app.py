"""The composition root: builds one instance out of its parts, starts it, stops it.

This is the only place that knows the real stores, the cluster and the edge together.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import Callable, Collection
from random import Random
from typing import Any

from actors.behaviour import Behaviour
from actors.clock import Clock, SystemClock
from actors.cluster.application import Application
from actors.cluster.node import TIMES, ClusterNode
from actors.cluster.stores import Stores
from actors.journal import JournalError, Row
from actors.membership import Member, MembershipError
from actors.peers import PEER_PATH, PeerEndpoint, PeerTransport, Secret
from actors.postgres_operations import PostgresOperations
from actors.redis_election import RedisElection
from actors.redis_membership import RedisMembership
from actors.sharded_journal import journal_over
from actors.sharded_placement import placement_over
from actors.tasks import Tasks
from booking.admin.audits import Audits
from booking.admin.catalogue import StoredCatalogue
from booking.api import Readiness
from booking.background import CatalogueWatch, OutcomePurge, ViewLoader, incarnation
from booking.catalogue import store
from booking.cluster_numbers import ClusterNumbers
from booking.domain.catalogue import Catalogue
from booking.domain.queue import Policy
from booking.entities.account_entity import AccountBehaviour
from booking.entities.addresses import LEDGER, QUEUE, queue_address
from booking.entities.queue_entity import QueueBehaviour
from booking.entities.seat_entity import HoldRules, LedgerBehaviour, SeatBehaviour
from booking.freshness import NodeFreshness
from booking.health import check_readiness, gauges
from booking.measures import MEANINGS
from booking.presence_reports import NodeOthers, PresenceReports
from booking.queue_keeper import QueueKeeper
from booking.service import BookingService
from booking.settings import Settings
from booking.tokens import TokenSigner
from booking.tracing import Tracing
from booking.views.projections import Projections
from booking.views.queue import QueueView
from booking.views.queues import QueueViews
from booking.views.seats import SeatMaps
from booking.views.tallies import Tallies
from booking_http.admin import AdminParts
from booking_http.metrics import EdgeMetrics
from booking_http.server import EdgeServer, build_admin_server, build_server
from booking_http.settings import EdgeSettings

log = logging.getLogger(__name__)

LANES = 1
"""Connections that append, for each database of the journal. While one batch is in flight the next
one forms; two batches in flight would be smaller each, and cost the process more."""

START_GIVEN_UP_S = 1.0
"""For a runtime whose instance could not start: nobody waits for it."""

READY_WAIT_S = 20.0
"""How long a start waits until every shard has an owner. An instance that starts while others are
being taken over listens all the same after that, and tells at ``/readyz`` what is missing."""

READY_CHECK_S = 0.02

NOTICED_AFTER_S = 1.0
"""How long an instance that stops goes on listening at least, if there is another to go to: some
have no shard to hand over, and load balancers look at ``/readyz`` about once a second."""

SHOWN = {LEDGER: True, QUEUE: False}
"""What views are made of: the ledgers' states, and the queues' events."""


class SupersededError(Exception):
    """A later run of this instance has taken its shards over. ``str()`` is one line."""


class App:
    """One running instance."""

    def __init__(self, settings: Settings, clock: Clock, catalogue: Catalogue) -> None:
        started_ms = clock.now_ms()
        self._settings = settings
        self._clock = clock
        self._draining = False
        self._complete = False
        """Every shard was served and every view loaded, once."""
        self._tasks = Tasks("app")
        self._superseded: asyncio.Future[BaseException]
        self._superseded = asyncio.get_running_loop().create_future()
        self._journal = journal_over(settings.databases, LANES)
        run = incarnation(settings.instance, started_ms, os.urandom)
        self._member = Member(settings.instance, run, settings.advertise_url, started_ms)
        self._policy = Policy(
            settings.queue_active_max, settings.queue_admit_per_minute, settings.active_s * 1000
        )
        self._queues = QueueViews(self._queue_view, catalogue)
        self._tallies = Tallies()
        self._seats = SeatMaps(catalogue, first_version=started_ms * 1000)
        self._stores = self._make_stores()
        self._node = self._make_node()
        self._keeper = self._make_keeper()
        self._presence = PresenceReports(
            settings.instance, NodeOthers(self._node), self._queues, clock
        )
        self._views = ViewLoader(self._node, self._seats, self._queues)
        self._watch = CatalogueWatch(settings.database_url, self._seats, self._queues, self._views)
        self._endpoint = self._make_endpoint()
        self._audits = Audits(settings.database_url, clock, journal_urls=settings.journal_urls)
        self._tracing = Tracing.of(settings)
        self._edge, self._admin_edge = self._make_edges()

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
                await app._edge.share(shared)
        except BaseException:
            await app._node.stop(START_GIVEN_UP_S)
            await app._stop_edges(START_GIVEN_UP_S)
            await app._close()
            raise
        return app

    async def _start(self) -> None:
        await self._journal.connect()
        # Others reach this instance as soon as it is a member, so it listens before.
        await self._edge.start(self._settings.host, self._settings.port)
        if self._admin_edge is not None:
            await self._admin_edge.start(self._settings.host, self._settings.admin_port or 0)
        self._node.pulse.advertise(self._settings.advertise_url or self._own_url())
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
        await self._wait_until_ready()

    def _own_url(self) -> str:
        host = self._settings.host
        if host in ("0.0.0.0", "::", ""):  # noqa: S104 - compared, not bound
            host = "127.0.0.1"
        return f"http://{f'[{host}]' if ':' in host else host}:{self._edge.port}"

    async def _wait_until_ready(self) -> None:
        ends = self._clock.monotonic() + READY_WAIT_S
        while (problem := self._problem()) is not None:
            if self._clock.monotonic() >= ends:
                log.warning("listening, but not ready yet: %s", problem)
                return
            await asyncio.sleep(READY_CHECK_S)

    def _problem(self) -> str | None:
        """Why this instance should get no requests, in a few words. Until it knows of everything
        once, that is what is missing. Afterwards only what is its own: a shard on its way, or one
        whose owner has died, is no reason to send nobody to all the instances that wait for it."""
        if (problem := self._node.runtime.problem()) is not None or self._complete:
            return problem
        if (problem := self._node.coverage.problem()) is not None:
            return problem
        missing = self._views.missing()
        self._complete = not missing
        return f"{missing} views not loaded" if missing else None

    # -- parts ---------------------------------------------------------------------------------

    def _make_stores(self) -> Stores:
        settings = self._settings
        return Stores(
            journal=self._journal,
            placement=placement_over(settings.databases),
            operations=PostgresOperations(settings.database_url),
            membership=RedisMembership(settings.redis_url),
            election=RedisElection(settings.redis_url, ttl_s=TIMES.key_ttl_s),
        )

    def _make_node(self) -> ClusterNode:
        settings = self._settings
        rules = HoldRules(settings.hold_s * 1000, settings.holds_max)
        return ClusterNode(
            self._member,
            self._stores,
            Application(
                behaviours=[
                    AccountBehaviour(),
                    SeatBehaviour(lambda: self._seats.catalogue, rules),
                    LedgerBehaviour(),
                    QueueBehaviour(lambda: self._policy),
                ],
                observer=Projections(self._seats, self._queues, self._tallies, self._lost),
                follower=Projections(self._seats, self._queues, None, self._lost),
                shown=SHOWN,
                on_gained=self._gained,
                on_told=self._told,
                hot=lambda shard: [each for each in self._views.shown() if each.slot == shard],
            ),
            self._clock,
            links=self._make_links,
            lanes=LANES * len(settings.databases),
        )

    def _queue_view(self, name: str) -> QueueView:
        idle_ms = self._settings.queue_idle_s * 1000
        return QueueView(name, self._policy, now_ms=self._clock.now_ms, idle_ms=idle_ms)

    def _make_keeper(self) -> QueueKeeper:
        return QueueKeeper(
            ask=self._node.router.ask,
            queues=self._queues,
            owns=lambda name: self._node.runtime.epoch_of(queue_address(name).slot) > 0,
            clock=self._clock,
            idle_ms=self._settings.queue_idle_s * 1000,
            draw_seed=lambda: os.urandom(32).hex(),
        )

    def _make_links(
        self, url_of: Callable[[str], str | None], behaviour_of: Callable[[str], Behaviour]
    ) -> PeerTransport:
        self._links = PeerTransport(
            instance=self._member.instance,
            incarnation=self._member.incarnation,
            secret=self._secret(),
            url_of=url_of,
            behaviour_of=behaviour_of,
            clock=self._clock,
            nonces=secrets.token_bytes,
            random=Random(),  # noqa: S311 - spreads attempts to connect, guards nothing
        )
        return self._links

    def _make_endpoint(self) -> PeerEndpoint:
        return PeerEndpoint(
            instance=self._member.instance,
            incarnation=self._member.incarnation,
            secret=self._secret(),
            ask_here=self._node.inbox.ask,
            behaviour_of=self._node.behaviour_of,
            clock=self._clock,
            nonces=secrets.token_bytes,
            owner_of=self._node.coverage.owner_of,
        )

    def _secret(self) -> Secret:
        """Peers know each other by the secrets that sign tokens; both are the cluster's."""
        return Secret(*(secret.encode() for secret in self._settings.token_secrets))

    def _make_edges(self) -> tuple[EdgeServer, EdgeServer | None]:
        """The public one, and one for operators if they have a port of their own."""
        service, settings = self._make_service(), self._edge_settings()
        metrics = EdgeMetrics(
            lambda: gauges(self._node, self._queues.values(), self._tallies), MEANINGS
        )
        metrics.add(ClusterNumbers(lambda: self._node.steward.pauses, self._links.statistics))
        admin = AdminParts(
            token=self._settings.admin_token,
            operations=self._node.desk,
            queue_desk=service,
            queue_names=lambda: sorted(self._queues),
            catalogue=StoredCatalogue(self._settings.database_url),
            audits=self._audits,
        )
        own = None
        if self._settings.admin_port is None:
            edge = build_server(service, settings, metrics, admin)
        else:
            edge = build_server(service, settings, metrics)
            own = build_admin_server(service, settings, metrics, admin)
        edge.mount(PEER_PATH, self._endpoint.serve)
        if self._tracing is not None:
            edge.wrap(self._tracing.requests)
        return edge, own

    def _edge_settings(self) -> EdgeSettings:
        settings = self._settings
        return EdgeSettings(
            user_auth="token" if settings.user_auth == "token" else "open",
            access_log=settings.access_log,
            rate_per_user_minute=settings.rate_per_user_minute,
            rate_per_address_minute=settings.rate_per_address_minute,
            trusted_proxies=settings.trusted_proxies,
        )

    def _make_service(self) -> BookingService:
        router, tracing = self._node.router, self._tracing
        return BookingService(
            actors=router if tracing is None else tracing.actors(router),
            journal=self._journal,
            clock=self._clock,
            signer=TokenSigner(self._settings.token_secrets),
            seats=self._seats,
            queues=self._queues,
            read_event=self._read_event,
            readiness=self._readiness,
            freshness=NodeFreshness(self._node),
        )

    def _read_event(self, row: Row) -> Any:
        behaviour = self._node.runtime.behaviour(row.address.kind)
        return behaviour.decode_event(row.type, row.version, row.payload)

    # -- shards come and go --------------------------------------------------------------------

    def _gained(self, shards: Collection[int]) -> None:
        self._views.gained(shards)

    def _told(self, topic: str, body: bytes) -> None:
        self._presence.told(topic, body)

    def _lost(self, shard: int) -> None:
        """Somebody claimed it without asking; if that is a later run of this instance, there is
        nothing left to do for this one."""
        self._node.steward.kick()
        if not self._superseded.done():
            self._tasks.spawn(self._look_for_successor(shard), f"lost-{shard}")

    async def _look_for_successor(self, shard: int) -> None:
        try:
            placed = (await self._stores.placement.shards())[shard]
        except JournalError as error:
            log.warning("shard %d is lost, and the journal does not say to whom: %s", shard, error)
            return
        mine = placed.owner == self._member.instance
        if mine and placed.incarnation != self._member.incarnation:
            line = f"a later run of {placed.owner} has taken over (shard {shard})"
            if not self._superseded.done():
                self._superseded.set_result(SupersededError(line))

    # -- health --------------------------------------------------------------------------------

    async def _readiness(self) -> Readiness:
        return await check_readiness(self._problem, self._journal, lambda: self._draining)

    @property
    def port(self) -> int:
        return self._edge.port

    async def failed(self) -> BaseException:
        """Wait for what this instance cannot go on after."""
        parts = (self._tasks.failed, self._audits.failed, self._edge.failed, *self._node.failures)
        waiting = [*parts, self._superseded]
        done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        return done.pop().result()

    async def stop(self, timeout_s: float) -> None:
        """Hand everything over, answer what was accepted, close everything."""
        began = self._clock.monotonic()
        end = began + timeout_s
        self._draining = True
        self._edge.drain()
        await self._node.drain(timeout_s / 2)
        if self._node.somebody_else():
            await asyncio.sleep(began + NOTICED_AFTER_S - self._clock.monotonic())
        await self._endpoint.close()
        await self._stop_edges(timeout_s / 4)
        await self._node.stop(max(end - self._clock.monotonic(), 1.0))
        await self._close()

    async def _stop_edges(self, timeout_s: float) -> None:
        await self._edge.stop(timeout_s)
        if self._admin_edge is not None:
            await self._admin_edge.stop(timeout_s)

    async def _close(self) -> None:
        await self._tasks.close()
        await self._audits.close()
        await self._watch.close()
        await self._endpoint.close()
        await self._stores.close()
        if self._tracing is not None:
            await self._tracing.close()
