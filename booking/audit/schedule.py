"""Audits of the journal while the service runs: on request, and by themselves now and then.

``booking audit`` does the work in a process of its own with the lowest priority. Its outcome is a
line of the operators' log. A lock of the database keeps it to one audit at a time.
"""

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import asyncpg
import msgspec

from actors.clock import Clock
from actors.connections.postgres import texts
from actors.journal.contract import JournalError
from actors.tasks import Tasks
from booking.audit.report import AuditReport, AuditRun, AuditRunningError, AuditState
from booking.catalogue.store import DATABASE_TROUBLE

log = logging.getLogger(__name__)

LOCK = 0x6175646974
"""The advisory lock of a running audit: any number that is only ours ("audit" in ASCII)."""
CONNECT_TIMEOUT_S = 5.0
COMMAND_TIMEOUT_S = 10.0
AUDIT_MAX_S = 4 * 3600.0
"""At the 100,000 events a second that an undisturbed audit reads, a journal of over a billion."""
LOOK_EVERY_S = 5.0
"""How often it checks whether an audit is due, and what the one that follows has told."""
PERIOD_MIN_MS = 3_600_000
"""Between two scheduled audits, so that a violation is found within about an hour."""
REST_FACTOR = 100
"""And at least so many times as long as the last one took: at most one percent of a core."""
NICENESS = 19
"""The lowest priority there is: an audit takes what the service leaves."""
SCHEDULE = "schedule"
"""Who asked for those."""

_SQL = texts("booking.audit", "schedule.sql")
_COMMAND = (sys.executable, "-P", "-m", "booking.cli.main", "audit", "--json")
_NUMBERS = (
    *("audit_violations", "audit_violations_told", "audit_behind_seconds"),
    "replication_slot_bytes",
)
_WORDS_MAX = 500
"""Of a failure that is kept: its last lines say what was wrong."""


class _Ended(msgspec.Struct, frozen=True):
    """The detail of a log line about an audit."""

    ok: bool
    took_s: float
    problem: str = ""
    report: AuditReport | None = None


