"""Bodies of the operators' side, in and out, beyond those that the cluster hands out itself."""
# ruff: noqa: N815  -- the field names are the public ones

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from actors.placement.board import Held
from actors.placement.load import Load
from actors.placement.plan import Move, Plan, Withdrawal
from booking.audit.report import AuditReport
from booking.queue.admin import QueueReport
from booking_http.schemas import Moment

# The length bounds are not ornament: in Python ``$`` also matches before a final newline.
InstanceName = Annotated[
    str, Meta(pattern="^[A-Za-z0-9][A-Za-z0-9._-]*$", min_length=1, max_length=63)
]
Reason = Annotated[
    str,
    Meta(
        pattern=r"^[^\x00-\x1f\x7f]+$",
        min_length=1,
        max_length=200,
        description="For whoever finds the shard frozen.",
    ),
]
PlanId = Annotated[str, Meta(min_length=1, max_length=64)]

# -- in --------------------------------------------------------------------------------------------


class RebalanceBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``{"dryRun": true}`` asks for a plan, ``{"planId": ...}`` begins that one."""

    dryRun: bool | UnsetType = UNSET
    planId: PlanId | UnsetType = UNSET


class TargetBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The instance that is to have the shard."""

    to: InstanceName


class FreezeBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why the shard has to stay."""

    reason: Reason


class QueueBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to change; a field left out stays as it is."""

    mode: Literal["open", "paused", "queue_all"] | UnsetType = UNSET
    maxActive: Annotated[int, Meta(ge=0, le=1_000_000)] | UnsetType = UNSET
    admitPerInterval: Annotated[int, Meta(ge=0, le=1_000_000)] | UnsetType = UNSET
    intervalS: Annotated[int, Meta(ge=1, le=86_400)] | UnsetType = UNSET
    activeS: Annotated[int, Meta(ge=1, le=86_400)] | UnsetType = UNSET
    maxWaiting: Annotated[int, Meta(ge=0, le=1_000_000_000)] | UnsetType = UNSET
    opensAt: Annotated[str, Meta(max_length=64)] | UnsetType | None = UNSET


# -- out -------------------------------------------------------------------------------------------


class PlanData(msgspec.Struct, frozen=True):
    """A plan without what it was based on, which only its author needs."""

    planId: str
    moves: tuple[Move, ...]
    withdrawals: tuple[Withdrawal, ...]
    held: tuple[Held, ...]
    loadBefore: Load
    loadAfter: Load

    @classmethod
    def of(cls, plan: Plan) -> PlanData:
        return cls(
            plan.plan_id,
            plan.moves,
            plan.withdrawals,
            plan.held,
            plan.load_before,
            plan.load_after,
        )


class Done(msgspec.Struct, frozen=True):
    """What was asked is in force, or under way, and in the audit trail."""

    what: str
    target: str
    who: str


class QueueList(msgspec.Struct, frozen=True):
    items: list[QueueReport]


class CatalogueChanged(msgspec.Struct, frozen=True):
    """What was in the document, and the catalogue's version with it."""

    concerts: int
    dates: int
    version: int


class LogEntry(msgspec.Struct, frozen=True):
    """One line of the audit trail."""

    id: str
    at: Moment
    who: str
    what: str
    detail: dict[str, Any]


class LogPage(msgspec.Struct, frozen=True):
    """Newest first."""

    items: list[LogEntry]
    has_more: bool


class AuditData(msgspec.Struct, frozen=True):
    """The last audit of the journal that came to an end, and whether one runs now."""

    verdict: Literal["clean", "violated", "failed", "none"]
    """``failed``: the journal could not be read to its end; ``none``: there was no audit yet."""
    endedAt: Moment | None
    tookSeconds: float | None
    askedBy: str | None
    problem: str | None
    runningSince: Moment | None
    report: AuditReport | None
