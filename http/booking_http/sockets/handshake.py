"""The request that opens a websocket (RFC 6455, 4.2), and the answer that makes it one."""

import asyncio
import re
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha1
from socket import SO_SNDBUF, SOL_SOCKET
from typing import Final
from urllib.parse import unquote_plus

from aiohttp import web
from multidict import istr

from booking.calls import TokenError
from booking_http.inputs import QUERY_PARAMETERS_MAX, TOKEN_LENGTH_MAX, Headers, token_text
from booking_http.problems import RefusedError, malformed
from booking_http.reply import Reply
from booking_http.sockets.limits import PROTOCOLS_MAX, SEND_BUFFER_SIZE
from booking_http.sockets.socket import Socket

PROTOCOL: Final = "booking"
"""The subprotocol, for browsers: they can send a token there, but only if one is chosen."""
PROTOCOL_HEADER: Final = istr("Sec-WebSocket-Protocol")
_KEY = istr("Sec-WebSocket-Key")
_VERSION = istr("Sec-WebSocket-Version")
_UPGRADE = istr("Upgrade")
_CONNECTION = istr("Connection")
_KEY_FORM = re.compile(r"[A-Za-z0-9+/]{22}==")
_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""From RFC 6455, 1.3."""
_WANTED = {"Upgrade": "websocket", "Sec-WebSocket-Version": "13"}


def token_of(headers: Headers, query: str) -> str:
    """The token of header, subprotocol or query. Raises :class:`TokenError` without one."""
    text = token_text(headers)
    if text is None:
        offered = next((each for each in _offered(headers) if each != PROTOCOL), None)
        text = offered or _token_in(query)
    if text is None:
        raise TokenError("token_missing")
    if not 0 < len(text) <= TOKEN_LENGTH_MAX:
        raise TokenError("token_invalid")
    return text


def _token_in(query: str) -> str | None:
    """Only this one; whether the rest of the query is well formed is checked as for any call."""
    for pair in query.split("&", QUERY_PARAMETERS_MAX):
        name, _, value = pair.partition("=")
        if name == "token":
            return unquote_plus(value)
    return None


def _offered(headers: Headers) -> list[str]:
    """The subprotocols that the client offers."""
    lines = headers.getall(PROTOCOL_HEADER, ())
    parts = (part.strip() for line in lines for part in line.split(",", PROTOCOLS_MAX))
    return [part for part in parts if part][:PROTOCOLS_MAX]


def accepted(request: web.BaseRequest) -> bytes:
    """The head that opens the websocket, without its last line; raises :class:`RefusedError`."""
    headers = request.headers
    upgrades = _words(headers, _UPGRADE)
    if request.method != "GET" or "websocket" not in upgrades:
        raise RefusedError("upgrade_required", "This address speaks websocket only.", _WANTED)
    if "upgrade" not in _words(headers, _CONNECTION):
        raise malformed("Connection: has to say upgrade")
    if headers.getall(_VERSION, []) != ["13"]:
        raise RefusedError("upgrade_required", "Only version 13 is spoken.", _WANTED)
    keys = headers.getall(_KEY, [])
    if len(keys) != 1 or _KEY_FORM.fullmatch(keys[0]) is None:
        raise malformed("Sec-WebSocket-Key: 16 bytes in base64 are expected, once")
    accept = b64encode(sha1(keys[0].encode() + _MAGIC, usedforsecurity=False).digest())
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %b\r\n%b" % (accept, _chosen(headers))
    )


def _words(headers: Headers, name: istr) -> set[str]:
    return {word.strip().lower() for line in headers.getall(name, ()) for word in line.split(",")}


def _chosen(headers: Headers) -> bytes:
    """The subprotocol to answer with: ours, else the one that is the token."""
    offered = _offered(headers)
    if not offered:
        return b""
    chosen = PROTOCOL if PROTOCOL in offered else offered[0]
    return b"Sec-WebSocket-Protocol: %b\r\n" % chosen.encode("latin-1", "replace")


class Upgrade(Reply):
    """Answers 101, hands the connection over, and lasts as long as the websocket does. It is what
    aiohttp calls a parser: the bytes come here, and go on to the socket once that is open."""

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
