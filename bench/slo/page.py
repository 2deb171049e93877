"""The report as one HTML file: the table, and plots as inline SVG. It loads nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from html import escape

from bench.record import percentile
from bench.slo.rig import Timeline
from bench.slo.verdict import LEVELS, READ_P99_MS, WRITE_P99_MS, Phases, Verdict, durations

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 900, 240, 56, 26, 14
_COLOURS = ("#2563eb", "#dc2626", "#059669", "#d97706", "#7c3aed")
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:960px;margin:2rem auto;padding:0 1rem;color:#111}
table{border-collapse:collapse;width:100%}td,th{padding:.25rem .6rem;text-align:left}
tr:nth-child(even){background:#f4f4f5}.kept{color:#047857}.broken{color:#b91c1c;font-weight:600}
svg{width:100%;height:auto;background:#fafafa;border:1px solid #e4e4e7}
text{font:11px system-ui,sans-serif;fill:#52525b}h2{margin-top:2rem}
@media(prefers-color-scheme:dark){body{background:#18181b;color:#e4e4e7}tr:nth-child(even)
{background:#27272a}svg{background:#1f1f23;border-color:#3f3f46}text{fill:#a1a1aa}
.kept{color:#34d399}.broken{color:#f87171}}
"""

Curve = tuple[str, Sequence[tuple[float, float]]]
Mark = tuple[float, str]


def page(title: str, machine: str, verdict: Verdict, timeline: Timeline, phases: Phases) -> str:
    """The whole document."""
    marks = [(phases.killed_at, "kill -9 of an instance")]
    marks += [(phases.redis_from, "Redis paused, then killed")]
    words = "All promises kept." if verdict.kept else "Not all promises kept."
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(title)}</title>",
        '<meta name=viewport content="width=device-width">',
        f"<style>{_STYLE}</style><h1>{escape(title)}</h1>",
        f"<p><strong>{words}</strong> {escape(machine)}.</p>",
        _table(verdict),
        "<ul>",
        *(f"<li>{escape(note)}</li>" for note in verdict.notes),
        "</ul><h2>Bookings</h2>",
        chart("done and failed in each second", _bookings(timeline, phases), phases.end, marks),
        *(
            f"<h2>Latency of {kind} (p99, ms)</h2>"
            + chart("in each second", _latencies(timeline, phases, limit_ms), phases.end, marks)
            for kind, limit_ms in (("reads", READ_P99_MS), ("writes", WRITE_P99_MS))
        ),
        "<h2>How long calls take while all is well</h2>",
        chart("share of answers (%) within ms", _shares(timeline, phases), None, ()),
        "</html>",
    ]
    return "\n".join(parts)


def _table(verdict: Verdict) -> str:
    rows = "".join(
        f"<tr><td>{escape(row.what)}<td>{escape(row.promised)}<td>{escape(row.measured)}"
        f"<td class={'kept' if row.kept else 'broken'}>{'kept' if row.kept else 'broken'}"
        for row in verdict.rows
    )
    return f"<table><tr><th>what<th>promised<th>measured<th>{rows}</table>"


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
    return curves[: len(_COLOURS)]


def _shares(timeline: Timeline, phases: Phases) -> list[Curve]:
    curves: list[Curve] = []
    for step in ("status", "seats", "issue", "hold", "pay"):
        if took := durations(timeline, step, phases.calm_from, phases.killed_at):
            shares = [number / 200 for number in range(1, 200)] + [0.999]
            points = [(percentile(took, share) * 1000, share * 100) for share in shares]
            curves.append((step, points))
    return curves


# -- drawing ---------------------------------------------------------------------------------------


def chart(title: str, curves: Sequence[Curve], x_max: float | None, marks: Sequence[Mark]) -> str:
    """Lines over a common axis from 0; what happened when is a dashed line."""
    points = [point for _, curve in curves for point in curve]
    x_top = x_max or max((x for x, _ in points), default=1.0) or 1.0
    y_top = (max((y for _, y in points), default=1.0) or 1.0) * 1.05

    def place(x: float, y: float) -> str:
        across = LEFT + (WIDTH - LEFT - 10) * x / x_top
        up = HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * y / y_top
        return f"{across:.1f},{up:.1f}"

    def text(x: float | str, y: float | str, words: str, more: str = "") -> str:
        return f'<text x="{x}" y="{y}"{more}>{escape(words)}</text>'

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role=img aria-label="{escape(title)}">']
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x, y = place(0, y_top * share).split(",")
        parts.append(f'<path d="M{x} {y}H{WIDTH - 10}" stroke="#a1a1aa" stroke-width=".3"/>')
        parts.append(text(LEFT - 6, y, f"{y_top * share:.4g}", ' text-anchor="end"'))
        x, _ = place(x_top * share, 0).split(",")
        parts.append(text(x, HEIGHT - 8, f"{x_top * share:.3g}", ' text-anchor="middle"'))
    for at, words in marks:
        x, _ = place(at, 0).split(",")
        line = f"M{x} {TOP}V{HEIGHT - BOTTOM}"
        parts.append(f'<path d="{line}" stroke="#71717a" stroke-dasharray="4"/>')
        parts.append(text(x, TOP - 3, words))
    for number, (name, curve) in enumerate(curves):
        colour = _COLOURS[number % len(_COLOURS)]
        line = " ".join(place(x, min(y, y_top)) for x, y in curve)
        stroke = f'fill="none" stroke="{colour}" stroke-width="1.5"'
        parts.append(f'<polyline points="{line}" {stroke}/>')
        parts.append(text(LEFT + 8 + 165 * number, TOP + 12, name, f' style="fill:{colour}"'))
    return "".join((*parts, "</svg>"))
