"""Bodies of the calls about balances and payments, in and out."""
# ruff: noqa: N815  -- the field names are the public ones

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from booking.accounts.domain.account import CHARGE_MAX
from booking_http.schemas import Id, Moment, SeatNumber, UserId, Won


class ChargeBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose balance grows, and by how many won."""

    userId: UserId
    amount: Annotated[int, Meta(ge=1, le=CHARGE_MAX, description="Whole won.")]


class PayBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The held seat to pay for."""

    seatId: Id


class BalanceData(msgspec.Struct, frozen=True):
    """A user's balance."""

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
