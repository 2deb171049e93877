"""Another instance as this one sees it: a link that is kept up, and callers who wait for it.

::

    connecting --(handshake done)--> up --(lost)--> resting --(back-off over)--> connecting
        |                                              ^             |
        +-------(not reached)--------------------------+             +--(no longer a member)--> gone

Callers wait while it connects, and are refused at once while it rests.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import aiohttp
import msgspec

from actors.clock import Clock
from actors.core.envelope import Deadlines
from actors.errors import DeadlineExceededError, NotOwnedError, OverloadedError
from actors.peers.connection import Connection, Traffic
from actors.peers.handshake import Handshake, HandshakeError
from actors.peers.limits import PeerLimits
from actors.peers.link import ClientLink
from actors.peers.protocol import Challenge, Codec
from actors.transport import Answer, Request

log = logging.getLogger(__name__)

PEER_PATH = "/peers/link"
"""Where the endpoint is mounted."""

NOT_REACHED = (aiohttp.ClientError, OSError, TimeoutError, HandshakeError)
"""Raised when nobody listens, nobody answers, or another instance does."""

UrlOf = Callable[[str], str | None]
"""The address of an instance, as ``http://host:port``, or ``None`` if it is no member. Called anew
for each attempt."""


class PeerStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """The link to one other instance."""

    instance: str
    incarnation: str
    """Of the last link that was up; empty if there was none."""
    connected: bool
    asks: int
    in_flight: int
    """Callers waiting for the link or for a reply."""
    refused: int
    """Asks refused here, because too many wait or the peer cannot be reached."""
    reconnects: int
    """Links that came up after the first."""
    round_trip_avg_ms: float | None
    """Of pings, smoothed; ``None`` before the first."""
    round_trip_max_ms: float
    frames: int
    """Sent."""
    messages: int
    """Sent."""
    bytes: int
    """Sent and received."""

    @property
    def round_trip_avg_s(self) -> float:
        """The same in seconds; 0 before the first ping."""
        return (self.round_trip_avg_ms or 0.0) / 1000


class LinkSocket(aiohttp.ClientWebSocketResponse):
    """A websocket that can be cut without waiting for what a dead peer will never read."""

    def abort(self) -> None:
        """Close the connection at once."""
        connection = self._conn
        if connection is not None and connection.transport is not None:
            connection.transport.abort()


class Dialler:
    """Opens links from one instance to others."""

    def __init__(self, handshake: Handshake, limits: PeerLimits) -> None:
        self._handshake = handshake
        self._limits = limits
        # Names are resolved at each attempt: a cached address may be a dead one.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=limits.links_max, use_dns_cache=False),
            cookie_jar=aiohttp.DummyCookieJar(),
            ws_response_class=LinkSocket,
        )

    async def dial(self, url: str, wanted: str) -> tuple[LinkSocket, Challenge]:
        """Connect to the wanted instance, both sides proved. Raises :data:`NOT_REACHED`."""
        limits = self._limits
        async with asyncio.timeout(limits.handshake_timeout_s):
            socket = await self._session.ws_connect(
                url.rstrip("/") + PEER_PATH,
                compress=0,
                max_msg_size=limits.frame_bytes_max + 1,
                timeout=aiohttp.ClientWSTimeout(ws_close=limits.close_timeout_s),
            )
            assert isinstance(socket, LinkSocket), "the session makes these"
            try:
                return socket, await self._handshake.connect(socket, wanted)
            except HandshakeError as error:
                await socket.close(code=error.code, message=str(error).encode()[:100])
                raise
            except BaseException:
                socket.abort()
                raise

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerContext:
    """What all peers of one transport share."""

    dialler: Dialler
    codec: Codec
    url_of: UrlOf
    clock: Clock
    random: Random
    deadlines: Deadlines
    limits: PeerLimits


class Peer:
    """One other instance, by name, through all its incarnations. :meth:`run` keeps the link."""

    def __init__(self, instance: str, context: PeerContext) -> None:
        self.instance = instance
        self._context = context
        self._clock = context.clock
        self._limits = context.limits
        self._link: ClientLink | None = None
        self._attempt: asyncio.Future[None] | None = asyncio.get_running_loop().create_future()
        self._rests_until = 0.0
        self._failures = 0
        self._incarnation = ""
        self._links = 0
        self._asks = 0
        self._in_flight = 0
        self._refused = 0
        self._traffic = Traffic()

    @property
    def connected(self) -> bool:
        """Whether a link is up; one on which nothing is heard is cut after a while."""
        return self._link is not None

    # -- asking --------------------------------------------------------------------------------

    async def ask(self, request: Request) -> Answer:
        """Ask the peer, once there is a link. Raises as :meth:`actors.transport.Transport.ask`."""
        self._asks += 1
        if self._in_flight >= self._limits.asks_max:
            self._refused += 1
            raise OverloadedError(f"too much is waiting for {self.instance}")
        self._in_flight += 1
        try:
            link = self._link or await self._linked(request.deadline)
            if link.full:
                self._refused += 1
            return await link.ask(request)
        finally:
            self._in_flight -= 1

    def tell(self, request: Request, on_lost: Callable[[], None]) -> None:
        """Tell the peer, if there is a link, as :meth:`actors.transport.Transport.tell`."""
        if self._link is None:
            raise NotOwnedError(f"there is no link to {self.instance}")
        self._link.tell(request, on_lost)

    async def _linked(self, deadline: float) -> ClientLink:
        attempt = self._attempt
        if attempt is not None:
            wait_s = deadline - self._clock.monotonic()
            # Not awaited itself: one caller's cancellation must not cancel the others' future.
            await asyncio.wait((attempt,), timeout=max(wait_s, 0.0))
            if self._link is None and not attempt.done():
                raise DeadlineExceededError(f"{self.instance} was not reached in time")
        if self._link is None:
            self._refused += 1
            wait_s = max(self._rests_until - self._clock.monotonic(), self._limits.backoff_min_s)
            raise NotOwnedError(f"{self.instance} cannot be reached", wait_s)
        return self._link

    # -- keeping the link ----------------------------------------------------------------------

    async def run(self) -> None:
        """Connect, and again whenever the link is lost, as long as the instance is a member."""
        try:
            while (url := self._context.url_of(self.instance)) is not None:
                if self._attempt is None:
                    self._attempt = asyncio.get_running_loop().create_future()
                await self._keep(url)
                await asyncio.sleep(self._rest())
        finally:
            self._end_attempt()

    async def _keep(self, url: str) -> None:
        try:
            socket, challenge = await self._context.dialler.dial(url, self.instance)
        except NOT_REACHED as error:
            level = logging.WARNING if isinstance(error, HandshakeError) else logging.INFO
            detail = str(error) or type(error).__name__
            log.log(level, "no link to %s at %s: %s", self.instance, url, detail)
            return
        began_s = self._clock.monotonic()
        link = self._make_link(socket)
        self._link, self._incarnation = link, challenge.incarnation
        self._links += 1
        self._end_attempt()
        try:
            await link.connection.run(link.on_message)
        finally:
            self._link = None
            link.fail(link.connection.ended)
        log.info("the link to %s has ended: %s", self.instance, link.connection.ended)
        if self._clock.monotonic() - began_s >= self._limits.backoff_max_s:
            self._failures = 0

    def _make_link(self, socket: LinkSocket) -> ClientLink:
        connection = Connection(
            socket, socket.abort, clock=self._clock, limits=self._limits, traffic=self._traffic
        )
        context = self._context
        return ClientLink(
            connection,
            codec=context.codec,
            clock=context.clock,
            deadlines=context.deadlines,
            limits=context.limits,
        )

    def _rest(self) -> float:
        """Seconds until the next attempt: doubled each time, and spread, so that not all instances
        come back to a restarted one together."""
        limits = self._limits
        doubled_s = limits.backoff_min_s * 2.0 ** min(self._failures, 16)
        wait_s = min(doubled_s, limits.backoff_max_s) * self._context.random.uniform(0.5, 1.0)
        self._failures += 1
        self._rests_until = self._clock.monotonic() + wait_s
        self._end_attempt()
        return wait_s

    def _end_attempt(self) -> None:
        attempt, self._attempt = self._attempt, None
        if attempt is not None and not attempt.done():
            attempt.set_result(None)

    async def close(self) -> None:
        """Refuse all waiting callers and close the link. Cancel :meth:`run` afterwards."""
        self._end_attempt()
        link, self._link = self._link, None
        if link is not None:
            link.fail("stopping")
            await link.connection.close("stopping")

    def statistics(self) -> PeerStatistics:
        """Counts and gauges at this moment."""
        traffic = self._traffic
        return PeerStatistics(
            instance=self.instance,
            incarnation=self._incarnation,
            connected=self._link is not None,
            asks=self._asks,
            in_flight=self._in_flight,
            refused=self._refused,
            reconnects=max(self._links - 1, 0),
            round_trip_avg_ms=traffic.round_trip_avg_ms,
            round_trip_max_ms=traffic.round_trip_max_ms,
            frames=traffic.frames,
            messages=traffic.messages,
            bytes=traffic.bytes,
        )
