"""One open websocket between two instances, after the handshake: the same for both sides.

A timer sends a ping when nothing was heard for a while, and ends the connection when that was too
long, which also ends the link of a peer that does not read.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from math import inf

import aiohttp
import msgspec
from attrs import define, field

from actors.clock import Clock
from actors.core.envelope import Envelope
from actors.peers.handshake import NOT_UNDERSTOOD, Socket
from actors.peers.limits import FRAME_OVERHEAD_BYTES, PeerLimits
from actors.peers.protocol import Message, Ping, Pong, decode_frame, encode, frame_of

log = logging.getLogger(__name__)

FLUSH_CHECK_S = 0.005
"""Between two checks whether everything was sent before a connection is closed."""

SMOOTHING = 0.2
"""Share of the newest measurement in the smoothed round trip: about the last five pings."""


class ProtocolError(Exception):
    """The other side sent what it may not send: the connection is closed."""


@define(eq=False)
class Traffic:
    """Counts over all connections to one peer, or from all peers."""

    bytes: int = 0
    """Of frames, sent and received."""
    frames: int = 0
    """Frames sent."""
    messages: int = 0
    """Messages sent."""
    round_trip_avg_ms: float | None = None
    """Of pings, smoothed; ``None`` before the first."""
    round_trip_max_ms: float = 0.0

    def measured(self, round_trip_ms: float) -> None:
        """Count the round trip of a ping."""
        avg_ms = self.round_trip_avg_ms
        step_ms = 0.0 if avg_ms is None else SMOOTHING * (round_trip_ms - avg_ms)
        self.round_trip_avg_ms = round_trip_ms if avg_ms is None else avg_ms + step_ms
        self.round_trip_max_ms = max(self.round_trip_max_ms, round_trip_ms)


class Outbox:
    """Messages waiting to be sent; the counts tell whether one has left."""

    def __init__(self, limits: PeerLimits) -> None:
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._parts: deque[tuple[bytes, Envelope | None]] = deque()
        self._bytes = 0
        self._filled: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self.put_count = 0
        self.taken_count = 0
        self._closed = False

    @property
    def full(self) -> bool:
        """Whether senders should wait, or refuse their callers."""
        return self._bytes >= self._limits.outbox_bytes_max

    def put(self, part: bytes, envelope: Envelope | None = None) -> None:
        """Add an encoded message of a frame at most, unless its caller gives up before."""
        self._parts.append((part, envelope))
        self._bytes += len(part)
        self.put_count += 1
        if self._filled is not None:
            if not self._filled.done():
                self._filled.set_result(None)
            self._filled = None

    async def filled(self) -> None:
        """Wait for a message, and for those of the same turn: that fills frames."""
        if not self._parts:
            self._filled = self._loop.create_future()
            await self._filled

    async def drained(self) -> None:
        """Wait until it is no longer full, or closed. For one waiter."""
        while self.full and not self._closed:
            self._drained = self._loop.create_future()
            await self._drained

    def take(self) -> tuple[int, bytes]:
        """A frame of as many messages as fit, and their number; 0 if all callers gave up."""
        parts: list[bytes] = []
        left = self._limits.frame_bytes_max - FRAME_OVERHEAD_BYTES
        waiting = self._parts
        while waiting and len(parts) < self._limits.frame_messages_max:
            part, envelope = waiting[0]
            if len(part) > left:
                break
            waiting.popleft()
            self.taken_count += 1
            self._bytes -= len(part)
            if envelope is None or not envelope.over:
                parts.append(part)
                left -= len(part)
        if not self.full:
            self._wake()
        return len(parts), frame_of(parts)

    def close(self) -> None:
        """Let the waiter of :meth:`drained` go on: nothing is taken any more."""
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None


@define(eq=False)
class Connection:
    """Carries messages until either side ends it. ``abort`` cuts the websocket at once."""

    _socket: Socket
    _abort: Callable[[], None]
    _clock: Clock = field(kw_only=True)
    _limits: PeerLimits = field(kw_only=True)
    _traffic: Traffic = field(kw_only=True)
    ended: str = field(default="", init=False)
    """Why the connection ended; empty while it is open."""
    _heard_s: float = field(init=False)
    outbox: Outbox = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._heard_s = self._clock.monotonic()
        self.outbox = Outbox(self._limits)

    async def run(self, on_message: Callable[[Message], None]) -> None:
        """Run until the connection ends, for the reason in :attr:`ended`. An error of
        ``on_message`` other than :class:`ProtocolError` is a broken invariant, and is raised."""
        try:
            # Bounded by this coroutine, which is itself supervised: none outlives it.
            async with asyncio.TaskGroup() as group:
                writer = group.create_task(self._write())
                pings = group.create_task(self._ping())
                try:
                    await self._read(on_message)
                finally:
                    writer.cancel()
                    pings.cancel()
        finally:
            self.end("closed")

    def end(self, why: str) -> None:
        """Cut the connection. Only the first reason is kept."""
        self.ended = self.ended or why
        self.outbox.close()
        self._abort()

    async def close(self, why: str, code: int = aiohttp.WSCloseCode.GOING_AWAY) -> None:
        """Send what there is, tell the other side why, and end, in ``close_timeout_s``."""
        try:
            async with asyncio.timeout(self._limits.close_timeout_s):
                await self._flushed()
                self.ended = self.ended or why
                await self._socket.close(code=code, message=why.encode()[:100])
        except (TimeoutError, OSError, aiohttp.ClientError):
            log.debug("the other side does not confirm that the link is closed")
        finally:
            self.end(why)

    async def _flushed(self) -> None:
        await asyncio.sleep(0)  # answers that are ready reach the outbox by callbacks
        outbox = self.outbox
        while not self.ended and outbox.put_count > outbox.taken_count:  # noqa: ASYNC110 - two conditions
            await asyncio.sleep(FLUSH_CHECK_S)

    # -- reading -------------------------------------------------------------------------------

    async def _read(self, on_message: Callable[[Message], None]) -> None:
        """A full outbox stops reading: a peer that does not take answers cannot ask more."""
        while not self.ended:
            await self.outbox.drained()
            message = await self._socket.receive()
            if message.type is not aiohttp.WSMsgType.BINARY:
                self._closed_by_peer(message)
                return
            self._heard_s = self._clock.monotonic()
            self._traffic.bytes += len(message.data)
            try:
                self._receive(message.data, on_message)
            except (msgspec.DecodeError, ProtocolError) as error:
                log.warning("a peer is not understood, its link ends: %s", error)
                await self.close(f"not understood: {error}", NOT_UNDERSTOOD)
                return

    def _closed_by_peer(self, message: aiohttp.WSMessage) -> None:
        if message.type is aiohttp.WSMsgType.CLOSE:
            self.end(f"the other side closed the link ({message.data}: {message.extra})")
        elif message.type is aiohttp.WSMsgType.ERROR:
            self.end(f"the link was lost: {message.data}")
        else:
            self.end("the link was lost")

    def _receive(self, data: bytes, on_message: Callable[[Message], None]) -> None:
        messages = decode_frame(data)
        if len(messages) > self._limits.frame_messages_max:
            raise ProtocolError("too many messages in a frame")
        for message in messages:
            kind = type(message)
            if kind is Ping:
                self.outbox.put(encode(Pong(message.sent_s)))  # type: ignore[union-attr]  # kind is Ping
            elif kind is Pong:
                passed_s = self._heard_s - message.sent_s  # type: ignore[union-attr]  # kind is Pong
                self._traffic.measured(max(passed_s, 0.0) * 1000)
            else:
                on_message(message)

    # -- writing -------------------------------------------------------------------------------

    async def _write(self) -> None:
        """Sending waits while the socket's own buffer is full, so the outbox fills up."""
        outbox, traffic = self.outbox, self._traffic
        try:
            while not self.ended:
                await outbox.filled()
                count, frame = outbox.take()
                if count:
                    traffic.frames += 1
                    traffic.messages += count
                    traffic.bytes += len(frame)
                    await self._socket.send_bytes(frame)
        except (OSError, aiohttp.ClientError) as error:
            self.end(f"the link was lost while sending ({type(error).__name__})")

    async def _ping(self) -> None:
        """Who is heard need not be asked whether it is there, only how far away it is."""
        limits, clock = self._limits, self._clock
        measured_s = -inf
        while not self.ended:
            now_s = clock.monotonic()
            silent_s = now_s - self._heard_s
            if silent_s >= limits.silence_max_s:
                self.end(f"nothing was heard for {silent_s:.1f} s")
                return
            if silent_s >= limits.ping_every_s / 2 or now_s - measured_s >= limits.measure_every_s:
                measured_s = now_s
                self.outbox.put(encode(Ping(now_s)))
            wait_s = min(limits.ping_every_s, limits.silence_max_s - silent_s)
            await asyncio.sleep(wait_s)
            if clock.monotonic() - now_s > wait_s + limits.ping_every_s:
                # This process stood still, not the peer: its messages are yet to be read.
                self._heard_s = clock.monotonic()
