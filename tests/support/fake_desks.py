"""Queues, catalogue and audits of the operators' side as dictionaries."""

from __future__ import annotations

from typing import Any

import msgspec

from actors.clock import Clock, ManualClock
from booking.audit.admin import AuditRun, AuditRunningError, AuditState, CatalogueSaved
from booking.audit.report import Findings
from booking.calls import UnknownError
from booking.catalogue import document
from booking.catalogue.store import CatalogueError
from booking.queue.admin import QueueChange, QueueReport

RULES = QueueReport(
    queue="main",
    mode="open",
    max_active=1_000,
    admit_per_interval=600,
    interval_s=60,
    active_s=600,
    max_waiting=100_000,
    opens_at=None,
    seed=None,
    waiting=240,
    active=1_000,
    last_number=5_240,
    watermark=5_000,
    admitted_last_minute=590,
    left_last_minute=12,
)


class FakeQueueDesk:
    """Implements :class:`booking.queue.service.QueueService`."""

    def __init__(self, *reports: QueueReport) -> None:
        self.reports = {report.queue: report for report in reports or (RULES,)}
        self.changed_by: list[str] = []

    def names(self) -> tuple[str, ...]:
        return tuple(self.reports)

    async def report(self, queue: str) -> QueueReport:
        if queue not in self.reports:
            raise UnknownError
        return self.reports[queue]

    async def change(self, queue: str, change: QueueChange, who: str) -> QueueReport:
        given: dict[str, Any] = {
            name: value
            for name, value in msgspec.structs.asdict(change).items()
            if value is not msgspec.UNSET
        }
        changed = msgspec.structs.replace(await self.report(queue), **given)
        if changed.mode == "queue_all" and not changed.admit_per_interval:
            raise ValueError("queue_all needs a rate: with none nobody would ever come in")
        self.reports[queue] = changed
        self.changed_by.append(who)
        return changed


class FakeCatalogueDesk:
    """Implements :class:`booking.audit.admin.CatalogueDesk`."""

    def __init__(self) -> None:
        self.concerts: dict[str, document.ConcertEntry] = {}
        self.version = 1
        self.booked: set[str] = set()
        """Dates that must stay."""

    async def save(self, text: bytes) -> CatalogueSaved:
        return self._save(document.parse(text))

    async def save_concert(self, concert: str, text: bytes) -> CatalogueSaved:
        return self._save(document.Document((document.parse_concert(text, concert),)))

    def _save(self, wanted: document.Document) -> CatalogueSaved:
        dates = {date.id for concert in wanted.concerts for date in concert.dates}
        if missing := sorted(self.booked - dates):
            raise CatalogueError([f"date {date!r} has bookings" for date in missing])
        self.concerts |= {concert.id: concert for concert in wanted.concerts}
        self.version += 1
        return CatalogueSaved(concerts=len(wanted.concerts), dates=len(dates), version=self.version)


class FakeAuditDesk:
    """Implements :class:`booking.audit.admin.AuditDesk`."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or ManualClock()
        self._asked_by: str | None = None
        self._since_ms = 0
        self.last: AuditRun | None = None

    @property
    def running(self) -> bool:
        return self._asked_by is not None

    async def state(self) -> AuditState:
        since_ms = None if self._asked_by is None else self._since_ms
        return AuditState(running_since_ms=since_ms, last=self.last)

    async def begin(self, who: str) -> None:
        if self._asked_by is not None:
            raise AuditRunningError
        self._asked_by, self._since_ms = who, self._clock.now_ms()

    def end(self, violation: str = "", problem: str = "") -> None:
        """The audit that runs comes to this end."""
        assert self._asked_by is not None
        found = Findings()
        if violation:
            found.report("I1", violation)
        self.last = AuditRun(
            asked_by=self._asked_by,
            ended_at_ms=self._clock.now_ms(),
            problem=problem,
            report=None if problem else found.close(self._clock.now_ms(), 1.25),
        )
        self._asked_by = None
