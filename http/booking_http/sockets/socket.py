"""One client: what it says, what is written to it, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

import msgspec

from booking.calls import QueueToken
from booking.queue.view import QueueStatus
from booking_http.sockets import codes
from booking_http.sockets.frames import (
    CLOSE,
    CONTINUATION,
    PING,
    TEXT,
    FrameError,
    FrameReader,
    close_code,
    close_frame,
    frame,
)
from booking_http.sockets.frames import PONG as PONG_FRAME
from booking_http.sockets.limits import MESSAGES_PER_MINUTE_MAX, UNREAD_SIZE_MAX
from booking_http.sockets.messages import PONG, decode_client_message

Channel = Literal["queue", "seats"]

_MINUTE_S = 60.0
_PACE_S = _MINUTE_S / MESSAGES_PER_MINUTE_MAX
_PING = frame(PING)


class Keeper(Protocol):
    """What a socket tells the hub, and what subscribers ask of it about one socket."""

    def alive(self, socket: Socket) -> None:
        """The holder of the socket said something."""

    def closing(self, socket: Socket) -> None:
        """The socket was closed; the client may still answer."""

    def gone(self, socket: Socket) -> None:
        """The connection is no more."""

    def reads(self, socket: Socket, now: float) -> bool:
        """Whether a push makes sense now: a client that does not read is passed over."""

    def push(self, socket: Socket, *parts: bytes) -> None:
        """Write news."""

    def guarded(self, visit: Callable[[Socket, float], None], socket: Socket, now: float) -> None:
        """Run a visit whose failure ends this socket alone; UnavailableError gets through."""


@dataclass(slots=True, eq=False)
class Socket:
    """An open websocket, as aiohttp's parser (``feed_data``, ``feed_eof``)."""

    _transport: asyncio.Transport
    _clock: Callable[[], float]
    _keeper: Keeper
    channel: Channel
    token: QueueToken
    text: str
    """The token as it was sent."""
    schedule: str = ""
    """The date of a seats socket."""
    seq: int = 0
    """Of the last frame of the channel's kind."""
    told: QueueStatus | None = None
    """What a queue socket was told last."""
    heard_at: float = field(init=False)
    slow_since: float = 0.0
    """Since when it has not taken what was written; 0 for a client that reads."""
    code: int = 0
    """What it is closed with; 0 while it is open."""
    close_by: float = 0.0
    """When the connection is cut if the client has not answered the close; for its keeper."""
    ended: asyncio.Future[None] = field(init=False)
    """Done when the connection is gone."""
    _reader: FrameReader | None = field(default_factory=FrameReader)
    """``None`` when nothing the client says matters any more."""
    _received_close: bool = False
    _free_at: float = 0.0
    """When the allowance of messages will be whole again (GCRA)."""

    def __post_init__(self) -> None:
        self.heard_at = self._clock()
        self.ended = asyncio.get_running_loop().create_future()

    @property
    def open(self) -> bool:
        """Whether it was not closed yet, by us or by the client."""
        return self.code == 0

    # -- out --------------------------------------------------------------------------------------

    def ready(self, now: float) -> bool:
        """Whether the client has taken nearly all that was written to it before."""
        if self._transport.get_write_buffer_size() <= UNREAD_SIZE_MAX:
            self.slow_since = 0.0
            return True
        if not self.slow_since:
            self.slow_since = now
        return False

    def write(self, *parts: bytes) -> None:
        """Hand frames to the transport. Ask :meth:`ready` first."""
        if self.open and not self._transport.is_closing():
            if len(parts) == 1:
                self._transport.write(parts[0])
            else:
                self._transport.writelines(parts)

    def ping(self) -> None:
        """Ask the client for a sign of life."""
        self.write(_PING)

    def close(self, code: int, reason: str, last: bytes = b"") -> None:
        """Send ``last`` and a close frame, and give the client a moment to answer."""
        if self.open:
            self.write(last + close_frame(code, reason))
            self._closing(code)

    def _closing(self, code: int) -> None:
        self.code = code
        self._keeper.closing(self)

    def abort(self) -> None:
        """Cut the connection at once."""
        if self.open:
            self._closing(codes.LOST)
        self._transport.abort()

    # -- in ---------------------------------------------------------------------------------------

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Bytes from the client. Returns whether that was all, and what is left over."""
        if self._reader is not None:
            try:
                for opcode, payload in self._reader.feed(data):
                    self._receive(opcode, payload)
                    if self._received_close:
                        self._reader = None
                        break
            except FrameError as error:
                self._deafen(error.code, error.words)
        return self._received_close, b""

    def feed_eof(self) -> None:
        """The connection is gone."""
        if self.open:
            self.code = codes.LOST
        if not self.ended.done():
            self.ended.set_result(None)
            self._keeper.gone(self)

    def _receive(self, opcode: int, payload: bytes) -> None:
        if opcode == CLOSE:
            self._received_close = True
            self._answer_close(close_code(payload))
            return
        if not self.open:
            return  # said before it knew that we close
        if not self._allowed():
            self._deafen(codes.REFUSED, f"more than {MESSAGES_PER_MINUTE_MAX} messages a minute")
            return
        self._keeper.alive(self)
        if opcode == PING:
            self._reply(frame(PONG_FRAME, payload))
        elif opcode not in (CONTINUATION, PONG_FRAME):
            self._answer_message(opcode, payload)

    def _answer_message(self, opcode: int, payload: bytes) -> None:
        try:
            if opcode != TEXT:
                raise msgspec.DecodeError("text is expected")
            decode_client_message(payload)
        except msgspec.DecodeError as error:
            self._deafen(codes.NOT_UNDERSTOOD, f"not understood: {error}")
        else:
            self._reply(PONG)

    def _answer_close(self, code: int) -> None:
        """The client's close: say it back, unless it is the answer to ours, and end."""
        if self.open:
            said = b"" if code == codes.NO_STATUS else code.to_bytes(2, "big")
            self.write(frame(CLOSE, said))
            self._closing(code)
        self._transport.close()

    def _reply(self, data: bytes) -> None:
        """Only to a client that reads: one that asks and never listens gets no memory of ours."""
        if self.ready(self._clock()):
            self.write(data)

    def _allowed(self) -> bool:
        now = self._clock()
        self.heard_at = now
        self._free_at = max(self._free_at, now) + _PACE_S
        return self._free_at - now <= _MINUTE_S + _PACE_S / 2

    def _deafen(self, code: int, reason: str) -> None:
        """Close, and throw away what comes, which would reset it under our answer."""
        self.close(code, reason)
        self._reader = None
