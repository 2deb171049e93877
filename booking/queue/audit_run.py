"""``booking audit --queue NAME``: everything the journal says of one queue, row by row."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import asyncpg
import msgspec

from actors.address import Address, stable_hash
from booking.audit.report import NAMED_MAX, Violation
from booking.audit.run import CONNECT_TIMEOUT_S, PAGE_ROWS, AuditError
from booking.audit.shard import queue_readers
from booking.catalogue.statements import statements
from booking.queue.audit import ASPECTS, QueueBook, QueueFacts

_SQL = statements("booking.audit", "statements.sql")


class Aspect(msgspec.Struct, frozen=True):
    """The outcome of one check."""

    aspect: str
    meaning: str
    violations: int
    named: tuple[Violation, ...]
    """The first of them."""


class QueueVerdict(msgspec.Struct, frozen=True):
    """One queue by its journal, as it was when the snapshot was taken."""

    ok: bool
    queue: str
    snapshot_ms: int
    events: int
    numbers: int
    """Given so far."""
    waiting: int
    inside: int
    admitted: int
    left: int
    silent: int
    used: int
    expired: int
    most_inside: int
    most_in_interval: int
    """Admitted in any interval of the rules that were in force then."""
    changes: tuple[Any, ...]
    """Every change of rules: who, when, and the rules from then on."""
    draws: tuple[Any, ...]
    """Every draw: seed, first and last number, when."""
    aspects: tuple[Aspect, ...]
    took_s: float


async def run_queue(dsn: str, name: str) -> QueueVerdict:
    """Check one queue from its first row to its last, in one snapshot, while the service runs.
    Memory holds some 20 bytes for each number ever given. Raises :class:`AuditError`, also for a
    queue that the journal does not know."""
    started = time.monotonic()
    try:
        conn = await asyncpg.connect(
            dsn, timeout=CONNECT_TIMEOUT_S, server_settings={"application_name": "booking audit"}
        )
        try:
            async with conn.transaction(isolation="repeatable_read", readonly=True):
                now_ms = int(await conn.fetchval(_SQL["now_ms"]))
                audit = _QueueAudit(Address("queue", name))
                await _read(conn, audit)
        finally:
            await conn.close()
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise AuditError(str(error) or type(error).__name__) from error
    if not audit.events:
        raise AuditError(f"the journal has no queue {name!r}")
    return audit.verdict(name, now_ms, time.monotonic() - started)


async def _read(conn: asyncpg.Connection, audit: _QueueAudit) -> None:
    text = audit.address.text
    cursor = await conn.cursor(_SQL["entity_rows"], stable_hash(text), text)
    while page := await cursor.fetch(PAGE_ROWS):
        for seq, at_ms, version, type_, payload in page:
            audit.take(seq, at_ms, version, type_, payload)


class _QueueAudit:
    def __init__(self, address: Address) -> None:
        self.address = address
        self.events = 0
        self._counts = dict.fromkeys(("events", *ASPECTS), 0)
        self._named: dict[str, list[Violation]] = {aspect: [] for aspect in self._counts}
        self._book = QueueBook(self._report, lambda: None)
        self._readers = queue_readers(self._book)

    def take(self, seq: int, at_ms: int, version: int, type_: str, payload: str) -> None:
        self.events += 1
        reader = self._readers.get(type_)
        if reader is None or version != 1:
            message = f"{type_} version {version} is not an event of a queue"
            self._report("events", message, seq, self.address.text)
            return
        decode, take = reader
        try:
            event = decode(payload)
        except msgspec.DecodeError as error:
            self._report("events", f"{type_} cannot be read: {error}", seq, self.address.text)
            return
        take(self.address.text, event, seq, at_ms)

    def _report(self, aspect: str, message: str, seq: int, entity: str) -> None:
        self._counts[aspect] += 1
        if len(self._named[aspect]) < NAMED_MAX:
            self._named[aspect].append(Violation(message, self.address.slot, seq, entity))

    def verdict(self, name: str, snapshot_ms: int, took_s: float) -> QueueVerdict:
        facts = self._book.queues.get(self.address.text) or QueueFacts()
        meanings = {"events": "every event is of a known type and readable", **ASPECTS}
        open_numbers = sum(map(bool, facts.users))
        return QueueVerdict(
            ok=not any(self._counts.values()),
            queue=name,
            snapshot_ms=snapshot_ms,
            events=self.events,
            numbers=facts.last,
            waiting=open_numbers - facts.inside,
            inside=facts.inside,
            admitted=facts.admitted,
            left=facts.left,
            silent=facts.silent,
            used=facts.used,
            expired=facts.expired,
            most_inside=facts.most_inside,
            most_in_interval=facts.most_in_interval,
            changes=tuple(map(_plain, facts.changes)),
            draws=tuple(map(_plain, facts.draws)),
            aspects=tuple(
                Aspect(aspect, meanings[aspect], count, tuple(self._named[aspect]))
                for aspect, count in self._counts.items()
            ),
            took_s=round(took_s, 3),
        )


def _plain(event: msgspec.Struct) -> Any:
    plain = msgspec.to_builtins(event)
    del plain["type"]
    return plain


def render_queue(verdict: QueueVerdict) -> str:
    """The verdict as a few lines for people."""
    lines = []
    for aspect in verdict.aspects:
        word = "ok  " if aspect.violations == 0 else "FAIL"
        lines.append(f"{aspect.aspect:<6} {word} {aspect.meaning}")
        lines += [f"         {violation}" for violation in aspect.named]
        if aspect.violations > len(aspect.named):
            lines.append(f"         and {aspect.violations - len(aspect.named):,} more")
    lines += [f"rules  {_when(change['at_ms'])} {_ruled(change)}" for change in verdict.changes]
    lines += [
        f"drawn  {_when(drawn['at_ms'])} numbers {drawn['first']} to {drawn['last']}"
        f" with seed {drawn['seed'] or '(nobody came before)'}"
        for drawn in verdict.draws
    ]
    lines.append(
        f"queue {verdict.queue}: {verdict.numbers:,} numbers, {verdict.waiting:,} waiting,"
        f" {verdict.inside:,} inside; {verdict.admitted:,} admitted, {verdict.used:,} paid,"
        f" {verdict.expired:,} expired, {verdict.left:,} left, {verdict.silent:,} went silent"
    )
    lines.append(
        f"at most {verdict.most_inside:,} inside at once and {verdict.most_in_interval:,} admitted"
        f" in an interval"
    )
    lines.append(
        f"{'clean' if verdict.ok else 'VIOLATIONS FOUND'}: {verdict.events:,} events in"
        f" {verdict.took_s:.1f} s"
    )
    return "\n".join(lines)


def _ruled(change: Any) -> str:
    policy = change["policy"]
    words = [f"{name} {value}" for name, value in policy.items() if name != "opens_ms"]
    if policy["opens_ms"]:
        words.append(f"opens {_when(policy['opens_ms'])}")
    return f"by {change['who']}: {', '.join(words)}"


def _when(ms: int) -> str:
    moment = datetime.fromtimestamp(ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
