"""What is promised, and how what was measured compares with it.

``docs/reference/service-levels.md`` says the same; a test holds them equal.
"""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Final

import msgspec

from bench.record import percentile
from bench.slo.rig import Timeline

READ_P99_MS = 25.0
WRITE_P99_MS = 50.0
SUCCESS_SHARE = 0.9999
RATE_PER_S = 300.0
"""Whole bookings a second, on two cores that also carry PostgreSQL and the load itself."""
INSTANCE_RECOVERY_S = 3.0
REDIS_RECOVERY_S = 0.0
LATE_S = 1.0
"""A booking that takes longer than this from the moment it was due counts as not yet recovered."""


class Level(msgspec.Struct, frozen=True):
    """One call: the name of its step in :mod:`bench.stories`, and its route."""

    step: str
    call: str
    p99_ms: float


LEVELS: Final = (
    Level("issue", "POST /queue/issue", WRITE_P99_MS),
    Level("status", "GET /queue/status", READ_P99_MS),
    Level("leave", "DELETE /queue", WRITE_P99_MS),
    Level("dates", "GET /concert/available-dates", READ_P99_MS),
    Level("plan", "GET /concert/venue-plan", READ_P99_MS),
    Level("seats", "GET /concert/available-seats", READ_P99_MS),
    Level("hold", "POST /reservation", WRITE_P99_MS),
    Level("reservation", "GET /reservation/{id}", READ_P99_MS),
    Level("reservations", "GET /reservations", READ_P99_MS),
    Level("release", "DELETE /reservation/{id}", WRITE_P99_MS),
    Level("place", "POST /orders", WRITE_P99_MS),
    Level("order", "GET /orders/{id}", READ_P99_MS),
    Level("orders", "GET /orders", READ_P99_MS),
    Level("give up", "DELETE /orders/{id}", WRITE_P99_MS),
    Level("charge", "POST /user/charge", WRITE_P99_MS),
    Level("balance", "GET /user/check", READ_P99_MS),
    Level("history", "GET /user/history", READ_P99_MS),
    Level("pay", "POST /payment", WRITE_P99_MS),
    Level("payment", "GET /payment/{id}", READ_P99_MS),
    Level("payments", "GET /payments", READ_P99_MS),
)


class Phases(msgspec.Struct, frozen=True):
    """Seconds from the start of the run."""

    calm_from: float
    killed_at: float
    redis_from: float
    end: float


class Row(msgspec.Struct, frozen=True):
    """One line of the table."""

    what: str
    promised: str
    measured: str
    kept: bool


class Verdict(msgspec.Struct, frozen=True):
    """The table, and what has to be known beside it."""

    rows: list[Row]
    notes: list[str]

    @property
    def kept(self) -> bool:
        """Whether every promise is."""
        return all(row.kept for row in self.rows)


def judge(timeline: Timeline, phases: Phases, rate: float, instances: int) -> Verdict:
    """The table, and what has to be known beside it."""
    calm = phases.calm_from, phases.killed_at
    rows = [_rate_row(timeline, calm, rate), _success_row(timeline, calm)]
    rows += _latency_rows(timeline, calm)
    for what, since, until, most_s in (
        ("kill -9 of an instance", phases.killed_at, phases.redis_from, INSTANCE_RECOVERY_S),
        ("Redis paused, killed and empty", phases.redis_from, phases.end, REDIS_RECOVERY_S),
    ):
        took_s = recovery_s(timeline, since, until)
        promised = f"< {most_s:.0f} s" if most_s else f"{most_s:.0f} s"
        kept = took_s < most_s or took_s == most_s == 0
        rows.append(Row(f"{what}, until all is well", promised, f"{took_s:.2f} s", kept))
    return Verdict(rows, _notes(timeline, phases, instances))


def recovery_s(timeline: Timeline, broken_at: float, until: float) -> float:
    """From the break to the last booking of this phase that failed, or was due and then late."""
    late = [
        at
        for at, took in timeline.bookings
        if broken_at - LATE_S <= at < until and took > LATE_S and at + took > broken_at
    ]
    failed = [at for at, _ in timeline.failed_at if broken_at <= at < until]
    return max((max(0.0, at - broken_at) for at in (*late, *failed)), default=0.0)


def _rate_row(timeline: Timeline, calm: tuple[float, float], rate: float) -> Row:
    seconds = calm[1] - calm[0]
    done = sum(calm[0] <= at < calm[1] for at, _ in timeline.bookings)
    # Arrivals are random (Poisson): 300 a second for 30 s are 9,000, give or take 95 (its root).
    chance = 3 * math.sqrt(rate * seconds)
    kept = done >= rate * seconds - chance
    return Row("bookings a second", f"{rate:.0f}", f"{done / seconds:.1f}", kept)


def _success_row(timeline: Timeline, calm: tuple[float, float]) -> Row:
    asked = sum(calm[0] <= at < calm[1] for sent in timeline.requests.values() for at, _ in sent)
    failed = sum(calm[0] <= at < calm[1] for at, _ in timeline.failed_at)
    share = 1.0 - failed / asked if asked else 0.0
    return Row(
        "requests that succeed",
        f">= {SUCCESS_SHARE:.2%}",
        f"{share:.3%} ({failed} of {asked:,} failed)",
        share >= SUCCESS_SHARE,
    )


def _latency_rows(timeline: Timeline, calm: tuple[float, float]) -> list[Row]:
    rows = []
    for level in LEVELS:
        took = durations(timeline, level.step, *calm)
        if not took:
            rows.append(Row(level.call, f"p99 < {level.p99_ms:.0f} ms", "never asked", False))
            continue
        p50, p99 = (percentile(took, share) * 1000 for share in (0.5, 0.99))
        measured = f"p99 {p99:.1f} ms (p50 {p50:.1f}, n {len(took):,})"
        rows.append(Row(level.call, f"p99 < {level.p99_ms:.0f} ms", measured, p99 < level.p99_ms))
    return rows


def durations(timeline: Timeline, step: str, since: float, until: float) -> Sequence[float]:
    """How long the answers to requests of this step took that were sent in this time, in order of
    length."""
    return sorted(took for at, took in timeline.requests.get(step, ()) if since <= at < until)


def _notes(timeline: Timeline, phases: Phases, instances: int) -> list[str]:
    notes = [f"{instances} instance{'s' if instances > 1 else ''} of `booking up`"]
    for name, since, until in (
        ("before the kill", 0.0, phases.killed_at),
        ("after the kill", phases.killed_at, phases.redis_from),
        ("with Redis broken", phases.redis_from, phases.end),
    ):
        reasons = Counter(reason for at, reason in timeline.failed_at if since <= at < until)
        told = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common(6))
        notes.append(f"failed {name}: {told or 'none'}")
    lag = sorted(timeline.send_lags)
    if lag:
        notes.append(f"the load itself began {percentile(lag, 0.5) * 1000:.1f} ms late (p50)")
    return notes
