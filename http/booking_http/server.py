"""Builds, starts and stops the edge."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

from aiohttp import web
from attrs import define, field

from actors.tasks import Tasks
from booking.services import Services
from booking_http.accounts.calls import AccountCalls
from booking_http.admin import AdminParts, admin_routes
from booking_http.catalogue.calls import CatalogueCalls
from booking_http.connection import EdgeConnections, Serve
from booking_http.dispatch import UNMATCHED, Dispatcher
from booking_http.metrics import EdgeMetrics
from booking_http.openapi import document, release
from booking_http.pages import documentation_pages, fan_pages
from booking_http.queue.calls import QueueCalls
from booking_http.reply import Reply
from booking_http.routes import Route, RouteTable
from booking_http.seats.calls import SeatCalls
from booking_http.seats.orders import OrderCalls
from booking_http.settings import EdgeSettings
from booking_http.sockets.asyncapi import asyncapi
from booking_http.sockets.calls import SocketCalls
from booking_http.sockets.hub import Hub
from booking_http.system.calls import SystemCalls

RequestHandler = Callable[[web.BaseRequest], Awaitable[Reply]]
RouteOf = Callable[[web.BaseRequest], str]

BACKLOG = 1024
"""Connections the kernel keeps for us while the loop is busy; a sale starts with a burst."""


@define(eq=False)
class EdgeServer:
    """One listening edge. Made by :func:`build_server`."""

    _dispatcher: Dispatcher
    table: RouteTable
    _settings: EdgeSettings
    _metrics: EdgeMetrics
    _hub: Hub
    _tasks: Tasks | None = field(default=None, init=False)
    _connections: EdgeConnections | None = field(default=None, init=False)
    _listener: asyncio.Server | None = field(default=None, init=False)
    _shared: asyncio.Server | None = field(default=None, init=False)
    _mounted: dict[str, Serve] = field(factory=dict, init=False)
    _port: int = field(default=0, init=False)
    _handler: RequestHandler = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._handler = self._dispatcher

    def wrap(self, around: Callable[[RequestHandler, RouteOf], RequestHandler]) -> None:
        """Pass each request through ``around``, with its route's template; before the start."""
        assert self._connections is None, "too late: it is listening"
        self._handler = around(self._handler, self._route_of)

    def mount(self, path: str, serve: Serve) -> None:
        """Give a path and its connections to ``serve``. Call it before the start."""
        assert self._connections is None, "too late: it is listening"
        self._mounted[path] = serve

    def _route_of(self, request: web.BaseRequest) -> str:
        resource, _ = self.table.find(request.path)
        return UNMATCHED if resource is None else resource.template

    @property
    def port(self) -> int:
        """The TCP port that is listened on; 0 before the start."""
        return self._port

    @property
    def connections(self) -> int:
        """Open connections."""
        return 0 if self._connections is None else self._connections.open

    @property
    def sockets(self) -> int:
        """Open websockets."""
        return len(self._hub)

    @property
    def failed(self) -> asyncio.Future[BaseException]:
        """Done when the edge cannot go on; the result is what was raised."""
        assert self._tasks is not None, "not started"
        return self._tasks.failed

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen on this address; port 0 takes a free one. :class:`OSError` if it cannot be had."""
        assert self._connections is None, "an edge is started once"
        loop = asyncio.get_running_loop()
        connections = EdgeConnections(self._handler, self._mounted, self._settings, self._metrics)
        connections.sockets = lambda: len(self._hub)
        self._connections = connections
        self._tasks = Tasks("edge")
        self._tasks.spawn(self._hub.run(), "sockets")
        self._listener = await loop.create_server(connections, host, port, backlog=BACKLOG)
        self._port = self._listener.sockets[0].getsockname()[1]

    async def share(self, sock: socket.socket) -> None:
        """Also take connections from a socket that processes share. Call it once, started."""
        assert self._connections is not None, "started before"
        assert self._shared is None, "one is enough"
        loop = asyncio.get_running_loop()
        self._shared = await loop.create_server(self._connections, sock=sock, backlog=BACKLOG)

    def drain(self) -> None:
        """Fail ``/readyz`` and end each connection with its next answer, but keep listening."""
        self._dispatcher.draining = True
        if self._shared is not None:
            self._shared.close()
            self._shared = None

    async def stop(self, timeout_s: float = 10.0) -> None:
        """Stop listening, end idle connections, and let requests finish for at most ``timeout_s``.
        Websockets are closed, spread over a time, and told to come back. Safe to call twice."""
        self.drain()
        if self._listener is not None:
            self._listener.close()
        self._hub.leave()
        if self._connections is not None:
            await self._connections.drained(timeout_s)
        if self._tasks is not None:
            await self._tasks.close()


def build_server(
    services: Services,
    settings: EdgeSettings,
    metrics: EdgeMetrics,
    admin: AdminParts | None = None,
) -> EdgeServer:
    """An edge in front of the services, ready to start; ``/admin`` only with ``admin``."""
    hub = Hub(services, settings, metrics.sockets)
    sockets = SocketCalls(services, hub)
    sockets.document = asyncapi(sockets.routes(), release(), settings)
    calls = (
        QueueCalls(services, settings),
        CatalogueCalls(services),
        SeatCalls(services),
        OrderCalls(services),
        AccountCalls(services),
        sockets,
    )
    operators = () if admin is None else admin_routes(admin, metrics)
    routes = (*(row for each in calls for row in each.routes()), *fan_pages(), *operators)
    return _server(services, settings, metrics, routes, hub)


def build_admin_server(
    services: Services, settings: EdgeSettings, metrics: EdgeMetrics, admin: AdminParts
) -> EdgeServer:
    """The operators' calls alone, for a port that clients do not reach."""
    nobody = Hub(services, settings, metrics.sockets)
    return _server(services, settings, metrics, admin_routes(admin, metrics), nobody)


def _server(
    services: Services,
    settings: EdgeSettings,
    metrics: EdgeMetrics,
    calls: tuple[Route, ...],
    hub: Hub,
) -> EdgeServer:
    system = SystemCalls(services, settings, metrics, lambda: dispatcher.draining)
    table = RouteTable((*calls, *system.routes(), *documentation_pages()))
    system.document = document(table.routes, settings)
    dispatcher = Dispatcher(services, table, settings, metrics)
    return EdgeServer(dispatcher, table, settings, metrics, hub)
