"""What is said over a websocket, as Structs that encode, decode and document."""
# ruff: noqa: N815  -- the field names are the public ones

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from booking.seats.domain.ledger import SeatWord
from booking_http.queue.schemas import QueuePlace
from booking_http.schemas import Id, SeatNumber
from booking_http.sockets.frames import TEXT, frame, frame_head

Seq = Annotated[int, Meta(ge=1, description="One more with each frame of this kind.")]
Milliseconds = Annotated[int, Meta(ge=0)]


class Hello(msgspec.Struct, frozen=True, tag="hello"):
    """The first frame."""

    heartbeatMs: Annotated[int, Meta(ge=1, description="A ping comes this often; answer it.")]
    reconnectJitterMs: Annotated[
        int, Meta(ge=0, description="Come back after a random part of this time.")
    ]


class QueueUpdate(msgspec.Struct, frozen=True, tag="queue"):
    """Where the token stands now: the object of ``GET /queue/status``."""

    seq: Seq
    data: QueuePlace


class SeatState(msgspec.Struct, frozen=True):
    """What has become of a seat."""

    seatNumber: SeatNumber
    state: SeatWord


class SeatChanges(msgspec.Struct, frozen=True):
    """States of seats. A snapshot has every seat of the date and replaces all that came before;
    what is no snapshot has those that are different from the frame with the number before."""

    concertScheduleId: Id
    version: Annotated[int, Meta(ge=0, description="Grows with the date's changes.")]
    snapshot: bool
    changed: list[SeatState]


class SeatsUpdate(msgspec.Struct, frozen=True, tag="seats"):
    """Seats of the date. If ``seq`` is not one more than before and it is no snapshot, something
    was missed: connect again."""

    seq: Seq
    data: SeatChanges


class Ended(msgspec.Struct, frozen=True, tag="ended"):
    """There is nothing more to tell; the close follows."""

    code: Annotated[str, Meta(description="As in a problem document, such as token_expired.")]
    message: str


class Reconnect(msgspec.Struct, frozen=True, tag="reconnect"):
    """The instance stops: connect again after this time. The close (1012) follows."""

    afterMs: Milliseconds


class Pong(msgspec.Struct, frozen=True, tag="pong"):
    """The answer to a client's ``ping``, for programs that do not see a websocket's own pings."""


class Ping(msgspec.Struct, frozen=True, tag="ping", forbid_unknown_fields=True):
    """All that a client can say: are you there?"""


_ENCODE = msgspec.json.Encoder().encode
decode_client_message = msgspec.json.Decoder(Ping).decode
"""A client's message; :class:`msgspec.DecodeError` if it is none."""

PONG = frame(TEXT, _ENCODE(Pong()))


def snapshot_frame(seq: int, date: str, version: int, changed: Sequence[bytes]) -> list[bytes]:
    """The frame of a :class:`SeatsUpdate` with the :class:`SeatState` of every seat, in parts of
    which ``changed`` are encoded already."""
    nothing = SeatsUpdate(seq, SeatChanges(date, version, True, []))
    head, tail = _ENCODE(nothing).split(b"[]")
    parts = [head + b"[", *changed, b"]" + tail]
    return [frame_head(TEXT, sum(map(len, parts))), *parts]


def encoded(message: Hello | QueueUpdate | SeatsUpdate | Ended | Reconnect) -> bytes:
    """The message as a finished frame."""
    return frame(TEXT, _ENCODE(message))
