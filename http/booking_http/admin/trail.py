"""The audit trail of operators, and audits of the journal."""
# ruff: noqa: N815  -- the field names are the public ones

import re
from typing import Any, Literal

import msgspec

from actors.placement.contract import OperatorLogEntry
from booking.audit.report import AuditReport, AuditState
from booking_http.admin.service import AdminCalls, Done
from booking_http.reply import Reply, data_reply
from booking_http.routes import LIMIT, Answer, Call, Param, Route
from booking_http.schemas import Moment, rfc3339

_LINE = re.compile(r"[1-9][0-9]{0,17}")


def _line_id(value: str) -> int:
    if _LINE.fullmatch(value) is None:
        raise ValueError("the id of a line is expected")
    return int(value)


_AFTER = Param(
    "starting_after",
    _line_id,
    {"type": "string", "pattern": "^[1-9][0-9]{0,17}$"},
    "Id of the last item of the page before.",
)


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


class TrailCalls(AdminCalls):
    """The calls about the audit trail and the audits."""

    @Route(
        "GET", "/admin/log", Answer(200, LogPage, "What operators did, newest first."),
        params=(LIMIT, _AFTER),
    )  # fmt: skip
    async def log(self, call: Call) -> Reply:
        """The audit trail."""
        limit, before_id = call.params["limit"], call.params["starting_after"]
        lines = await self.admin.operations.log(limit + 1, before_id)
        return data_reply(LogPage([_entry(line) for line in lines[:limit]], len(lines) > limit))

    @Route(
        "GET", "/admin/audit",
        Answer(200, AuditData, "Its verdict, when it was and how long it took."),
    )  # fmt: skip
    async def audit(self, call: Call) -> Reply:
        """The last check of the journal's invariants."""
        return data_reply(_audit(await self.admin.audits.state()))

    @Route("POST", "/admin/audit", Answer(202, Done, "It runs."), problems=("audit_running",))
    async def begin_audit(self, call: Call) -> Reply:
        """Check the journal's invariants now, in the background."""
        audits = self.admin.audits
        async with self.admin.noted(call, "audit_asked", {}):
            await audits.begin(call.who)
        return data_reply(Done("audit", "journal", call.who), 202)


def _entry(line: OperatorLogEntry) -> LogEntry:
    return LogEntry(str(line.id), rfc3339(line.at_ms), line.who, line.what, line.detail)


def _audit(state: AuditState) -> AuditData:
    since_ms, last = state.running_since_ms, state.last
    since = None if since_ms is None else rfc3339(since_ms)
    if last is None:
        return AuditData("none", None, None, None, None, since, None)
    report = last.report
    return AuditData(
        verdict="failed" if report is None else "clean" if report.ok else "violated",
        endedAt=rfc3339(last.ended_at_ms),
        tookSeconds=None if report is None else report.took_s,
        askedBy=last.asked_by,
        problem=last.problem or None,
        runningSince=since,
        report=report,
    )
