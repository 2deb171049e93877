"""One HTTP/1.1 keep-alive connection with one request in flight, as lean as Python allows: the
generator shares its cores with the server it measures.

What a server under test never sends (chunked bodies, interim answers) is refused.
"""

import asyncio
import ipaddress
from typing import Protocol, Self, cast
from urllib.parse import urlsplit

import msgspec

HEAD_SIZE_MAX = 65_536
"""Bytes of status line and header; aiohttp's own limit is 8,190 a line."""
BODY_SIZE_MAX = 16 * 1024 * 1024
"""Bytes. The largest answer asked for, all dates of a generated catalogue, has under 1 MB."""
_STATUSES = {f"HTTP/1.1 {status}".encode(): status for status in range(100, 600)}


class TargetError(ValueError):
    """The address is not one this generator may put under load."""


class Target(msgspec.Struct, frozen=True):
    """One HTTP server on this machine."""

    host: str
    port: int

    @classmethod
    def parse(cls, url: str) -> Self:
        """The server behind ``http://host:port``. Only loopback addresses are accepted, so that no
        slip of the hand loads another machine. Raises :class:`TargetError`."""
        parts = urlsplit(url)
        if parts.scheme != "http" or parts.hostname is None:
            raise TargetError(f"{url!r} is not an http:// address")
        if parts.path not in ("", "/") or parts.query or parts.username:
            raise TargetError(f"{url!r} has more than host and port")
        host = "127.0.0.1" if parts.hostname == "localhost" else parts.hostname
        try:
            loopback = ipaddress.ip_address(host).is_loopback
        except ValueError:
            loopback = False
        if not loopback:
            raise TargetError(f"{parts.hostname!r} is not a loopback address")
        return cls(host, parts.port or 80)


class ProtocolError(Exception):
    """The peer sent what this client does not understand."""


class Response:
    """An answer, whole."""

    __slots__ = ("body", "head", "status")

    def __init__(self, status: int, head: bytes, body: bytes) -> None:
        self.status = status
        self.head = head
        """Status line and header fields, without the empty line."""
        self.body = body

    def header(self, name: str) -> str | None:
        """The first field of this name, whatever its case, or ``None``."""
        wanted = name.lower()
        for line in self.head.decode("latin-1").split("\r\n")[1:]:
            field, _, value = line.partition(":")
            if field.lower() == wanted:
                return value.strip()
        return None


class ResponseParser:
    """Turns the bytes of one connection into answers, one at a time."""

    __slots__ = ("_pieces", "_size", "_wanted")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0
        self._wanted = 0

    def feed(self, data: bytes) -> Response | None:
        """The answer that these bytes complete, or ``None``. Raises :class:`ProtocolError`."""
        if self._pieces:
            self._pieces.append(data)
            self._size += len(data)
            if self._size < self._wanted:
                return None
            data = b"".join(self._pieces)
            self._pieces.clear()
        end = data.find(b"\r\n\r\n")
        if end < 0:
            if len(data) > HEAD_SIZE_MAX:
                raise ProtocolError(f"no end of the header in {len(data)} bytes")
            self._keep(data, len(data) + 1)
            return None
        status, length = _status_and_length(data, end)
        total = end + 4 + length
        size = len(data)
        if size < total:
            self._keep(data, total)
            return None
        if size > total:
            raise ProtocolError(f"{size - total} bytes after the end of the answer")
        return Response(status, data[:end], data[end + 4 :])

    def _keep(self, data: bytes, wanted: int) -> None:
        self._pieces.append(data)
        self._size = len(data)
        self._wanted = wanted


def _status_and_length(data: bytes, end: int) -> tuple[int, int]:
    status = _STATUSES.get(data[:12])
    if status is None:
        raise ProtocolError(f"not an HTTP/1.1 answer: {data[:40]!r}")
    at = data.find(b"\r\nContent-Length: ", 0, end)
    if at >= 0:  # the spelling of aiohttp and most servers
        at += 18
        stop = data.find(b"\r\n", at)
        digits = data[at:stop]
    else:
        digits = _length_field(data[:end], status)
    if not digits.isdigit():
        raise ProtocolError(f"Content-Length is {digits!r}")
    length = int(digits)
    if length > BODY_SIZE_MAX:
        raise ProtocolError(f"a body of {length} bytes")
    return status, length


def _length_field(head: bytes, status: int) -> bytes:
    """The length of a body whose field is spelt another way or missing."""
    if status < 200:
        raise ProtocolError(f"interim answer {status}")
    response = Response(status, head, b"")
    if response.header("Transfer-Encoding") is not None:
        raise ProtocolError("a Transfer-Encoding (chunked bodies are not supported)")
    length = response.header("Content-Length")
    if length is not None:
        return length.encode("latin-1")
    if status in (204, 304):
        return b"0"
    raise ProtocolError(f"answer {status} without Content-Length")


class Owner(Protocol):
    """Whoever sends over a :class:`Connection`. Called from the event loop, never re-entered."""

    def answered(self, response: Response) -> None:
        """The answer to the request under way."""

    def lost(self, reason: str) -> None:
        """The connection is gone; ``reason`` is a short stable word for counting."""


class Connection(asyncio.Protocol):
    """A connection for one request at a time."""

    __slots__ = ("_parser", "_reason", "_transport", "owner")

    def __init__(self, owner: Owner) -> None:
        self.owner = owner
        self._parser = ResponseParser()
        self._transport: asyncio.Transport | None = None
        self._reason = "connection_lost"

    @property
    def open(self) -> bool:
        """Whether requests can be sent."""
        return self._transport is not None

    def send(self, request: bytes) -> None:
        """Send one whole request. The connection must be open and the last answer complete."""
        assert self._transport is not None, "sending over a closed connection"
        self._transport.write(request)

    def abort(self, reason: str) -> None:
        """Drop the connection; :meth:`Owner.lost` follows with this reason."""
        self._reason = reason
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The event loop has connected."""
        # uvloop's transports do not inherit from asyncio's, so no isinstance here.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """The event loop has read something."""
        try:
            response = self._parser.feed(data)
        except ProtocolError as error:
            self.abort(f"protocol_error: {error}")
            return
        if response is not None:
            self.owner.answered(response)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended, from either side."""
        self._transport = None
        self.owner.lost(self._reason)
