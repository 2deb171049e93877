"""Answers, written to the connection as one block of bytes.

aiohttp's ``Response`` keeps headers in a multidict, fills in defaults and serializes them for each
answer. Ours are nearly always the same lines, so they are kept as bytes and joined: measured, that
saves about 8 us of the 20 that a small answer costs. The price is that nothing checks what goes
into a header, so everything put there is either ours or was checked on the way in.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import web
from aiohttp.http import HttpVersion11

from booking_http.times import HttpDate

if TYPE_CHECKING:
    from aiohttp.abc import AbstractStreamWriter

JSON = b"Content-Type: application/json\r\n"
PROBLEM = b"Content-Type: application/problem+json\r\n"
NO_STORE = b"Cache-Control: no-store\r\n"
REVALIDATE = b"Cache-Control: private, no-cache\r\n"
"""Keep it, but ask with If-None-Match before each use."""
REPLAYED = b"Idempotent-Replayed: true\r\n"

_EVERYWHERE = b"Server: booking\r\nX-Content-Type-Options: nosniff\r\n"
_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() + _EVERYWHERE
    for status in HTTPStatus
    if status >= HTTPStatus.OK
}
_BODILESS = (204, 304)


def header(name: str, value: str) -> bytes:
    """One header line. Both must be free of control characters: see the module's words."""
    return f"{name}: {value}\r\n".encode("latin-1")


class Reply(web.StreamResponse):
    """A whole answer: status, header lines and body as bytes."""

    # StreamResponse.__init__ is not called on purpose: it builds the multidict this class avoids.
    # aiohttp asks an answer only for prepare(), write_eof() and keep_alive.
    def __init__(self, status: int, headers: bytes = b"", body: bytes = b"") -> None:
        self._status = status
        self._head = headers
        self._content = body

    _date = HttpDate()
    _keep = True
    _request: web.BaseRequest | None = None
    request_id = ""
    write_timeout_s = 60.0

    @property
    def keep_alive(self) -> bool:
        """Whether the connection stays open after this answer."""
        return self._keep

    @property
    def prepared(self) -> bool:
        return self._request is not None

    @property
    def content(self) -> bytes:
        """The body."""
        return self._content

    def force_close(self) -> None:
        self._keep = False

    def add_header(self, line: bytes) -> None:
        """Adds one finished header line."""
        self._head += line

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter:
        self._request = request
        return request.writer

    async def write_eof(self, data: bytes = b"") -> None:
        """Sends the answer, and waits only if the client is slow to take it."""
        request = self._request
        assert request is not None, "prepare() comes first"
        assert not data, "the body is given to the constructor"
        self.send(request)
        if request.protocol.writing_paused:
            await self.taken(request)

    def send(self, request: web.BaseRequest) -> None:
        """Puts the whole answer on its way; :class:`ConnectionError` if the client has gone."""
        if not request.keep_alive:
            self._keep = False
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client has gone")
        transport.write(self.wire(request.method == "HEAD", request.version < HttpVersion11))

    async def taken(self, request: web.BaseRequest) -> None:
        """Waits for a client that is slow to take what was sent; :class:`ConnectionError` if it is
        too slow."""
        try:
            async with asyncio.timeout(self.write_timeout_s):
                await request.writer.drain()
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionResetError("the client did not take its answer in time") from None

    def wire(self, head_only: bool = False, http10: bool = False) -> bytes:
        """The bytes of the whole answer."""
        status = self._status
        body = self._content
        length = b"" if status in _BODILESS else b"Content-Length: %d\r\n" % len(body)
        if not self._keep:
            connection = b"Connection: close\r\n"
        else:
            connection = b"Connection: keep-alive\r\n" if http10 else b""
        return b"".join(
            (
                _STATUS_LINES[status],
                self._date.line(),
                self._head,
                length,
                connection,
                b"X-Request-Id: ",
                self.request_id.encode(),
                b"\r\n\r\n",
                b"" if head_only else body,
            )
        )
