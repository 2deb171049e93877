"""Bodies of the queue's calls, in and out."""
# ruff: noqa: N815  -- the field names are the public ones

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from booking.queue.view import QueueStatus
from booking_http.schemas import Count, Moment, QueueName, UserId, rfc3339


class IssueBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who wants to line up, and where."""

    userId: UserId
    queue: QueueName | UnsetType = UNSET


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
            int, Meta(ge=0, description="While pending: seats that are free, of all dates to come.")
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


def place_of(standing: QueueStatus) -> QueuePlace:
    """A place as clients see it: polled or pushed, the same object."""
    return QueuePlace(
        token=standing.token,
        userId=standing.user,
        status="active" if standing.active else "pending",
        number=standing.number,
        position=standing.position,
        ahead=standing.ahead,
        etaSeconds=standing.eta_s,
        etaKnown=standing.eta_known,
        pollAfterMs=standing.poll_after_ms,
        expiresAt=rfc3339(standing.expires_ms) if standing.expires_ms else UNSET,
        opensAt=rfc3339(standing.opens_ms) if standing.opens_ms else UNSET,
        seatsLeft=UNSET if standing.seats_left is None else standing.seats_left,
        seatsHeld=UNSET if standing.seats_held is None else standing.seats_held,
    )
