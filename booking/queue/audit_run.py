"""``booking audit --queue NAME``: everything the journal says of one queue, row by row."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import asyncpg
import msgspec

from actors.address import Address, stable_hash
from actors.connections.postgres import texts
from actors.journal.contract import part_number
from booking.audit.events import take_event
from booking.audit.report import READABLE, Findings, Violation, render_check
from booking.audit.run import FAILURES, PAGE_ROWS, AuditError, connection, refuse_archived, snapshot
from booking.queue.audit import ASPECTS, QueueBook, QueueFacts

_SQL = texts("booking.audit", "statements.sql")


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


async def run_queue(dsns: Sequence[str], name: str) -> QueueVerdict:
    """Check one queue from its first row to its last, in one snapshot, while the service runs.
    ``dsns`` are the databases of the journal; the queue is in one of them. Memory holds some 20
    bytes for each number ever given. Raises :class:`AuditError`, also for a queue that the journal
    does not know."""
    started = time.monotonic()
    found = Findings(
        {"events": ("", READABLE), **{name: ("", text) for name, text in ASPECTS.items()}}
    )
    book = QueueBook(found)
    try:
        address = Address("queue", name)
        dsn = dsns[part_number(address.slot, len(dsns))]
        async with connection(dsn) as conn, snapshot(conn) as now_ms:
            await refuse_archived(conn)
            await _read(conn, address, found, book)
    except FAILURES as error:
        raise AuditError(str(error) or type(error).__name__) from error
    if not found.events:
        raise AuditError(f"the journal has no queue {name!r}")
    facts = book.queues.get(address.text) or QueueFacts()
    return _verdict(name, found, facts, now_ms, time.monotonic() - started)


async def _read(
    conn: asyncpg.Connection, address: Address, found: Findings, book: QueueBook
) -> None:
    known = book.readers()
    found.shard, found.entity = address.slot, address.text
    cursor = await conn.cursor(_SQL["entity_rows"], stable_hash(address.text), address.text)
    while page := await cursor.fetch(PAGE_ROWS):
        for found.seq, at_ms, version, type_, payload in page:
            found.events += 1
            take_event(known, found, address.text, at_ms, version, type_, payload)


def _verdict(
    name: str, found: Findings, facts: QueueFacts, snapshot_ms: int, took_s: float
) -> QueueVerdict:
    aspects = tuple(Aspect(v.check, v.meaning, v.violations, v.named) for v in found.verdicts())
    fields = QueueVerdict.__struct_fields__
    counts = {name: n for name, n in vars(facts).items() if name in fields and isinstance(n, int)}
    return QueueVerdict(
        ok=not any(aspect.violations for aspect in aspects),
        queue=name,
        snapshot_ms=snapshot_ms,
        events=found.events,
        numbers=facts.last,
        waiting=sum(map(bool, facts.users)) - facts.inside,
        **counts,
        changes=tuple(map(_plain, facts.changes)),
        draws=tuple(map(_plain, facts.draws)),
        aspects=aspects,
        took_s=round(took_s, 3),
    )


def _plain(event: msgspec.Struct) -> Any:
    plain = msgspec.to_builtins(event)
    del plain["type"]
    return plain


def render_queue(verdict: QueueVerdict) -> str:
    """The verdict as a few lines for people."""
    lines: list[str] = []
    for aspect in verdict.aspects:
        lines += render_check(aspect.aspect, aspect.meaning, aspect.violations, aspect.named)
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
