"""Audits of the operators' side, which end when a test says so."""

from __future__ import annotations

from actors.clock import Clock
from booking.audit.report import AuditRun, AuditRunningError, AuditState, Findings
from tests.support.manual_clock import ManualClock


class FakeAudits:
    """Implements :class:`booking.audit.report.AuditService`."""

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
