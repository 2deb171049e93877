"""How an entity says no: as a value if the rules say so, by a crash if an invariant is broken.

A decision is events and a reply. The reply may be :class:`Rejected` and events be there all the
same: what time alone brings about is decided together with whatever command comes next.
"""

from enum import StrEnum

import msgspec


class BrokenInvariantError(Exception):
    """The state and what is said about it contradict each other: a defect, never an outcome."""


class Code(StrEnum):
    """Why a command was refused. Stable: clients switch on these."""

    INSUFFICIENT_BALANCE = "insufficient_balance"
    BALANCE_LIMIT = "balance_limit"
    SEAT_UNAVAILABLE = "seat_unavailable"
    BOOKING_CLOSED = "booking_closed"
    HOLD_LIMIT_REACHED = "hold_limit_reached"
    PURCHASE_LIMIT_REACHED = "purchase_limit_reached"
    NO_MATCH = "no_match"
    HOLD_COOLING_DOWN = "hold_cooling_down"
    HOLD_EXPIRED = "hold_expired"
    RESERVATION_NOT_FOUND = "reservation_not_found"
    RESERVATION_ENDED = "reservation_ended"
    ALREADY_PAID = "already_paid"
    PAYMENT_IN_PROGRESS = "payment_in_progress"
    ALREADY_QUEUED = "already_queued"
    NOT_QUEUED = "not_queued"
    QUEUE_FULL = "queue_full"


class Rejected(msgspec.Struct, frozen=True, gc=False, tag=True, omit_defaults=True):
    """The command has no effect."""

    code: Code
    detail: str
    """One sentence for a person."""
    retry_after_ms: int = 0
    """When time alone will have taken the reason away; 0 where it never does, or nobody knows."""
    seats: tuple[int, ...] = ()
    """Those that were taken, of several that were asked for."""
