"""Bodies in and out. These Structs decode, encode and document at the same time.

Names of fields are the contract's, camelCase and underscores as it has them; ``snake_case``
attributes would only add a second spelling of everything.
"""
# ruff: noqa: N815  -- the field names are the public ones

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from booking.accounts.domain.account import BALANCE_MAX, CHARGE_MAX

UUID_PATTERN = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"

# The length bounds are not ornament: in Python ``$`` also matches before a final newline.
UserId = Annotated[
    str,
    Meta(
        pattern=UUID_PATTERN,
        min_length=36,
        max_length=36,
        description="A UUID in canonical lower-case form.",
        examples=["7b1f0d8e-3c52-4f0e-9d63-2a4f6f5a1c11"],
    ),
]
QueueName = Annotated[str, Meta(pattern="^[A-Za-z0-9._-]+$", min_length=1, max_length=64)]
Id = Annotated[str, Meta(min_length=1, max_length=128, description="Opaque.")]
SeatNumber = Annotated[int, Meta(ge=1, le=1_000_000, description="Printed on the seat.")]
Won = Annotated[int, Meta(ge=0, le=BALANCE_MAX, description="Whole won.")]
Moment = Annotated[
    str, Meta(description="RFC 3339, UTC.", extra_json_schema={"format": "date-time"})
]
Count = Annotated[int, Meta(ge=0)]

# -- in --------------------------------------------------------------------------------------------


class IssueBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who wants to line up, and where."""

    userId: UserId
    queue: QueueName | UnsetType = UNSET


class ChargeBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose balance grows, and by how many won."""

    userId: UserId
    amount: Annotated[int, Meta(ge=1, le=CHARGE_MAX, description="Whole won.")]


class ReserveBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A seat by its id, or by date and number: one of the two, not both."""

    seatId: Id | UnsetType = UNSET
    concertScheduleId: Id | UnsetType = UNSET
    seatNumber: SeatNumber | UnsetType = UNSET


class PayBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The held seat to pay for."""

    seatId: Id


# -- out -------------------------------------------------------------------------------------------


class QueuePlace(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a token stands."""

    token: str
    userId: UserId
    status: Literal["pending", "active"]
    number: Annotated[int, Meta(ge=0, description="Given once, never again.")]
    position: Annotated[int, Meta(ge=0, description="1 is next; 0 when active.")]
    ahead: Count
    etaSeconds: Count
    etaKnown: Annotated[bool, Meta(description="False: etaSeconds means nothing yet.")]
    pollAfterMs: Annotated[int, Meta(ge=0, description="When to ask again, with jitter.")]
    expiresAt: Moment | UnsetType = UNSET
    opensAt: Moment | UnsetType = UNSET
    """Of a scheduled opening that the token waits for; places are drawn then."""
    seatsLeft: (
        Annotated[
            int,
            Meta(ge=0, description="While pending: seats that are free, of all dates to come."),
        ]
        | UnsetType
    ) = UNSET
    seatsHeld: (
        Annotated[
            int,
            Meta(ge=0, description="While pending: seats that others hold and have not paid for."),
        ]
        | UnsetType
    ) = UNSET


class AvailableDate(msgspec.Struct, frozen=True):
    """A date that can be booked now."""

    id: Id
    concertId: Id
    concertName: str
    totalSeats: Count
    reservedSeats: Annotated[int, Meta(ge=0, description="Held and sold.")]
    open_at: Moment
    close_at: Moment


class AvailableSeat(msgspec.Struct, frozen=True, omit_defaults=True):
    """A seat of a date; ``state`` only with ``all=true``."""

    id: Id
    seatNumber: SeatNumber
    price: Won
    state: Literal["available", "held", "sold"] | UnsetType = UNSET


class ReservedSeat(msgspec.Struct, frozen=True):
    id: Id
    isActive: Annotated[bool, Meta(description="True: the seat is free for anybody.")]
    seatNumber: SeatNumber


class ReservationData(msgspec.Struct, frozen=True):
    """A hold on a seat, and what became of it."""

    id: Id
    seat: ReservedSeat
    status: Literal["PENDING", "COMPLETED", "EXPIRED", "CANCELLED"]
    price: Won
    created_at: Moment
    expires_at: Moment
    expiresInSeconds: Annotated[int, Meta(ge=0, description="0 when no longer pending.")]


class BalanceData(msgspec.Struct, frozen=True):
    balance: Won


class HistoryEntry(msgspec.Struct, frozen=True):
    """One movement of a balance; ``balance`` is the one after it."""

    id: Id
    type: Literal["CHARGE", "USE", "REFUND"]
    amount: Won
    balance: Won
    created_at: Moment


class HistoryPage(msgspec.Struct, frozen=True):
    """Newest first."""

    items: list[HistoryEntry]
    has_more: bool


class PaymentData(msgspec.Struct, frozen=True):
    """A completed payment. Name and dates are null once the date has left the catalogue."""

    id: Id
    seatId: Id
    seatNumber: SeatNumber
    concertName: str | None
    openDate: Moment | None
    closeDate: Moment | None
    totalAmount: Won
    status: Literal["COMPLETED"]
    created_at: Moment


class PaymentPage(msgspec.Struct, frozen=True):
    """Newest first."""

    items: list[PaymentData]
    has_more: bool


class Health(msgspec.Struct, frozen=True, omit_defaults=True):
    """``checks`` only with ``?verbose``."""

    status: Literal["alive", "ready"]
    checks: dict[str, str] | UnsetType = UNSET


class Complaint(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that is wrong with a document; without line and field, with what it would do."""

    message: str
    line: Annotated[int, Meta(ge=1)] | UnsetType = UNSET
    field: str | UnsetType = UNSET


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """RFC 9457, with this service's extensions."""

    type: str
    title: str
    status: Annotated[int, Meta(ge=400, le=599)]
    detail: str
    instance: str
    success: Literal[False]
    message: Annotated[str, Meta(description="The words of detail.")]
    code: Annotated[str, Meta(description="Stable; clients switch on it.")]
    request_id: str
    position: Annotated[int, Meta(ge=0, description="not_admitted only.")] | UnsetType = UNSET
    ahead: Count | UnsetType = UNSET
    etaSeconds: Count | UnsetType = UNSET
    etaKnown: bool | UnsetType = UNSET
    pollAfterMs: Count | UnsetType = UNSET
    retryAfterMs: (
        Annotated[int, Meta(ge=1, description="hold_cooling_down only: Retry-After, exactly.")]
        | UnsetType
    ) = UNSET
    checks: Annotated[dict[str, str], Meta(description="not_ready only.")] | UnsetType = UNSET
    errors: Annotated[list[Complaint], Meta(description="Of a catalogue document.")] | UnsetType = (
        UNSET
    )
