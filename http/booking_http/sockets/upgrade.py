"""The answer that turns a request into a websocket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from socket import SO_SNDBUF, SOL_SOCKET

from aiohttp import web

from booking_http.reply import Reply
from booking_http.sockets.limits import SEND_BUFFER_SIZE
from booking_http.sockets.socket import Socket


class Upgrade(Reply):
    """Says 101, hands the connection over, and lasts as long as the websocket does.

    It is also what aiohttp calls a parser: from the moment it is made (aiohttp takes an upgrade as
    declined if that is not before the answer), the connection's bytes come here, and go on to the
    socket once that is open.
    """

    def __init__(
        self,
        request: web.BaseRequest,
        head: bytes,
        open_socket: Callable[[asyncio.Transport], Socket],
    ) -> None:
        super().__init__(101, head)
        self._open = open_socket
        self._early = b""
        """What the client sent right behind its request."""
        self._socket: Socket | None = None
        request.protocol.set_parser(self)  # type: ignore[arg-type]  # it calls these two methods

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Bytes of the client; whether they were the last, and what is left over."""
        if self._socket is None:
            self._early += data
            return False, b""
        return self._socket.feed_data(data)

    def feed_eof(self) -> None:
        """The client has gone."""
        if self._socket is not None:
            self._socket.feed_eof()

    async def write_eof(self, data: bytes = b"") -> None:
        """Open the websocket, and wait for its end."""
        request = self._request
        assert request is not None, "prepare() comes first"
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client has gone")
        self.force_close()
        _bound_kernel_memory(transport)
        transport.write(b"%bX-Request-Id: %b\r\n\r\n" % (self._head, self.request_id.encode()))
        self._socket = socket = self._open(transport)
        try:
            socket.feed_data(self._early)
            self._early = b""
            await socket.ended
        finally:
            socket.feed_eof()


def _bound_kernel_memory(transport: asyncio.Transport) -> None:
    raw = transport.get_extra_info("socket")
    if raw is not None:
        raw.setsockopt(SOL_SOCKET, SO_SNDBUF, SEND_BUFFER_SIZE)
