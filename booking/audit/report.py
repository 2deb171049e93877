"""What an audit found, for people and for programs."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import msgspec

NAMED_MAX = 20
"""Violations told one by one for each check; the rest are counted. One is enough to look closer."""

_COUNTED = ["events", "shards", "payments_in_flight", "charged", "spent", "refunded", "balances"]
READABLE = "every event is of a known type and readable"
CHECKS: dict[str, tuple[str, str]] = {
    "events": ("events", READABLE),
    "I1": ("seats", "a seat is one user's at a time, sold for good, and the ledger agrees"),
    "I2": ("users", "balance = charges - payments begun + refunds, never negative"),
    "I3": ("losses", "what was committed is there, or an operator has accepted that it is not"),
    "I4": ("rows", "seq gapless, epochs known and never falling, rows in their shard"),
    "I5": ("queue numbers", "admitted in order, or as drawn; never over limit and rate"),
    "I6": ("holds", "a hold ends once, not paid late nor expired early; then the seat rests"),
    "I7": ("payments", "a payment ends completed or refunded and matches its sale"),
    "I10": ("transfers", "all accounts sum to zero, and a date's is what its seats were sold for"),
}
"""Each check with what it counts and what it means."""


class Violation(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that must not be. ``shard`` and ``seq`` name the row that shows it (0: none)."""

    message: str
    shard: int = -1
    seq: int = 0
    entity: str = ""

    def __str__(self) -> str:
        place = f"shard {self.shard} seq {self.seq} " if self.shard >= 0 else ""
        return f"{place}{self.entity}: {self.message}".removeprefix(": ")


class Verdict(msgspec.Struct, frozen=True):
    """The outcome of one check."""

    check: str
    meaning: str
    checked: int
    unit: str
    violations: int
    named: tuple[Violation, ...]
    """The first of them."""

    @property
    def ok(self) -> bool:
        """Whether the check found nothing."""
        return self.violations == 0


class AuditReport(msgspec.Struct, frozen=True):
    """All verdicts over one snapshot of the journal. Money is the sum over all users, in won."""

    ok: bool
    snapshot_ms: int
    """When the snapshot was taken, by the database's clock."""
    events: int
    shards: int
    """Shards that have events."""
    payments_in_flight: int
    """Begun, not settled, and younger than the longest retry."""
    charged: int
    spent: int
    """Taken for payments begun."""
    refunded: int
    balances: int
    took_s: float
    verdicts: tuple[Verdict, ...]
    accounts: dict[str, int] = {}
    """By kind of account: the money in all of them, below zero where it came from outside."""
    losses: tuple[str, ...] = ()
    """What the journal has lost and somebody has accepted, a line each."""


class DateTally(msgspec.Struct):
    """The money of one date."""

    brought: int = 0
    """By completed payments."""
    under_way: int = 0
    """In payments that may still be on their way."""
    sold: int = 0
    """The prices of its sold seats."""


class Findings:
    """Collects violations and counts. ``shard``, ``seq`` and ``entity`` are of the current row."""

    def __init__(self, checks: Mapping[str, tuple[str, str]] = CHECKS) -> None:
        self.shard, self.seq, self.entity = -1, 0, ""
        self.checked = dict.fromkeys(checks, 0)
        self.events = self.shards = self.payments_in_flight = 0
        self.charged = self.spent = self.refunded = self.balances = 0
        self.totals = Counter[str]()
        """By kind of account, the money in all of them."""
        self.dates = defaultdict[str, DateTally](DateTally)
        self.losses: list[str] = []
        """Accepted ones, for people."""
        self._checks = checks
        self._counts = dict.fromkeys(checks, 0)
        self._named: dict[str, list[Violation]] = {check: [] for check in checks}

    def report(self, check: str, message: str, **place: Any) -> None:
        """Count a violation, and keep the first ones with the row that is looked at; ``place`` says
        ``shard``, ``seq`` or ``entity`` if it is in another."""
        self._counts[check] += 1
        if len(self._named[check]) < NAMED_MAX:
            here: dict[str, Any] = {
                "shard": self.shard,
                "seq": self.seq,
                "entity": self.entity,
            } | place
            self._named[check].append(Violation(message, **here))

    def verdicts(self) -> tuple[Verdict, ...]:
        """The outcome of every check."""
        return tuple(
            Verdict(check, meaning, self.checked[check], unit, self._counts[check], tuple(named))
            for (check, (unit, meaning)), named in zip(
                self._checks.items(), self._named.values(), strict=True
            )
        )

    def close(self, snapshot_ms: int, took_s: float) -> AuditReport:
        """The report after all rows were seen."""
        verdicts = self.verdicts()
        return AuditReport(
            ok=all(verdict.ok for verdict in verdicts),
            snapshot_ms=snapshot_ms,
            took_s=round(took_s, 3),
            verdicts=verdicts,
            accounts=dict(self.totals),
            losses=tuple(self.losses),
            **{name: getattr(self, name) for name in _COUNTED},
        )


def render_check(
    check: str, words: str, violations: int, named: Sequence[Violation]
) -> Iterator[str]:
    """A check's line, and one for each violation that is named."""
    yield f"{check:<6} {'FAIL' if violations else 'ok  '} {words}"
    yield from (f"         {violation}" for violation in named)
    if violations > len(named):
        yield f"         and {violations - len(named):,} more"


def render(report: AuditReport) -> str:
    """The verdicts as a few lines for people."""
    lines: list[str] = []
    for verdict in report.verdicts:
        counted = f"{verdict.checked:,} {verdict.unit}"
        words = f"{counted:>26}   {verdict.meaning}"
        lines += render_check(verdict.check, words, verdict.violations, verdict.named)
    lines.append(
        f"money: {report.charged:,} charged - {report.spent:,} spent + {report.refunded:,}"
        f" refunded = {report.balances:,} in balances; {report.payments_in_flight} in flight"
    )
    lines += [f"lost: {loss}" for loss in report.losses]
    rate = report.events / report.took_s if report.took_s else 0.0
    lines.append(
        f"{'clean' if report.ok else 'VIOLATIONS FOUND'}: {report.events:,} events of"
        f" {report.shards} shards in {report.took_s:.1f} s ({rate:,.0f}/s)"
    )
    return "\n".join(lines)


# -- as the operators' calls see it ----------------------------------------------------------------


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
