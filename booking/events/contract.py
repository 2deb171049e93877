"""The public events: CloudEvents 1.0 whose ``data`` is one of the Structs here.

Each Struct is a versioned contract with programs of other people. A field may be added; anything
else is a new version, told beside the old one for a while.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Literal

import msgspec


class _OfPlace(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    queue: str
    number: int
    user_id: str


class QueueJoined(_OfPlace, frozen=True, kw_only=True, rename="camel"):
    """A user lined up and has this number."""


class QueueAdmitted(_OfPlace, frozen=True, kw_only=True, rename="camel"):
    """A user came in and may book until ``expiresAt``."""

    expires_at: datetime


class QueueLeft(_OfPlace, frozen=True, kw_only=True, rename="camel"):
    """A place or an active time ended: given up by its user, dropped because the user gave no sign,
    used up by a payment, or over."""

    reason: Literal["given_up", "silent", "paid", "expired"]


class QueueDrawn(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Lots were drawn among those who came before the opening. With ``seed`` anybody can repeat the
    draw over the numbers ``first`` to ``last``."""

    queue: str
    seed: str
    first: int
    last: int


class QueueChanged(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """These rules are in force from now on; a limit of 0 is none."""

    queue: str
    mode: Literal["open", "paused", "queue_all"]
    max_active: int
    max_waiting: int
    active_seconds: float
    admit_per_interval: int
    interval_seconds: float
    opens_at: datetime | None


class _OfSeat(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    concert_schedule_id: str
    seat_id: str
    seat_number: int
    reservation_id: str
    user_id: str


class SeatHeld(_OfSeat, frozen=True, kw_only=True, rename="camel"):
    """A seat is reserved and has to be paid for before ``expiresAt``."""

    price: int
    expires_at: datetime


class SeatReleased(_OfSeat, frozen=True, kw_only=True, rename="camel"):
    """A reserved seat is free again, unpaid."""

    reason: Literal["cancelled", "expired"]


class SeatSold(_OfSeat, frozen=True, kw_only=True, rename="camel"):
    """A seat is its buyer's for good."""

    payment_id: str
    price: int


class _OfBalance(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    user_id: str
    amount: int
    balance: int


class BalanceCharged(_OfBalance, frozen=True, kw_only=True, rename="camel"):
    """A user added money. ``balance`` is what there is afterwards, in won."""


class BalanceUsed(_OfBalance, frozen=True, kw_only=True, rename="camel"):
    """Money was taken for a payment that has begun."""

    payment_id: str


class BalanceRefunded(_OfBalance, frozen=True, kw_only=True, rename="camel"):
    """Money is back, because the payment that took it did not get the seat."""

    payment_id: str
    reason: str


class PaymentCompleted(_OfSeat, frozen=True, kw_only=True, rename="camel"):
    """A payment ended with the seat; of several, one for each with its share."""

    payment_id: str
    amount: int


TYPES: Final[Mapping[type[msgspec.Struct], str]] = {
    QueueJoined: "booking.queue.joined.v1",
    QueueAdmitted: "booking.queue.admitted.v1",
    QueueLeft: "booking.queue.left.v1",
    QueueDrawn: "booking.queue.drawn.v1",
    QueueChanged: "booking.queue.changed.v1",
    SeatHeld: "booking.seat.held.v1",
    SeatReleased: "booking.seat.released.v1",
    SeatSold: "booking.seat.sold.v1",
    BalanceCharged: "booking.balance.charged.v1",
    BalanceUsed: "booking.balance.used.v1",
    BalanceRefunded: "booking.balance.refunded.v1",
    PaymentCompleted: "booking.payment.completed.v1",
}
"""All there are, and what each is called."""


class CloudEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One public event, whose JSON is the structured mode of CloudEvents 1.0."""

    specversion: Literal["1.0"] = "1.0"
    id: str
    """Names it for ever: ``<shard>-<seq>`` of the journal, and ``-<number>`` if it is about one of
    the several people that the journal's event is about. A repeat has the same."""
    source: str
    type: str
    subject: str
    """The entity: ``queue/<name>/<number>``, ``seat/<seatId>``, ``user/<userId>``. Events of one
    subject come in the order in which they happened."""
    time: datetime
    """When it was decided."""
    datacontenttype: Literal["application/json"] = "application/json"
    data: Any
    """One of :data:`TYPES`."""

    def encode(self) -> bytes:
        """Its JSON."""
        return _ENCODE(self)


_ENCODE = msgspec.json.Encoder().encode
MEDIA_TYPE: Final = "application/cloudevents+json"


def source_of(cluster: str) -> str:
    """The source of all events of a cluster."""
    return f"/booking/{cluster}"
