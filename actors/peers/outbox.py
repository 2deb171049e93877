"""Messages waiting to be sent over one link, bounded, and taken a frame at a time."""

from __future__ import annotations

import asyncio
from collections import deque

from actors.core.envelope import Envelope
from actors.peers.frames import frame_of
from actors.peers.limits import FRAME_OVERHEAD_BYTES, PeerLimits


class Outbox:
    """First in, first out. ``put_count`` and ``taken_count`` number the messages, so that it can
    be told of each whether it has left."""

    def __init__(self, limits: PeerLimits) -> None:
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._parts: deque[tuple[bytes, Envelope | None]] = deque()
        self._bytes = 0
        self._filled: asyncio.Future[None] | None = None
        self._emptied: asyncio.Future[None] | None = None
        self.put_count = 0
        self.taken_count = 0
        self._closed = False

    @property
    def full(self) -> bool:
        """Whoever has a choice waits, or refuses its caller, until this is false."""
        return self._bytes >= self._limits.outbox_bytes_max

    def put(self, part: bytes, envelope: Envelope | None = None) -> None:
        """Add a message, at most as long as a frame. One whose caller has given up before it is
        taken is not sent."""
        self._parts.append((part, envelope))
        self._bytes += len(part)
        self.put_count += 1
        if self._filled is not None:
            if not self._filled.done():
                self._filled.set_result(None)
            self._filled = None

    async def filled(self) -> None:
        """Wait until something is there. What is put in the same turn of the event loop is there
        too by then, which is what fills frames."""
        if not self._parts:
            self._filled = self._loop.create_future()
            await self._filled

    async def emptied(self) -> None:
        """Wait until it is not full any more, or closed. For one waiter."""
        while self.full and not self._closed:
            self._emptied = self._loop.create_future()
            await self._emptied

    def take(self) -> tuple[int, bytes]:
        """As many messages as fit into a frame, and their number; 0 if all callers gave up."""
        parts: list[bytes] = []
        room = self._limits.frame_bytes_max - FRAME_OVERHEAD_BYTES
        waiting = self._parts
        while waiting and len(parts) < self._limits.frame_messages_max:
            part, envelope = waiting[0]
            if len(part) > room:
                break
            waiting.popleft()
            self.taken_count += 1
            self._bytes -= len(part)
            if envelope is None or not envelope.over:
                parts.append(part)
                room -= len(part)
        if not self.full:
            self._wake_waiter()
        return len(parts), frame_of(parts)

    def close(self) -> None:
        """Nobody takes anything any more."""
        self._closed = True
        self._wake_waiter()

    def _wake_waiter(self) -> None:
        if self._emptied is not None and not self._emptied.done():
            self._emptied.set_result(None)
        self._emptied = None
