"""A running instance: the application on its real stores, and the ports it listens at."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Callable
from random import Random

from actors.behaviour import Behaviour
from actors.clock import Clock, DatabaseClock, SystemClock
from actors.cluster.membership_view import MembershipView
from actors.cluster.node import ClusterNode, MakeLinks
from actors.journal.contract import Journal
from actors.membership.contract import Member, MembershipError
from actors.membership.foreign import ForeignInstances
from actors.peers import PEER_PATH, Handshake, PeerEndpoint, PeerTransport, Secret
from actors.tasks import Tasks
from actors.transport import Transport
from booking.app import App
from booking.audit.schedule import Audits
from booking.events.contract import source_of
from booking.identity import Identity
from booking.instance.consumers import followers_of
from booking.instance.metrics import MEANINGS, ClusterNumbers, gauges
from booking.instance.stores import open_journal, stores_of
from booking.observability.tracing import Tracing
from booking.readmodel import store as read_model
from booking.schema import parts
from booking.settings import Settings
from booking.webhooks.numbers import WebhookNumbers
from booking.webhooks.sending import Webhooks
from booking.webhooks.store import WebhookStore
from booking_http.admin import AdminParts
from booking_http.metrics import EdgeMetrics
from booking_http.server import EdgeServer, build_admin_server, build_server
from booking_http.settings import EdgeSettings

START_GIVEN_UP_S = 1.0
"""The stop of an instance that could not start: nobody waits for it."""

NOTICED_AFTER_S = 1.0
"""How long a stopping instance listens at least: load balancers ask once a second."""


class Server:
    """One instance. Its public edge takes peers' links; operators may have a port of their own."""

    def __init__(
        self, settings: Settings, identity: Identity, journal: Journal, clock: DatabaseClock
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._tasks = Tasks("server")
        self._journal = journal
        self._tracing = Tracing.of(settings)
        self._foreign = ForeignInstances()
        self._peering = _Peering(settings, clock, self._tracing, self._foreign)
        self._webhooks = _webhooks_of(settings, identity)
        own = () if self._webhooks is None else (self._webhooks.consumer(),)
        stores = stores_of(settings, identity, self._journal, self._foreign)
        self.app = App(
            settings,
            stores,
            self._peering.links_of,
            clock,
            identity=identity,
            followers=followers_of(settings, *own),
        )
        if self._tracing is not None:
            self._tracing.follow(self.app.node)
        self._audits = Audits(settings.database_url, clock, journal_urls=settings.journal_urls)
        self._endpoint = self._peering.make_endpoint(self.app.node)
        self._edges = self._make_edges()
        self._public = self._edges[0]

    def _make_edges(self) -> list[EdgeServer]:
        services, settings = self.app.services, _edge_settings(self._settings)
        metrics, admin = self._make_metrics(), self._make_admin()
        if self._settings.admin_port is None:
            edges = [build_server(services, settings, metrics, admin)]
        else:
            edges = [
                build_server(services, settings, metrics),
                build_admin_server(services, settings, metrics, admin),
            ]
        edges[0].mount(PEER_PATH, self._endpoint.serve)
        if self._tracing is not None:
            edges[0].wrap(self._tracing.requests)
        return edges

    def _make_admin(self) -> AdminParts:
        return AdminParts(
            token=self._settings.admin_token,
            operations=self.app.node.admin,
            queues=self.app.services.queue,
            catalogue=self.app.stores.catalogue,
            audits=self._audits,
            consumers=self.app.consumers,
            webhooks=self._webhooks,
        )

    def _make_metrics(self) -> EdgeMetrics:
        node, views = self.app.node, self.app.views
        audits, foreign = self._audits, self._foreign
        metrics = EdgeMetrics(
            lambda: {
                **gauges(node, views.queues.values(), views.tallies, foreign),
                **audits.numbers,
            },
            MEANINGS,
        )
        metrics.add(ClusterNumbers(node, self.app.consumers, self._peering.links.statistics))
        if self._webhooks is not None:
            metrics.add(WebhookNumbers(self._webhooks))
        return metrics

    # -- life ----------------------------------------------------------------------------------

    @classmethod
    async def start(cls, settings: Settings, shared: socket.socket | None = None) -> Server:
        """Everything up and listening, or nothing.

        ``shared`` is a listening socket of several instances, taken over once this one is ready.
        Raises :class:`OSError`, :class:`actors.journal.contract.JournalError` and
        :class:`booking.schema.migrate.SchemaMismatch`.
        """
        identity = await parts.check(settings.databases)
        if settings.read_url:
            await read_model.check(settings.read_url)
        journal = open_journal(settings)
        try:
            clock = await _clock_of(journal)
        except BaseException:
            await journal.close()
            raise
        server = cls(settings, identity, journal, clock)
        try:
            await server._start()
            if shared is not None:
                await server._public.share(shared)
        except BaseException:
            await server._endpoint.close()  # others may know of it already, and ask for shards
            await server.app.node.stop(START_GIVEN_UP_S)
            await server._stop_edges(START_GIVEN_UP_S)
            await server._close()
            raise
        return server

    async def _start(self) -> None:
        await self.app.load_catalogue()
        await self._journal.connect()
        # Others reach this instance as soon as it is a member, so it listens before.
        ports = (self._settings.port, self._settings.admin_port or 0)
        for edge, port in zip(self._edges, ports, strict=False):
            await edge.start(self._settings.host, port)
        self.app.node.heartbeat.advertise(self._settings.advertise_url or self.url)
        try:
            await self.app.start()
        except MembershipError as error:
            raise ConnectionError(f"BOOKING_REDIS_URL: {error}") from error
        self._tasks.spawn(self._audits.run(), "audits")
        if self._webhooks is not None:
            self._tasks.spawn(self._webhooks.run(self._tasks), "webhooks")

    @property
    def port(self) -> int:
        """Where the public edge listens."""
        return self._public.port

    @property
    def url(self) -> str:
        """Where others on this machine reach the public edge."""
        host = self._settings.host
        if host in ("0.0.0.0", "::", ""):  # noqa: S104 - compared, not bound
            host = "127.0.0.1"
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def failures(self) -> list[asyncio.Future[BaseException]]:
        """Done when a part is broken, or a later run replaced this one: the process should end."""
        return [
            self._tasks.failed,
            self._audits.failed,
            self._peering.links.failed,
            *(edge.failed for edge in self._edges),
            *self.app.failures,
        ]

    async def failed(self) -> BaseException:
        """Wait for what this instance cannot go on after."""
        done, _ = await asyncio.wait(self.failures, return_when=asyncio.FIRST_COMPLETED)
        return done.pop().result()

    async def stop(self, timeout_s: float) -> None:
        """Hand everything over, answer what was accepted, close everything."""
        began = self._clock.monotonic()
        self.app.readiness.draining = True
        self._public.drain()
        await self.app.node.drain(timeout_s / 2)
        if self.app.node.somebody_else():
            await asyncio.sleep(began + NOTICED_AFTER_S - self._clock.monotonic())
        await self._endpoint.close()
        await self._stop_edges(timeout_s / 4)
        await self.app.node.stop(max(began + timeout_s - self._clock.monotonic(), 1.0))
        await self._close()

    async def _stop_edges(self, timeout_s: float) -> None:
        for edge in self._edges:
            await edge.stop(timeout_s)

    async def _close(self) -> None:
        await self._tasks.close()
        if self._webhooks is not None:
            await self._webhooks.close()
        await self._audits.close()
        await self._endpoint.close()
        await self.app.close()
        if self._tracing is not None:
            await self._tracing.close()


async def _clock_of(journal: Journal) -> DatabaseClock:
    """The journal's clock, by which an instance tells its runs apart before it owns anything."""
    clock = DatabaseClock(SystemClock())
    sent_s = clock.monotonic()
    told_ms = await journal.now_ms()
    if told_ms is not None:
        clock.compare(told_ms, sent_s)
    return clock


class _Peering:
    """Makes both ends of the links to other instances."""

    links: PeerTransport
    """The links to the others; set once a node has asked for them."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        tracing: Tracing | None,
        foreign: ForeignInstances,
    ) -> None:
        self._clock = clock
        self._tracing = tracing
        self._foreign = foreign
        self._members: MembershipView | None = None
        # Peers know each other by the secrets that sign tokens; both are the cluster's.
        self._secret = Secret(*(secret.encode() for secret in settings.token_secrets))

    def links_of(self, member: Member) -> MakeLinks:
        self._handshake = Handshake(
            member, self._secret, secrets.token_bytes, self._is_previous, self._foreign
        )
        return self._make_links

    def _is_previous(self, instance: str, incarnation: str) -> bool:
        found = None if self._members is None else self._members.member(instance)
        return found is not None and (found.incarnation, found.cluster) == (incarnation, "")

    def _make_links(
        self, url_of: Callable[[str], str | None], behaviour_of: Callable[[str], Behaviour]
    ) -> Transport:
        self.links = PeerTransport(
            self._handshake,
            url_of=url_of,
            behaviour_of=behaviour_of,
            clock=self._clock,
            random=Random(),  # noqa: S311 - spreads attempts to connect, guards nothing
        )
        return self.links if self._tracing is None else self._tracing.links(self.links)

    def make_endpoint(self, node: ClusterNode) -> PeerEndpoint:
        self._members = node.members
        return PeerEndpoint(
            self._handshake,
            ask_here=node.ask_here,
            behaviour_of=node.behaviour_of,
            clock=self._clock,
            owner_of=node.availability.owner_of,
            tracer=None if self._tracing is None else self._tracing.tracer,
            before_reply=node.replication.streams.hurry,
        )


def _webhooks_of(settings: Settings, identity: Identity) -> Webhooks | None:
    if not settings.webhooks:
        return None
    store = WebhookStore(settings.database_url)
    return Webhooks(store, settings.webhook_networks, source_of(identity.cluster))


def _edge_settings(settings: Settings) -> EdgeSettings:
    return EdgeSettings(
        user_auth=settings.user_auth,
        access_log=settings.access_log,
        rate_per_user_minute=settings.rate_per_user_minute,
        rate_per_address_minute=settings.rate_per_address_minute,
        trusted_proxies=settings.trusted_proxies,
    )
