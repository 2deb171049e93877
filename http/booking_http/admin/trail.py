"""What was done by whom, and whether the journal is sound."""

from __future__ import annotations

import re

from actors.placement.stores.contract import LogLine
from booking.audit.admin import AuditState
from booking_http.admin.desk import Desk
from booking_http.admin.rows import row
from booking_http.admin.schemas import AuditData, Done, LogEntry, LogPage
from booking_http.dispatch import data_reply
from booking_http.params import LIMIT
from booking_http.reply import Reply
from booking_http.routes import Answer, Call, Param, Route
from booking_http.times import rfc3339

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


class TrailCalls:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def log(self, call: Call) -> Reply:
        limit, before_id = call.params["limit"], call.params["starting_after"]
        lines = await self._desk.operations.log(limit + 1, before_id)
        page = LogPage([_entry(line) for line in lines[:limit]], len(lines) > limit)
        return data_reply(page)

    async def audit(self, call: Call) -> Reply:
        return data_reply(_audit(await self._desk.audits.state()))

    async def begin_audit(self, call: Call) -> Reply:
        audits = self._desk.audits
        async with self._desk.noted(call, "audit_asked", {}):
            await audits.begin(call.who)
        return data_reply(Done("audit", "journal", call.who), 202)

    def routes(self) -> tuple[Route, ...]:
        desk = self._desk
        return (
            row(
                desk, "GET", "/admin/log", self.log, "log", "The audit trail",
                Answer(200, LogPage, "What operators did, newest first."), params=(LIMIT, _AFTER),
            ),
            row(
                desk, "GET", "/admin/audit", self.audit, "audit",
                "The last check of the journal's invariants",
                Answer(200, AuditData, "Its verdict, when it was and how long it took."),
            ),
            row(
                desk, "POST", "/admin/audit", self.begin_audit, "beginAudit",
                "Check the journal's invariants now, in the background",
                Answer(202, Done, "It runs."), problems=("audit_running",),
            ),
        )  # fmt: skip


def _entry(line: LogLine) -> LogEntry:
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
