"""The listening side: lets other instances in, and answers what they ask."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from aiohttp import web

from actors.clock import Clock
from actors.core.tracing import Tracer
from actors.peers.codec import BehaviourOf, Codec
from actors.peers.frames import VERSION, Challenge, Hello, Proof, encode
from actors.peers.greeting import (
    NONCE_BYTES,
    Nonces,
    Secret,
    TurnedAwayError,
    check_words,
)
from actors.peers.limits import PeerLimits
from actors.peers.served import AskHere, Counts, OwnerOf, ServedLink
from actors.peers.statistics import EndpointStatistics, RoundTrip, Traffic
from actors.peers.wire import Wire, hear

log = logging.getLogger(__name__)


def owner_unknown(slot: int) -> None:
    """For an instance that keeps no table of owners."""


class PeerEndpoint:
    """Mount :meth:`serve` at :data:`~actors.peers.dial.PEER_PATH`, on aiohttp's server of either
    level."""

    def __init__(
        self,
        *,
        instance: str,
        incarnation: str,
        secret: Secret,
        ask_here: AskHere,
        behaviour_of: BehaviourOf,
        clock: Clock,
        nonces: Nonces,
        owner_of: OwnerOf = owner_unknown,
        limits: PeerLimits | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        self._instance = instance
        self._incarnation = incarnation
        self._secret = secret
        self._ask_here = ask_here
        self._codec = Codec(behaviour_of)
        self._clock = clock
        self._nonces = nonces
        self._owner_of = owner_of
        self._tracer = tracer
        self._limits = limits if limits is not None else PeerLimits()
        self._links: dict[str, Wire] = {}
        self._greetings = 0
        self._counts = Counts()
        self._traffic = Traffic()
        self._round_trip = RoundTrip()
        self._closed = False
        self._told = -self._limits.quiet_s
        self._untold = 0

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Handle one connection until it ends."""
        limits = self._limits
        crowded = self._greetings >= limits.greetings_max or len(self._links) >= limits.links_max
        if self._closed or crowded:
            return web.Response(status=503, text="no room for another peer\n")
        socket = web.WebSocketResponse(
            timeout=limits.goodbye_s,
            compress=False,
            max_msg_size=limits.frame_bytes_max + 1,
        )
        if not socket.can_prepare(request):
            return web.Response(status=426, text="peers only\n", headers={"Upgrade": "websocket"})
        transport = request.transport
        assert transport is not None, "prepared on an open connection"
        self._greetings += 1
        try:
            await socket.prepare(request)
            async with asyncio.timeout(limits.greeting_s):
                hello = await self._greet(socket)
        except TurnedAwayError as error:
            await self._turn_away(socket, error, request.remote)
            return socket
        except (TimeoutError, OSError):
            transport.abort()
            return socket
        finally:
            self._greetings -= 1
        await self._run(socket, transport.abort, hello)
        return socket

    async def _greet(self, socket: web.WebSocketResponse) -> Hello:
        hello = await hear(socket, Hello)
        check_words(hello)
        challenge = Challenge(VERSION, self._instance, self._incarnation, self._nonces(NONCE_BYTES))
        await socket.send_bytes(encode(challenge))
        which = self._secret.check("connects", hello, challenge, await hear(socket, Proof))
        await socket.send_bytes(encode(self._secret.proof("listens", hello, challenge, which)))
        return hello

    async def _turn_away(
        self, socket: web.WebSocketResponse, error: TurnedAwayError, remote: str | None
    ) -> None:
        self._counts.turned_away += 1
        self._untold += 1
        now = self._clock.monotonic()
        if now - self._told >= self._limits.quiet_s:
            log.warning("turned %d away, last %s: %s", self._untold, remote, error)
            self._told, self._untold = now, 0
        await socket.close(code=error.code, message=str(error).encode()[:100])

    async def _run(
        self, socket: web.WebSocketResponse, abort: Callable[[], None], hello: Hello
    ) -> None:
        wire = Wire(
            socket,
            abort,
            clock=self._clock,
            limits=self._limits,
            traffic=self._traffic,
            round_trip=self._round_trip,
        )
        link = ServedLink(
            wire,
            ask_here=self._ask_here,
            owner_of=self._owner_of,
            codec=self._codec,
            limits=self._limits,
            counts=self._counts,
            tracer=self._tracer,
        )
        older = self._links.get(hello.instance)
        if older is not None:
            older.end("the peer has connected anew")
        self._links[hello.instance] = wire
        try:
            if not self._closed:
                await wire.run(link.on_message)
        finally:
            wire.end("closed")
            log.info(
                "the link of %s (%s) has ended: %s", hello.instance, hello.incarnation, wire.ended
            )
            if self._links.get(hello.instance) is wire:
                del self._links[hello.instance]

    async def close(self) -> None:
        """Let no more in, send the answers that are there, and end all links. To be called after
        the runtime has answered what it has: what is still under way is not sent."""
        self._closed = True
        await asyncio.gather(*(wire.goodbye("stopping") for wire in list(self._links.values())))

    def statistics(self) -> EndpointStatistics:
        """Counts and gauges at this moment."""
        counts, traffic = self._counts, self._traffic
        return EndpointStatistics(
            links=len(self._links),
            asks=counts.asks,
            in_flight=counts.in_flight,
            refused=counts.refused,
            turned_away=counts.turned_away,
            frames=traffic.frames_sent,
            messages=traffic.messages_sent,
            batch_avg=traffic.batch_avg,
        )
