"""What the schemas of several subjects share: ids, money, moments, and the problem document.

These Structs decode, encode and document at the same time, with the contract's names.
"""
# ruff: noqa: N815  -- the field names are the public ones

from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

import msgspec
from msgspec import UNSET, Meta, UnsetType

from booking.accounts.domain.account import BALANCE_MAX

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
LocalMoment = Annotated[
    str,
    Meta(
        description="When it opens, on the venue's clocks: RFC 3339.",
        extra_json_schema={"format": "date-time"},
    ),
]
Count = Annotated[int, Meta(ge=0)]


def rfc3339(ms: int) -> str:
    """Milliseconds since the epoch as RFC 3339 in UTC, to the millisecond."""
    return f"{_to_the_second(ms // 1000)}.{ms % 1000:03d}Z"


@lru_cache(maxsize=4_096)
def _to_the_second(second: int) -> str:
    """Kept for as many seconds as answers are about at a time: now, ends of holds and active
    times, and the dates of a season."""
    # isoformat() takes a third of the time of strftime().
    return datetime.fromtimestamp(second, UTC).isoformat()[:19]


@lru_cache(maxsize=4_096)
def local_time(ms: int, time_zone: str) -> str:
    """Milliseconds since the epoch on the clocks of a time zone: RFC 3339, to the second."""
    return datetime.fromtimestamp(ms // 1000, ZoneInfo(time_zone)).isoformat()


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
    seats: (
        Annotated[
            tuple[int, ...], Meta(description="seat_unavailable only: taken ones of an order.")
        ]
        | UnsetType
    ) = UNSET
    checks: Annotated[dict[str, str], Meta(description="not_ready only.")] | UnsetType = UNSET
    errors: Annotated[list[Complaint], Meta(description="Of a catalogue document.")] | UnsetType = (
        UNSET
    )
