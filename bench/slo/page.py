"""The report as one HTML file: the table, and plots as inline SVG. It loads nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from bench.record import percentile
from bench.report import told
from bench.slo.rig import Timeline
from bench.slo.verdict import LEVELS, READ_P99_MS, WRITE_P99_MS, Phases, Verdict, durations

CURVES_MAX = 5
"""As many as there are colours."""

Curve = tuple[str, Sequence[tuple[float, float]]]
Mark = tuple[float, str]


def page(title: str, machine: str, verdict: Verdict, timeline: Timeline, phases: Phases) -> str:
    """The whole document."""
    marks = [(phases.killed_at, "kill -9 of an instance")]
    marks += [(phases.redis_from, "Redis paused, then killed")]
    charts = [("Bookings", "done and failed in each second", _bookings(timeline, phases))]
    charts += [
        (
            f"Latency of {kind} (p99, ms)",
            "in each second",
            _latencies(timeline, phases, limit_ms),
        )
        for kind, limit_ms in (("reads", READ_P99_MS), ("writes", WRITE_P99_MS))
    ]
    drawn = [
        (heading, chart(words, curves, phases.end, marks)) for heading, words, curves in charts
    ]
    shares = chart("share of answers (%) within ms", _shares(timeline, phases), None, ())
    drawn.append(("How long calls take while all is well", shares))
    return told("slo.html", title=title, machine=machine, verdict=verdict, charts=drawn)


def chart(title: str, curves: Sequence[Curve], x_max: float | None, marks: Sequence[Mark]) -> str:
    """Lines over a common axis from 0; what happened when is a dashed line."""
    points = [point for _, curve in curves for point in curve]
    x_top = x_max or max((x for x, _ in points), default=1.0) or 1.0
    y_top = (max((y for _, y in points), default=1.0) or 1.0) * 1.05
    return told("chart.svg", title=title, curves=curves, marks=marks, x_top=x_top, y_top=y_top)


# -- curves ----------------------------------------------------------------------------------------


def _bookings(timeline: Timeline, phases: Phases) -> list[Curve]:
    done = Counter(int(at + took) for at, took in timeline.bookings)
    failed = Counter(int(at) for at, _ in timeline.failed_at)
    seconds = range(int(phases.end))
    return [
        ("done", [(second, done[second]) for second in seconds]),
        ("failed", [(second, failed[second]) for second in seconds]),
    ]


def _latencies(timeline: Timeline, phases: Phases, limit_ms: float) -> list[Curve]:
    """The five calls of every booking are plenty in one picture."""
    curves: list[Curve] = []
    for level in LEVELS:
        if level.p99_ms != limit_ms or level.step in ("leave", "release"):
            continue
        points = [
            (second, percentile(took, 0.99) * 1000)
            for second in range(int(phases.end))
            if (took := durations(timeline, level.step, second, second + 1))
        ]
        curves.append((level.call, points))
    return curves[:CURVES_MAX]


def _shares(timeline: Timeline, phases: Phases) -> list[Curve]:
    curves: list[Curve] = []
    for step in ("status", "seats", "issue", "hold", "pay"):
        if took := durations(timeline, step, phases.calm_from, phases.killed_at):
            shares = [number / 200 for number in range(1, 200)] + [0.999]
            points = [(percentile(took, share) * 1000, share * 100) for share in shares]
            curves.append((step, points))
    return curves
