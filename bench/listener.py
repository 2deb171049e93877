"""Websocket clients as lean as Python allows: thousands of them beside the server they measure.

Of a frame only what the measurement needs is looked at: how many are ahead.
"""

from __future__ import annotations

import asyncio
import socket
import time
from array import array
from collections import Counter
from typing import cast

from bench.client import Target

UNREAD_SIZE = 4096
"""Bytes the kernel is asked to keep for a client that will not read: the least it does."""
_CONNECT_TOGETHER_MAX = 200
"""Under what the service's listening socket keeps in its backlog."""
_AHEAD = b'"ahead":'
_PONG = b"\x8a\x80\x00\x00\x00\x00"
_PING, _CLOSE = 0x9, 0x8


class Moves:
    """When each change of the queue was asked for, and how long it took to reach each listener."""

    def __init__(self) -> None:
        self.at: list[float] = []
        self.lateness = array("d")
        self.frames = 0

    def begun(self) -> None:
        """A change is being asked for now."""
        self.at.append(time.perf_counter())

    def told(self, before: int, after: int) -> None:
        """A listener that knew the first ``before`` changes now knows the first ``after``."""
        now = time.perf_counter()
        self.lateness.extend(now - at for at in self.at[before:after])


class Listener(asyncio.Protocol):
    """One client of ``/queue/ws``."""

    __slots__ = ("_ahead", "_data", "_head", "_moves", "closes", "known", "ready", "transport")

    def __init__(self, moves: Moves, closes: Counter[int]) -> None:
        self._moves = moves
        self.closes = closes
        """By close code; 1006 without one, 0 for a refused handshake."""
        self._data = b""
        self._head = True
        self._ahead: int | None = None
        """Before the first change."""
        self.known = 0
        """How many changes it was told of."""
        self.transport: asyncio.Transport | None = None
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when it knows where it stands, or never will."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The event loop has connected."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended, from either side."""
        if self.transport is not None:
            self.closes[1006] += 1
            self._end()

    def _end(self) -> None:
        self.transport = None
        if not self.ready.done():
            self.ready.set_result(None)

    def data_received(self, data: bytes) -> None:
        """The event loop has read something."""
        data = self._data + data if self._data else data
        at = 0
        if self._head:
            at = data.find(b"\r\n\r\n") + 4
            if at < 4:
                self._data = data
                return
            self._head = False
            if not data.startswith(b"HTTP/1.1 101 "):
                self._close(0)
                return
        while (end := _frame_end(data, at)) is not None:
            self._frame(data[at] & 0x0F, data, at, end)
            at = end
        self._data = data[at:]

    def _frame(self, opcode: int, data: bytes, at: int, end: int) -> None:
        if opcode == _PING:
            if self.transport is not None:
                self.transport.write(_PONG)
        elif opcode == _CLOSE:
            self._close(int.from_bytes(data[at + 2 : at + 4], "big"))
        elif (found := data.find(_AHEAD, at, end)) >= 0:
            first = found + len(_AHEAD)
            self._told(int(data[first : data.index(b",", first, end)]))

    def _told(self, ahead: int) -> None:
        self._moves.frames += 1
        if self._ahead is None:
            # Whoever connects late begins with the changes there were so far.
            self._ahead, self.known = ahead + len(self._moves.at), len(self._moves.at)
            self.ready.set_result(None)
        else:
            known = self._ahead - ahead
            self._moves.told(self.known, known)
            self.known = known

    def _close(self, code: int) -> None:
        self.closes[code] += 1
        if self.transport is not None:
            self.transport.abort()
        self._end()


def _frame_end(data: bytes, at: int) -> int | None:
    """Where the frame that begins there ends; ``None`` if it is not all here."""
    if len(data) < at + 2:
        return None
    size, body = data[at + 1], at + 2
    if size >= 126:
        width = 2 if size == 126 else 8
        if len(data) < body + width:
            return None
        size, body = int.from_bytes(data[body : body + width], "big"), body + width
    return body + size if len(data) >= body + size else None


async def connect(
    target: Target, tokens: list[str], moves: Moves, closes: Counter[int], *, small: bool
) -> list[Listener]:
    """A listener for each token, all of which know where they stand, or failed. ``small``: the
    kernel keeps next to nothing for them."""
    turns = asyncio.Semaphore(_CONNECT_TOGETHER_MAX)

    async def one(token: str) -> Listener:
        async with turns:
            raw = socket.socket()
            if small:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, UNREAD_SIZE)
            raw.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(raw, (target.host, target.port))
            _, listener = await loop.create_connection(lambda: Listener(moves, closes), sock=raw)
            assert listener.transport is not None
            listener.transport.write(handshake(token))
            await listener.ready
            return listener

    return await asyncio.gather(*(one(token) for token in tokens))


def handshake(token: str) -> bytes:
    """The request that opens a socket on the queue."""
    return (
        "GET /queue/ws HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        f"queue-token: {token}\r\n\r\n"
    ).encode("ascii")
