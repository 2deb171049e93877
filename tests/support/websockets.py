"""Clients of the websockets: one that behaves, and one that sends exactly the bytes it is told."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Self

import aiohttp
import msgspec

from booking_http import EdgeSettings
from booking_http.sockets.limits import Pace
from tests.support.edge import Edge, RawClient

WAIT_MAX_S = 30.0
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
FAST = EdgeSettings(
    pace=Pace(tick_s=0.01, gap_s=0.2, round_s=0.15, refresh_s=1.0, linger_s=0.1, leaving_s=0.4)
)
"""Everything that takes time takes less."""
SEATS = "/concert/seats/ws?concertScheduleId=d1"


class Listener:
    """A websocket of aiohttp's client, which answers pings while it is read from."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.ws = ws

    async def frame(self, kind: str | None = None, within_s: float = WAIT_MAX_S) -> Any:
        """The next frame, which has to be of this kind."""
        message = await asyncio.wait_for(self.ws.receive(), within_s)
        assert message.type is aiohttp.WSMsgType.TEXT, (message, self.ws.close_code)
        document = msgspec.json.decode(message.data)
        assert kind in (None, document["type"]), document
        return document

    async def until(self, wanted: Callable[[Any], bool], within_s: float = WAIT_MAX_S) -> Any:
        """The first frame for which this is true."""
        async with asyncio.timeout(within_s):
            while not wanted(document := await self.frame(within_s=within_s)):
                pass
        return document

    async def quiet(self, seconds: float) -> None:
        """Nothing comes for so long."""
        try:
            message = await asyncio.wait_for(self.ws.receive(), seconds)
        except TimeoutError:
            return
        raise AssertionError(f"something came: {message}")

    async def closed(self) -> int:
        """Reads to the end; the code of the close."""
        async with asyncio.timeout(WAIT_MAX_S):
            while not self.ws.closed:
                await self.ws.receive()
        return self.ws.close_code or 0


def listening(
    edge: Edge,
    target: str = "/queue/ws",
    token: str | None = None,
    headers: Mapping[str, str] | None = None,
    protocols: tuple[str, ...] = (),
) -> AbstractAsyncContextManager[Listener]:
    """An open websocket, which has read the hello."""
    return listening_at(edge.server.port, target, token, headers, protocols)


@asynccontextmanager
async def listening_at(
    port: int,
    target: str = "/queue/ws",
    token: str | None = None,
    headers: Mapping[str, str] | None = None,
    protocols: tuple[str, ...] = (),
) -> AsyncIterator[Listener]:
    """The same by the port alone."""
    sent = dict(headers or {})
    if token is not None:
        sent["queue-token"] = token
    url = f"http://127.0.0.1:{port}{target}"
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(url, headers=sent, protocols=protocols, max_msg_size=0) as ws,
    ):
        listener = Listener(ws)
        await listener.frame("hello")
        yield listener


def upgrade(target: str, token: str | None, *lines: str) -> bytes:
    """The request that opens a websocket."""
    gate = [] if token is None else [f"queue-token: {token}"]
    head = [
        f"GET {target} HTTP/1.1",
        "Host: x",
        "Upgrade: websocket",
        "Connection: keep-alive, Upgrade",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {KEY}",
        *gate,
        *lines,
    ]
    return "\r\n".join([*head, "", ""]).encode()


def masked(first: int, payload: bytes = b"", mask: bytes = b"\x01\x02\x03\x04") -> bytes:
    """A client's frame; ``first`` is its first byte, with the bit for *final*."""
    size = len(payload)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 1 << 16:
        length = b"\xfe" + size.to_bytes(2, "big")
    else:
        length = b"\xff" + size.to_bytes(8, "big")
    body = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    return bytes([first]) + length + mask + body


class RawSocket(RawClient):
    """A websocket over a bare connection."""

    @classmethod
    async def open(cls, edge: Edge, target: str, token: str, *, small: bool = False) -> Self:
        """Connected and past the 101. ``small``: the kernel keeps next to nothing for it, so that
        the service notices soon when it does not read."""
        raw = socket.socket()
        if small:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.setblocking(False)
        await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", edge.server.port))
        reader, writer = await asyncio.open_connection(sock=raw, limit=1024 if small else 65536)
        opened = cls(reader, writer)
        edge.adopt(opened)
        await opened.send(upgrade(target, token))
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WAIT_MAX_S)
        assert head.startswith(b"HTTP/1.1 101 "), head
        return opened

    async def frame(self, within_s: float = WAIT_MAX_S) -> tuple[int, bytes]:
        """The next frame's opcode and payload."""
        async with asyncio.timeout(within_s):
            first, size = await self.reader.readexactly(2)
            assert first & 0x80, "servers send whole frames"
            assert not size & 0x80, "servers do not mask"
            if size == 126:
                size = int.from_bytes(await self.reader.readexactly(2), "big")
            elif size == 127:
                size = int.from_bytes(await self.reader.readexactly(8), "big")
            return first & 0x0F, await self.reader.readexactly(size)

    async def close_said(self) -> tuple[int, str]:
        """Reads to the close frame; its code and reason."""
        async with asyncio.timeout(WAIT_MAX_S):
            while True:
                opcode, payload = await self.frame()
                if opcode == 8:
                    return int.from_bytes(payload[:2], "big"), payload[2:].decode()
