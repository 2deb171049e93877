"""Bodies of the calls about seats and reservations, in and out."""
# ruff: noqa: N815  -- the field names are the public ones

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from booking.domain.plan import Flag
from booking.seats.domain.ledger import SeatWord
from booking_http.schemas import Id, Moment, SeatNumber, Won


class ReserveBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A seat by its id, or by date and number: one of the two, not both."""

    seatId: Id | UnsetType = UNSET
    concertScheduleId: Id | UnsetType = UNSET
    seatNumber: SeatNumber | UnsetType = UNSET


class AvailableSeat(msgspec.Struct, frozen=True, omit_defaults=True):
    """A seat of a date; ``state`` only with ``all=true``."""

    id: Id
    seatNumber: SeatNumber
    price: Won
    state: SeatWord | UnsetType = UNSET


class ReservedSeat(msgspec.Struct, frozen=True, omit_defaults=True):
    """The seat of a reservation. Where it is is absent if the date has no plan."""

    id: Id
    isActive: Annotated[bool, Meta(description="True: the seat is free for anybody.")]
    seatNumber: SeatNumber
    section: str | UnsetType = UNSET
    row: str | UnsetType = UNSET
    label: str | UnsetType = UNSET
    category: str | UnsetType = UNSET
    flags: tuple[Flag, ...] = ()


class ReservationData(msgspec.Struct, frozen=True):
    """A hold on a seat, and what became of it."""

    id: Id
    seat: ReservedSeat
    status: Literal["PENDING", "COMPLETED", "EXPIRED", "CANCELLED"]
    price: Won
    created_at: Moment
    expires_at: Moment
    expiresInSeconds: Annotated[int, Meta(ge=0, description="0 when no longer pending.")]
