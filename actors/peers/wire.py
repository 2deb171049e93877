"""One open websocket between two instances, after the greeting: the same for both sides.

The reader hands each message over as it comes, the writer sends what the outbox holds, and the
heart sends a ping each second and ends the link when nothing has been heard for too long. That is
also how a peer ends that does not take what it is sent: its pings go unread, or our pongs unsent.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TypeVar

import aiohttp
import msgspec
from aiohttp import web

from actors.clock import Clock
from actors.peers.frames import (
    Challenge,
    Hello,
    Message,
    Ping,
    Pong,
    Proof,
    decode_frame,
    decode_greeting,
    encode,
)
from actors.peers.greeting import NOT_UNDERSTOOD, TurnedAwayError
from actors.peers.limits import PeerLimits
from actors.peers.outbox import Outbox
from actors.peers.statistics import RoundTrip, Traffic

log = logging.getLogger(__name__)

FLUSH_CHECK_S = 0.005
"""Between two looks whether everything has left before a link is closed."""

Socket = aiohttp.ClientWebSocketResponse | web.WebSocketResponse
OnMessage = Callable[[Message], None]


Words = TypeVar("Words", Hello, Challenge, Proof)


async def hear(socket: Socket, words: type[Words]) -> Words:
    """The next word of a greeting. Raises :class:`~actors.peers.greeting.TurnedAwayError`, with
    the other side's reason if it was it that turned away."""
    message = await socket.receive()
    if message.type is not aiohttp.WSMsgType.BINARY:
        code = socket.close_code or NOT_UNDERSTOOD
        words_said = message.extra if isinstance(message.extra, str) else ""
        raise TurnedAwayError(code, words_said[:100] or "the link was closed while greeting")
    try:
        said = decode_greeting(message.data)
    except msgspec.DecodeError as error:
        raise TurnedAwayError(NOT_UNDERSTOOD, "not a greeting") from error
    if not isinstance(said, words):
        raise TurnedAwayError(NOT_UNDERSTOOD, "a greeting out of turn")
    return said


class MisspokenError(Exception):
    """The other side said what it may not say: the link ends."""


class Wire:
    """Carries messages until either side has enough. ``abort`` cuts the connection at once."""

    def __init__(
        self,
        socket: Socket,
        abort: Callable[[], None],
        *,
        clock: Clock,
        limits: PeerLimits,
        traffic: Traffic,
        round_trip: RoundTrip,
    ) -> None:
        self._socket = socket
        self._abort = abort
        self._clock = clock
        self._limits = limits
        self._traffic = traffic
        self._round_trip = round_trip
        self._heard = clock.monotonic()
        self.outbox = Outbox(limits)
        self.ended = ""
        """Why the link ended; empty while it is up."""

    async def run(self, on_message: OnMessage) -> None:
        """Until the link ends, for the reason in :attr:`ended`. What ``on_message`` raises but
        :class:`MisspokenError` is a broken invariant, and ends it too."""
        try:
            # Bounded by this coroutine, which is itself supervised: none outlives it.
            async with asyncio.TaskGroup() as group:
                writer = group.create_task(self._write())
                heart = group.create_task(self._beat())
                try:
                    await self._read(on_message)
                finally:
                    writer.cancel()
                    heart.cancel()
        finally:
            self.end("closed")

    def end(self, why: str) -> None:
        """Cut the connection. Only the first reason counts."""
        if not self.ended:
            self.ended = why
        self.outbox.close()
        self._abort()

    async def goodbye(self, why: str, code: int = aiohttp.WSCloseCode.GOING_AWAY) -> None:
        """Send what the outbox holds and close the connection with a word to the other side, or
        cut it if that takes longer than ``goodbye_s``."""
        try:
            async with asyncio.timeout(self._limits.goodbye_s):
                await self._flushed()
                self.ended = self.ended or why
                await self._socket.close(code=code, message=why.encode()[:100])
        except (TimeoutError, OSError, aiohttp.ClientError):
            log.debug("no goodbye: the other side does not answer")
        finally:
            self.end(why)

    async def _flushed(self) -> None:
        await asyncio.sleep(0)  # answers that are ready reach the outbox by callbacks
        outbox = self.outbox
        while not self.ended and outbox.put_count > outbox.taken_count:  # noqa: ASYNC110 - two conditions
            await asyncio.sleep(FLUSH_CHECK_S)

    # -- reading -------------------------------------------------------------------------------

    async def _read(self, on_message: OnMessage) -> None:
        """A full outbox makes it stop: who does not take answers gets to ask nothing more."""
        while not self.ended:
            await self.outbox.emptied()
            message = await self._socket.receive()
            if message.type is not aiohttp.WSMsgType.BINARY:
                self._over(message)
                return
            self._heard = self._clock.monotonic()
            try:
                self._take(message.data, on_message)
            except (msgspec.DecodeError, MisspokenError) as error:
                log.warning("a peer is not understood, its link ends: %s", error)
                await self.goodbye(f"not understood: {error}", NOT_UNDERSTOOD)
                return

    def _over(self, message: aiohttp.WSMessage) -> None:
        if message.type is aiohttp.WSMsgType.CLOSE:
            self.end(f"the other side closed the link ({message.data}: {message.extra})")
        elif message.type is aiohttp.WSMsgType.ERROR:
            self.end(f"the link was lost: {message.data}")
        else:
            self.end("the link was lost")

    def _take(self, data: bytes, on_message: OnMessage) -> None:
        messages = decode_frame(data)
        if len(messages) > self._limits.frame_messages_max:
            raise MisspokenError("too many messages in a frame")
        for message in messages:
            kind = type(message)
            if kind is Ping:
                self.outbox.put(encode(Pong(message.sent_s)))  # type: ignore[union-attr]  # kind is Ping
            elif kind is Pong:
                passed_s = self._heard - message.sent_s  # type: ignore[union-attr]  # kind is Pong
                self._round_trip.measured(max(passed_s, 0.0) * 1000)
            else:
                on_message(message)

    # -- writing -------------------------------------------------------------------------------

    async def _write(self) -> None:
        """Sending waits while the connection's own buffer is full, so the outbox fills up."""
        outbox, traffic = self.outbox, self._traffic
        try:
            while not self.ended:
                await outbox.filled()
                count, frame = outbox.take()
                if count:
                    traffic.frames_sent += 1
                    traffic.messages_sent += count
                    await self._socket.send_bytes(frame)
        except (OSError, aiohttp.ClientError) as error:
            self.end(f"the link was lost while sending ({type(error).__name__})")

    # -- living --------------------------------------------------------------------------------

    async def _beat(self) -> None:
        limits, clock = self._limits, self._clock
        while not self.ended:
            now = clock.monotonic()
            silent_s = now - self._heard
            if silent_s >= limits.silence_max_s:
                self.end(f"nothing was heard for {silent_s:.1f} s")
                return
            self.outbox.put(encode(Ping(now)))
            wait_s = min(limits.ping_every_s, limits.silence_max_s - silent_s)
            await asyncio.sleep(wait_s)
            if clock.monotonic() - now > wait_s + limits.ping_every_s:
                # This process stood still, not the peer: what it said meanwhile is yet to be read.
                self._heard = clock.monotonic()
