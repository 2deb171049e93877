"""Where an instance listens: one edge for everybody, or a second one for operators."""

from __future__ import annotations

import asyncio
import socket

from actors.peers import PEER_PATH, PeerEndpoint
from booking.observability.tracing import Tracing
from booking.services import Services
from booking.settings import Settings
from booking_http.admin import AdminParts
from booking_http.metrics import EdgeMetrics
from booking_http.server import EdgeServer, build_admin_server, build_server
from booking_http.settings import EdgeSettings


class Edges:
    """The public one, which takes the links of other instances too, and one for operators if they
    have a port of their own."""

    def __init__(
        self,
        settings: Settings,
        services: Services,
        metrics: EdgeMetrics,
        admin: AdminParts,
        endpoint: PeerEndpoint,
        tracing: Tracing | None,
    ) -> None:
        self._settings = settings
        edge_settings = _edge_settings(settings)
        self._admin: EdgeServer | None = None
        if settings.admin_port is None:
            self._public = build_server(services, edge_settings, metrics, admin)
        else:
            self._public = build_server(services, edge_settings, metrics)
            self._admin = build_admin_server(services, edge_settings, metrics, admin)
        self._public.mount(PEER_PATH, endpoint.serve)
        if tracing is not None:
            self._public.wrap(tracing.requests)

    async def start(self) -> None:
        """Listen. :class:`OSError` if a port cannot be had."""
        await self._public.start(self._settings.host, self._settings.port)
        if self._admin is not None:
            await self._admin.start(self._settings.host, self._settings.admin_port or 0)

    async def share(self, shared: socket.socket) -> None:
        """Take connections from this socket too, which listens already."""
        await self._public.share(shared)

    @property
    def port(self) -> int:
        return self._public.port

    @property
    def url(self) -> str:
        """Where others on this machine reach it."""
        host = self._settings.host
        if host in ("0.0.0.0", "::", ""):  # noqa: S104 - compared, not bound
            host = "127.0.0.1"
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def failures(self) -> list[asyncio.Future[BaseException]]:
        """Done when one of them cannot go on. To be asked after the start."""
        edges = [self._public] if self._admin is None else [self._public, self._admin]
        return [edge.failed for edge in edges]

    def drain(self) -> None:
        """As :meth:`booking_http.server.EdgeServer.drain`."""
        self._public.drain()

    async def stop(self, timeout_s: float) -> None:
        """As :meth:`booking_http.server.EdgeServer.stop`, one after the other."""
        await self._public.stop(timeout_s)
        if self._admin is not None:
            await self._admin.stop(timeout_s)


def _edge_settings(settings: Settings) -> EdgeSettings:
    return EdgeSettings(
        user_auth=settings.user_auth,
        access_log=settings.access_log,
        rate_per_user_minute=settings.rate_per_user_minute,
        rate_per_address_minute=settings.rate_per_address_minute,
        trusted_proxies=settings.trusted_proxies,
    )
