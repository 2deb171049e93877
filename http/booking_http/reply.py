"""Answers, written to the connection as one block of bytes.

aiohttp's ``Response`` serializes headers for each answer; ours are kept as bytes, which saves about
8 us of the 20 that a small answer costs. Nothing checks what goes into a header, so it is either
ours or was checked on the way in.
"""

import asyncio
import zlib
from collections.abc import Callable, Iterable, Sequence
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus

import msgspec
from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import HttpVersion11

from actors.clock import SystemClock

JSON = b"Content-Type: application/json\r\n"
PROBLEM = b"Content-Type: application/problem+json\r\n"
NO_STORE = b"Cache-Control: no-store\r\n"
REVALIDATE = b"Cache-Control: private, no-cache\r\n"
"""Keep it, but ask with If-None-Match before each use."""
PUBLIC = b"Cache-Control: no-cache\r\n"
"""As :data:`REVALIDATE`, for what is the same for everybody."""
REPLAYED = b"Idempotent-Replayed: true\r\n"

_EVERYWHERE = b"Server: booking\r\nX-Content-Type-Options: nosniff\r\n"
_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() + _EVERYWHERE
    for status in HTTPStatus
    if status >= HTTPStatus.OK
}
_BODILESS = (204, 304)
_ENCODE = msgspec.json.Encoder().encode


class HttpDate:
    """The ``Date`` header line, made once a second, of the clock that ``expiresAt`` is of."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._second = 0
        self._line = b""

    def line(self) -> bytes:
        """The whole header line."""
        second = self._now_ms() // 1000
        if second != self._second:
            self._second = second
            self._line = f"Date: {formatdate(second, usegmt=True)}\r\n".encode()
        return self._line


def header(name: str, value: str) -> bytes:
    """One header line. Both must be free of control characters: see the module's words."""
    return f"{name}: {value}\r\n".encode("latin-1")


class Reply(web.StreamResponse):
    """A whole answer: status, header lines and body as bytes."""

    # StreamResponse.__init__ is not called on purpose: it builds the multidict this class avoids.
    # aiohttp asks an answer only for prepare(), write_eof() and keep_alive.
    def __init__(
        self, status: int, headers: bytes = b"", body: bytes | Sequence[bytes] = b""
    ) -> None:
        self._status = status
        self._head = headers
        self._content = body

    date = HttpDate(SystemClock().now_ms)
    """Told in ``Date``; the dispatcher gives its own."""
    _keep = True
    _request: web.BaseRequest | None = None
    request_id = ""
    """Told in ``X-Request-Id``."""
    write_timeout_s = 60.0
    """How long the client may take to read the answer."""

    @property
    def keep_alive(self) -> bool:
        """Whether the connection stays open after this answer."""
        return self._keep

    @property
    def prepared(self) -> bool:
        """Whether :meth:`prepare` was called."""
        return self._request is not None

    def force_close(self) -> None:
        """End the connection with this answer."""
        self._keep = False

    def add_header(self, line: bytes) -> None:
        """Add one finished header line."""
        self._head += line

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter:
        """Remember the request, as aiohttp demands; nothing is sent yet."""
        self._request = request
        return request.writer

    async def write_eof(self, data: bytes = b"") -> None:
        """Send the answer, and wait only if the client is slow to take it."""
        request = self._request
        assert request is not None, "prepare() comes first"
        assert not data, "the body is given to the constructor"
        self.send(request)
        if request.protocol.writing_paused:
            await self.taken(request)

    def send(self, request: web.BaseRequest) -> None:
        """Send the whole answer. Raises :class:`ConnectionError` if the client has gone."""
        if not request.keep_alive:
            self._keep = False
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client has gone")
        http10, body = request.version < HttpVersion11, self._content
        if isinstance(body, bytes):
            transport.write(self.wire(request.method == "HEAD", http10))
            return
        # Megabytes, which many clients share and nobody copies. Up to Python 3.12.8 and 3.13.1 only
        # write() notices a slow client (CVE-2024-12254).
        parts = () if request.method == "HEAD" else body
        *most, last = (self._begin(sum(map(len, body)), http10), *parts)
        transport.writelines(most)
        transport.write(last)

    async def taken(self, request: web.BaseRequest) -> None:
        """Wait for a slow client. Raises :class:`ConnectionError` if it is too slow."""
        try:
            async with asyncio.timeout(self.write_timeout_s):
                await request.writer.drain()
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionResetError("the client did not take its answer in time") from None

    def wire(self, head_only: bool = False, http10: bool = False) -> bytes:
        """The bytes of the whole answer, whose body is in one piece."""
        assert isinstance(self._content, bytes)
        return self._begin(len(self._content), http10, b"" if head_only else self._content)

    def _begin(self, size: int, http10: bool, body: bytes = b"") -> bytes:
        """The bytes of the answer's head, for a body of this size, and that body."""
        status = self._status
        length = b"" if status in _BODILESS else b"Content-Length: %d\r\n" % size
        if not self._keep:
            length += b"Connection: close\r\n"
        elif http10:
            length += b"Connection: keep-alive\r\n"
        return b"%b%b%b%bX-Request-Id: %b\r\n\r\n%b" % (
            _STATUS_LINES[status],
            self.date.line(),
            self._head,
            length,
            self.request_id.encode(),
            body,
        )


