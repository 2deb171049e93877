"""Websocket frames (RFC 6455) as bytes: one function out, one reader in. No I/O here.

aiohttp's reader needs a task for each client and counts no control frames.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from booking_http.sockets.codes import NO_STATUS, NOT_UTF8, PROTOCOL_ERROR, TOO_BIG
from booking_http.sockets.limits import CLOSE_REASON_SIZE_MAX, MESSAGE_SIZE_MAX

CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

_FINAL = 0x80
_RESERVED = 0x70
_OPCODE = 0x0F
_MASKED = 0x80
_LENGTH = 0x7F
_CONTROL = 0x8
"""The bit that all control frames have."""
_CONTROL_SIZE_MAX = 125
_KNOWN = frozenset({CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG})
_CLOSE_CODES = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015), *range(3000, 5000)})
"""What may stand in a close frame (7.4)."""


class FrameError(Exception):
    """The client does not keep to the protocol; ``code`` is what to close with."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(words)
        self.code = code
        self.words = words


def frame(opcode: int, payload: bytes = b"") -> bytes:
    """A whole frame of a server: final and unmasked."""
    return frame_head(opcode, len(payload)) + payload


def frame_head(opcode: int, size: int) -> bytes:
    """What comes before a payload of this size."""
    if size < 126:
        return b"%c%c" % (_FINAL | opcode, size)
    if size < 1 << 16:
        return b"%c\x7e%b" % (_FINAL | opcode, size.to_bytes(2, "big"))
    return b"%c\x7f%b" % (_FINAL | opcode, size.to_bytes(8, "big"))


def close_frame(code: int, reason: str = "") -> bytes:
    """The frame that ends a connection; a reason that is too long is cut."""
    words = reason.encode()[:CLOSE_REASON_SIZE_MAX].decode(errors="ignore").encode()
    return frame(CLOSE, code.to_bytes(2, "big") + words)


def close_code(payload: bytes) -> int:
    """The code in a client's close frame; 1005 if it gives none."""
    if not payload:
        return NO_STATUS
    code = int.from_bytes(payload[:2], "big")
    if len(payload) < 2 or code not in _CLOSE_CODES:
        raise FrameError(PROTOCOL_ERROR, "not a close code")
    _check_utf8(payload[2:])
    return code


class FrameReader:
    """Reads frames from a client's bytes, which may come in any pieces."""

    __slots__ = ("_opcode", "_parts", "_rest", "_size")

    def __init__(self) -> None:
        self._rest = b""
        """The beginning of a frame whose end has not come: under 4 KiB and a head."""
        self._opcode = CONTINUATION
        """Of the message whose fragments are being collected; CONTINUATION without one."""
        self._parts: list[bytes] | tuple[()] = ()
        self._size = 0

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Each complete frame: opcode and payload, and CONTINUATION for each fragment. Raises
        :class:`FrameError`; the reader is of no use then."""
        data = self._rest + data if self._rest else data
        at = 0
        while (head := _Head.read(data, at)) is not None:
            self._check(head)
            end = head.body + head.size
            if len(data) < end:
                break
            payload = _unmasked(data[head.body : end], data[head.body - 4 : head.body])
            at = end
            yield self._taken(head, payload)
        self._rest = data[at:]

    def _check(self, head: _Head) -> None:
        """All that can be known of a frame before its payload is here."""
        if head.opcode & _CONTROL:
            if not head.final or head.size > _CONTROL_SIZE_MAX:
                raise FrameError(PROTOCOL_ERROR, "a control frame in pieces or too long")
            return
        if (head.opcode == CONTINUATION) != (self._opcode != CONTINUATION):
            raise FrameError(PROTOCOL_ERROR, "fragments out of order")
        if self._size + head.size > MESSAGE_SIZE_MAX:
            raise FrameError(TOO_BIG, f"messages have at most {MESSAGE_SIZE_MAX} bytes")

    def _taken(self, head: _Head, payload: bytes) -> tuple[int, bytes]:
        if head.opcode & _CONTROL:
            return head.opcode, payload
        if not head.final:
            if head.opcode != CONTINUATION:
                self._opcode = head.opcode
            self._parts = [*self._parts, payload]
            self._size += len(payload)
            return CONTINUATION, b""
        opcode = head.opcode
        if opcode == CONTINUATION:
            opcode, payload = self._opcode, b"".join([*self._parts, payload])
            self._opcode, self._parts, self._size = CONTINUATION, (), 0
        if opcode == TEXT:
            _check_utf8(payload)
        return opcode, payload


class _Head(NamedTuple):
    """The head of one frame."""

    final: bool
    opcode: int
    size: int
    body: int
    """Where the payload begins; the four bytes before it are the mask."""

    @classmethod
    def read(cls, data: bytes, at: int) -> _Head | None:
        """The head that begins there; ``None`` if it is not all here."""
        if len(data) < at + 2:
            return None
        first, second = data[at], data[at + 1]
        opcode = first & _OPCODE
        if first & _RESERVED or opcode not in _KNOWN:
            raise FrameError(PROTOCOL_ERROR, "a kind of frame that is not known")
        if not second & _MASKED:
            raise FrameError(PROTOCOL_ERROR, "frames of clients are masked")
        size, body = second & _LENGTH, at + 2
        if size >= 126:
            width = 2 if size == 126 else 8
            if len(data) < body + width:
                return None
            size = int.from_bytes(data[body : body + width], "big")
            if size < (126 if width == 2 else 1 << 16) or size >= 1 << 63:
                raise FrameError(PROTOCOL_ERROR, "a length that is not written as it has to be")
            body += width
        return cls(bool(first & _FINAL), opcode, size, body + 4)


def _unmasked(payload: bytes, mask: bytes) -> bytes:
    size = len(payload)
    whole = (mask * (size // 4 + 1))[:size]
    plain = int.from_bytes(payload, "big") ^ int.from_bytes(whole, "big")
    return plain.to_bytes(size, "big")


def _check_utf8(data: bytes) -> None:
    try:
        data.decode()
    except UnicodeDecodeError:
        raise FrameError(NOT_UTF8, "text has to be UTF-8") from None
