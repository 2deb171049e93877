"""Audits as the operators' calls see them: the contract of the service and its values."""

from __future__ import annotations

from typing import Protocol

import msgspec

from booking.audit.report import AuditReport


class AuditRun(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An audit that came to its end, well or not."""

    asked_by: str
    ended_at_ms: int
    """By the database's clock."""
    problem: str
    """Why the journal could not be audited; empty if it was."""
    report: AuditReport | None
    """What was found; ``None`` with a problem."""


class AuditState(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Over all instances: they share one journal, and one audit at a time."""

    running_since_ms: int | None
    last: AuditRun | None


class AuditRunningError(Exception):
    """An audit is under way, here or on another instance."""


class AuditService(Protocol):
    """Audits on request; both methods may raise :class:`actors.journal.contract.JournalError`."""

    async def state(self) -> AuditState:
        """What runs, and what the last one found."""

    async def begin(self, who: str) -> None:
        """Start one, which runs on by itself, or raise :class:`AuditRunningError`."""