PACK_MIN_BYTES = 1_400
"""Less fits into one packet as it is."""
_VARY = b"Vary: Accept-Encoding\r\n"
_GZIP = b"Content-Encoding: gzip\r\n"
_GZIP_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_DEFLATE_END = b"\x03\x00"
"""An empty last block (RFC 1951)."""


def packed_part(text: bytes) -> bytes:
    """A part of a body, compressed so that it may stand beside others: see :func:`gzip_of`."""
    packer = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(text) + packer.flush(zlib.Z_FULL_FLUSH)


def gzip_of(texts: Iterable[bytes], parts: Sequence[bytes]) -> Sequence[bytes]:
    """One gzip member (RFC 1952) of these texts, made of :func:`packed_part` of each."""
    crc = size = 0
    for text in texts:
        crc, size = zlib.crc32(text, crc), size + len(text)
    end = _DEFLATE_END + crc.to_bytes(4, "little") + (size % 2**32).to_bytes(4, "little")
    return (_GZIP_HEAD, *parts, end)


def takes_gzip(request: web.BaseRequest) -> bool:
    """Whether the client takes a compressed answer (RFC 9110, 12.5.3)."""
    accepted = request.headers.get("Accept-Encoding")
    return accepted is not None and _names_gzip(accepted)


@lru_cache(maxsize=256)
def _names_gzip(accepted: str) -> bool:
    for each in accepted.lower().split(","):
        coding, _, weight = each.partition(";")
        if coding.strip() == "gzip":
            return weight.strip().removeprefix("q=").rstrip("0.") != "" or not weight.strip()
    return False


class Representation:
    """A finished body with the entity tag that names it, quotes included (RFC 9110, 8.8.3).

    It is compressed once, for all who ask. ``kind`` is the ``Content-Type`` line, and ``kept``
    further header lines, which a 304 has too.
    """

    __slots__ = ("_head", "_packed", "_packed_head", "body", "etag", "kept", "kind", "packs")

    def __init__(
        self,
        body: bytes | Sequence[bytes],
        etag: str,
        kind: bytes = JSON,
        kept: bytes = REVALIDATE,
    ) -> None:
        self.body, self.etag, self.kind, self.kept = body, etag, kind, kept
        size = len(body) if isinstance(body, bytes) else sum(map(len, body))
        self.packs = size >= PACK_MIN_BYTES
        """Whether it is worth to compress it."""
        lines = kept + (_VARY if self.packs else b"") + b"ETag: "
        self._head = lines + etag.encode() + b"\r\n"
        self._packed_head = lines + etag[:-1].encode() + b'-gzip"\r\n'
        self._packed: bytes | Sequence[bytes] | None = None

    def pack(self, parts: bytes | Sequence[bytes]) -> None:
        """Take the compressed body, which somebody else has made."""
        self._packed = parts

    @property
    def packed(self) -> bool:
        """Whether there is a compressed body."""
        return self._packed is not None

    def reply(self, request: web.BaseRequest) -> Reply:
        """The body, or 304 if the client names it in ``If-None-Match``; compressed if the client
        takes that, and a body in parts has been."""
        packs = self.packs and takes_gzip(request)
        if packs and self._packed is None and isinstance(self.body, bytes):
            self._packed = b"".join(gzip_of((self.body,), (packed_part(self.body),)))
        packs = packs and self._packed is not None
        wanted = request.headers.get("If-None-Match")
        if wanted is not None and self.matches(wanted):
            return Reply(304, self._packed_head if packs else self._head)
        if not packs or self._packed is None:
            return Reply(200, self.kind + self._head, self.body)
        return Reply(200, self.kind + _GZIP + self._packed_head, self._packed)

    def matches(self, if_none_match: str) -> bool:
        """Whether the header names this body, compressed or not. The comparison is the weak one
        (13.1.2), and our tags have no commas inside, so that a list may be split at them."""
        if if_none_match == self.etag:
            return True
        named = (each.strip() for each in if_none_match.split(","))
        return any(
            each == "*" or each.removeprefix("W/").replace('-gzip"', '"') == self.etag
            for each in named
        )


def data_body(data: object) -> bytes:
    """The envelope of every success."""
    return b'{"success":true,"data":%b}' % _ENCODE(data)


def data_reply(data: object, status: int = 200, headers: bytes = NO_STORE) -> Reply:
    """A success. Answers are not to be stored unless ``headers`` says otherwise."""
    return Reply(status, JSON + headers, data_body(data))
