"""Pictures of figures, as SVG: no library draws bars and lines shorter."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH, LEFT, RIGHT, ROW, TOP = 760, 220, 90, 24, 56
STYLE = """text{font:13px sans-serif;fill:#333}.t{font-weight:600;font-size:15px}.s{fill:#777}
.b{fill:#4878a8}.o{fill:#c46a2f}.w{stroke:#333}.g{stroke:#8884}svg{background:#fff}"""


def bars(title: str, unit: str, rows: Sequence[tuple[str, float, float, float, bool]]) -> str:
    """Rows of name, lowest, middle and highest value, and whether it is ours; on a logarithmic
    scale, so that each line to the right is ten times as much."""
    positive = [value for _, low, _, high, _ in rows for value in (low, high) if value > 0]
    first = math.floor(math.log10(min(positive, default=1)))
    last = max(first + 1, math.ceil(math.log10(max(positive, default=10))))
    height = TOP + ROW * len(rows) + 16

    def x(value: float) -> float:
        share = (math.log10(max(value, 10**first)) - first) / (last - first)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" role="img">',
        f"<title>{escape(title)}</title><style>{STYLE}</style>",
        f'<text class="t" x="8" y="20">{escape(title)}</text>',
    ]
    for power in range(first, last + 1):
        at = f"{x(10**power):.0f}"
        parts.append(f'<line class="g" x1="{at}" x2="{at}" y1="{TOP - 6}" y2="{height - 12}"/>')
        parts.append(
            f'<text class="s" x="{at}" y="{TOP - 12}" text-anchor="middle">{10**power:,}</text>'
        )
    parts.append(f'<text class="s" x="8" y="{TOP - 12}">{escape(unit)}</text>')
    for number, (name, low, middle, high, ours) in enumerate(rows):
        y = TOP + ROW * number
        parts.append(
            f'<text x="8" y="{y + 14}">{escape(name)}</text>'
            f'<rect class="{"o" if ours else "b"}" x="{LEFT}" y="{y + 2}" height="15" '
            f'width="{x(middle) - LEFT:.1f}"/>'
            f'<line class="w" x1="{x(low):.1f}" x2="{x(high):.1f}" y1="{y + 9.5}" y2="{y + 9.5}"/>'
            f'<text x="{x(high) + 6:.1f}" y="{y + 14}">{middle:,.0f}</text>'
        )
    return "\n".join([*parts, "</svg>\n"])


# -- lines -----------------------------------------------------------------------------------------

_LEFT, _RIGHT, _TOP, _BOTTOM, _HEIGHT = 64, 560, 52, 372, 420
_LABEL_GAP = 17
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8c6d00", "#56b4e9", "#5a5a5a", "#111")
"""Told apart by the colour-blind as well (Okabe and Ito), the yellow one darker."""

Points = Sequence[tuple[float, float]]


class _Axis:
    """From the tick below the smallest value to the one above the largest."""

    def __init__(self, values: Sequence[float], begin: float, end: float) -> None:
        decades = range(math.floor(math.log10(min(values))), math.ceil(math.log10(max(values))) + 2)
        ticks = [digit * 10.0**decade for decade in decades for digit in (1, 2, 5)]
        low = max(tick for tick in ticks if tick <= min(values))
        high = min(tick for tick in ticks if tick >= max(values) and tick > low)
        self.ticks = [tick for tick in ticks if low <= tick <= high]
        self._low, self._decades = math.log10(low), math.log10(high / low)
        self._begin, self._length = begin, end - begin

    def at(self, value: float) -> float:
        """Where it is on the page."""
        return self._begin + self._length * (math.log10(value) - self._low) / self._decades


def lines(title: str, across: str, up: str, series: Mapping[str, Points]) -> str:
    """One plot. ``across`` and ``up`` name the axes; values are above 0."""
    points = [point for line in series.values() for point in line]
    x = _Axis([point[0] for point in points], _LEFT, _RIGHT)
    y = _Axis([point[1] for point in points], _BOTTOM, _TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{_HEIGHT}" role="img">',
        f"<title>{escape(title)}</title><style>{STYLE}</style>",
        _text(8, 20, title, kind="t"),
        _text((_LEFT + _RIGHT) / 2, _HEIGHT - 10, across, kind="s", anchor="middle"),
        _text(8, _TOP - 12, up, kind="s"),
    ]
    for tick in x.ticks:
        parts += [_rule(x.at(tick), _TOP, x.at(tick), _BOTTOM)]
        parts += [_text(x.at(tick), _BOTTOM + 16, f"{tick:g}", kind="s", anchor="middle")]
    for tick in y.ticks:
        parts += [_rule(_LEFT, y.at(tick), _RIGHT, y.at(tick))]
        parts += [_text(_LEFT - 6, y.at(tick) + 4, f"{tick:g}", kind="s", anchor="end")]
    ends = {name: (x.at(line[-1][0]), y.at(line[-1][1])) for name, line in series.items()}
    labels = _apart({name: end[1] for name, end in ends.items()})
    for number, (name, line) in enumerate(series.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        path = " ".join(f"{x.at(a):.1f},{y.at(b):.1f}" for a, b in line)
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
            + "".join(
                f'<circle cx="{x.at(a):.1f}" cy="{y.at(b):.1f}" r="3" fill="{colour}"/>'
                for a, b in line
            )
        )
        begin, height = ends[name], labels[name]
        parts.append(_rule(*begin, _RIGHT + 8, height, colour=colour, dashed=True))
        parts.append(_text(_RIGHT + 12, height + 4, name))
    return "\n".join([*parts, "</svg>", ""])


def _apart(wanted: Mapping[str, float]) -> dict[str, float]:
    """Heights near the wanted ones, far enough apart to be read."""
    placed: dict[str, float] = {}
    lowest = -math.inf
    for name, height in sorted(wanted.items(), key=lambda item: item[1]):
        placed[name] = lowest = max(height, lowest + _LABEL_GAP)
    over = max(0.0, lowest - _BOTTOM)
    return {name: height - over for name, height in placed.items()}


def _text(x: float, y: float, text: str, *, kind: str = "", anchor: str = "start") -> str:
    place = f'class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f"<text {place}>{escape(text)}</text>"


def _rule(
    x1: float, y1: float, x2: float, y2: float, *, colour: str = "#ddd", dashed: bool = False
) -> str:
    dash = ' stroke-dasharray="2 3"' if dashed else ""
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{colour}"{dash}/>'