class Audits:
    """Implements :class:`booking.audit.report.AuditService`."""

    def __init__(
        self,
        dsn: str,
        clock: Clock,
        command: Sequence[str] = _COMMAND,
        *,
        journal_urls: Sequence[str] = (),
    ) -> None:
        """``journal_urls`` are the journal's further databases."""
        self._dsn = dsn
        self._journal_urls = journal_urls
        self._clock = clock
        self._command = command
        self._started_ms = clock.now_ms()
        self.numbers: Mapping[str, float] = dict.fromkeys(_NUMBERS, 0)
        """For ``/metrics``: what audits found."""
        self._tasks = Tasks("audits")
        self.failed = self._tasks.failed
        """Done when an audit task crashed."""

    async def state(self) -> AuditState:
        """What runs, and what the last one found."""
        async with self._connected() as conn:
            return await self._state(conn)

    async def _state(self, conn: asyncpg.Connection) -> AuditState:
        since_ms = await conn.fetchval(_SQL["running_audit"], LOCK)
        row = await conn.fetchrow(_SQL["last_audit"])
        return AuditState(running_since_ms=since_ms, last=None if row is None else _run_of(row))

    async def begin(self, who: str) -> None:
        """Start an audit, unless one runs; the lock belongs to its connection, to the end."""
        async with AsyncExitStack() as stack:
            conn = await stack.enter_async_context(self._connected())
            if not await conn.fetchval(_SQL["lock_audit"], LOCK):
                raise AuditRunningError
            self._tasks.spawn(self._audit(conn, who, stack.pop_all()), "audit")

    async def run(self) -> None:
        """Begin one whenever it is due, for ever."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                async with self._connected() as conn:
                    state = await self._state(conn)
                    [followed] = await conn.fetch(_SQL["followed"])
                    self._count(state, **dict(followed))
                if self._due(state):
                    await self.begin(SCHEDULE)
            except AuditRunningError:
                log.info("another instance was faster to begin the audit")
            except JournalError as error:
                log.warning("no audit for now: %s", error)

    def _count(
        self, state: AuditState, told: int, behind_s: float | None, slots_keep: float | None
    ) -> None:
        if told > self.numbers["audit_violations_told"]:
            log.error("the audit that follows the journal told of violations: look at /admin/log")
        report = None if state.last is None else state.last.report
        found = 0 if report is None else sum(each.violations for each in report.verdicts)
        numbers = (found, told, behind_s or 0, slots_keep or 0)
        self.numbers = dict(zip(_NUMBERS, numbers, strict=True))

    async def close(self) -> None:
        """End an audit that runs; it says nothing then."""
        await self._tasks.close()

    def _due(self, state: AuditState) -> bool:
        if state.running_since_ms is not None:
            return False
        ended_ms, rest_ms = self._started_ms, PERIOD_MIN_MS
        if state.last is not None:
            ended_ms = max(ended_ms, state.last.ended_at_ms)
            if state.last.report is not None:
                rest_ms = max(rest_ms, int(state.last.report.took_s * 1000) * REST_FACTOR)
        return self._clock.now_ms() - ended_ms >= rest_ms

    async def _audit(self, conn: asyncpg.Connection, who: str, lock: AsyncExitStack) -> None:
        try:
            async with lock:
                ended = await self._outcome(self._clock.monotonic())
                if not ended.ok:
                    words = ended.problem or "found violations: look at /admin/audit"
                    log.error("the audit %s", words)
                await conn.execute(_SQL["note_audit"], who, msgspec.json.encode(ended).decode())
        except JournalError as error:
            log.warning("how the audit ended could not be written down: %s", error)

    async def _outcome(self, began_s: float) -> _Ended:
        process = await asyncio.create_subprocess_exec(
            *self._command,
            env=_environ(self._dsn, self._journal_urls),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            with suppress(OSError):  # gone already: then there is no need to hold it back
                os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS)
            async with asyncio.timeout(AUDIT_MAX_S):
                out, err = await process.communicate()
        except TimeoutError:
            return _Ended(False, AUDIT_MAX_S, f"did not end within {AUDIT_MAX_S:.0f} s")
        finally:
            if process.returncode is None:
                process.kill()
                await process.communicate()  # to the end of its pipes, so that they are closed
        took_s = round(self._clock.monotonic() - began_s, 3)
        try:
            report = msgspec.json.decode(out, type=AuditReport)
        except msgspec.DecodeError:
            words = err.decode(errors="replace").strip() or f"ended with {process.returncode}"
            return _Ended(False, took_s, words[-_WORDS_MAX:])
        return _Ended(report.ok, took_s, report=report)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[asyncpg.Connection]:
        try:
            conn = await asyncpg.connect(
                self._dsn,
                timeout=CONNECT_TIMEOUT_S,
                command_timeout=COMMAND_TIMEOUT_S,
                server_settings={"application_name": "booking audits"},
            )
            try:
                yield conn
            finally:
                conn.terminate()
        except DATABASE_TROUBLE as error:
            raise JournalError(str(error) or type(error).__name__) from error


def _run_of(row: asyncpg.Record) -> AuditRun:
    ended = msgspec.json.decode(row["detail"], type=_Ended)
    who, at_ms = row["who"], row["at_ms"]
    return AuditRun(asked_by=who, ended_at_ms=at_ms, problem=ended.problem, report=ended.report)


def _environ(dsn: str, journal_urls: Sequence[str]) -> dict[str, str]:
    """What the audit may know: where the journal and its archive are, and no secrets."""
    ours = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("BOOKING_") or name == "BOOKING_ARCHIVE"
    }
    urls = {"BOOKING_DATABASE_URL": dsn, "BOOKING_JOURNAL_URLS": " ".join(journal_urls)}
    return ours | urls
