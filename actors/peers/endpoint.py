"""The server side: lets other instances in, and answers what they ask."""

import asyncio
import logging
from collections.abc import Callable

from aiohttp import web

from actors.clock import Clock
from actors.core.envelope import Tracer
from actors.peers.connection import Connection, Traffic
from actors.peers.handshake import Handshake, HandshakeError
from actors.peers.limits import PeerLimits
from actors.peers.link import ServerContext, ServerCounts, ServerLink
from actors.peers.protocol import BehaviourOf, Codec, Hello
from actors.transport import Answer, Request, ShardOwner

log = logging.getLogger(__name__)


class PeerEndpoint:
    """Mount :meth:`serve` at :data:`~actors.peers.peer.PEER_PATH`, on aiohttp's server of either
    level."""

    def __init__(
        self,
        handshake: Handshake,
        *,
        ask_here: Callable[[Request], asyncio.Future[Answer]],
        behaviour_of: BehaviourOf,
        clock: Clock,
        owner_of: Callable[[int], ShardOwner | None] = lambda shard: None,
        limits: PeerLimits | None = None,
        tracer: Tracer | None = None,
        before_reply: Callable[[str], None] = lambda name: None,
    ) -> None:
        self._limits = limits if limits is not None else PeerLimits()
        self._clock = clock
        self._handshake = handshake
        codec = Codec(behaviour_of)
        self._context = ServerContext(
            ask_here, owner_of, codec, clock, self._limits, tracer, before_reply
        )
        self._connections: dict[str, Connection] = {}
        self._handshakes = 0
        self.counts = ServerCounts()
        self.traffic = Traffic()
        self._closed = False
        self._logged_s = -self._limits.log_every_s
        self._unlogged = 0

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Handle one connection until it ends."""
        limits = self._limits
        if self._closed or self._crowded():
            return web.Response(status=503, text="no room for another peer\n")
        socket = web.WebSocketResponse(
            timeout=limits.close_timeout_s, compress=False, max_msg_size=limits.frame_bytes_max + 1
        )
        if not socket.can_prepare(request):
            return web.Response(status=426, text="peers only\n", headers={"Upgrade": "websocket"})
        transport = request.transport
        assert transport is not None, "prepared on an open connection"
        self._handshakes += 1
        try:
            await socket.prepare(request)
            async with asyncio.timeout(limits.handshake_timeout_s):
                hello = await self._handshake.accept(socket)
        except HandshakeError as error:
            self._count_rejected(error, request.remote)
            await socket.close(code=error.code, message=str(error).encode()[:100])
            return socket
        except (TimeoutError, OSError):
            transport.abort()
            return socket
        finally:
            self._handshakes -= 1
        await self._run(socket, transport.abort, hello)
        return socket

    def _crowded(self) -> bool:
        limits = self._limits
        return (
            self._handshakes >= limits.handshakes_max or len(self._connections) >= limits.links_max
        )

    def _count_rejected(self, error: HandshakeError, remote: str | None) -> None:
        self.counts.rejected += 1
        self._unlogged += 1
        now_s = self._clock.monotonic()
        if now_s - self._logged_s >= self._limits.log_every_s:
            log.warning("turned %d away, last %s: %s", self._unlogged, remote, error)
            self._logged_s, self._unlogged = now_s, 0

    async def _run(
        self, socket: web.WebSocketResponse, abort: Callable[[], None], hello: Hello
    ) -> None:
        connection = Connection(
            socket, abort, clock=self._clock, limits=self._limits, traffic=self.traffic
        )
        name = hello.instance
        link = ServerLink(connection, self._context, self.counts, name)
        older = self._connections.get(name)
        if older is not None:
            older.end("the peer has connected anew")
        self._connections[name] = connection
        try:
            if not self._closed:
                await connection.run(link.on_message)
        finally:
            connection.end("closed")
            log.info("the link of %s (%s) has ended: %s", name, hello.incarnation, connection.ended)
            if self._connections.get(name) is connection:
                del self._connections[name]

    @property
    def links(self) -> int:
        """How many instances are connected."""
        return len(self._connections)

    async def close(self) -> None:
        """Send the answers that are ready, and close all links."""
        self._closed = True
        await asyncio.gather(*(one.close("stopping") for one in list(self._connections.values())))
