"""Plots as SVG text: lines over two logarithmic axes, each line named at its end."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 64, 560, 44, 372
LABEL_GAP = 17
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8c6d00", "#56b4e9", "#5a5a5a", "#111111")
"""Told apart by the colour-blind as well (Okabe and Ito); the yellow one darker, for white."""

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
    x = _Axis([point[0] for point in points], LEFT, RIGHT)
    y = _Axis([point[1] for point in points], BOTTOM, TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'font-family="sans-serif" font-size="12"><title>{escape(title)}</title>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        _text(LEFT, 22, title, size=15),
        _text((LEFT + RIGHT) / 2, HEIGHT - 10, across, anchor="middle"),
        _text(LEFT, TOP - 8, up),
    ]
    for tick in x.ticks:
        parts += [_rule(x.at(tick), TOP, x.at(tick), BOTTOM)]
        parts += [_text(x.at(tick), BOTTOM + 16, f"{tick:g}", anchor="middle")]
    for tick in y.ticks:
        parts += [_rule(LEFT, y.at(tick), RIGHT, y.at(tick))]
        parts += [_text(LEFT - 6, y.at(tick) + 4, f"{tick:g}", anchor="end")]
    ends = {name: (x.at(line[-1][0]), y.at(line[-1][1])) for name, line in series.items()}
    labels = _apart({name: end[1] for name, end in ends.items()})
    for number, (name, line) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(f"{x.at(a):.1f},{y.at(b):.1f}" for a, b in line)
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
            + "".join(
                f'<circle cx="{x.at(a):.1f}" cy="{y.at(b):.1f}" r="3" fill="{colour}"/>'
                for a, b in line
            )
        )
        begin, height = ends[name], labels[name]
        parts.append(_rule(*begin, RIGHT + 8, height, colour=colour, dashed=True))
        parts.append(_text(RIGHT + 12, height + 4, name, colour=colour))
    return "\n".join([*parts, "</svg>", ""])


def _apart(wanted: Mapping[str, float]) -> dict[str, float]:
    """Heights near the wanted ones, far enough apart to be read."""
    placed: dict[str, float] = {}
    lowest = -math.inf
    for name, height in sorted(wanted.items(), key=lambda item: item[1]):
        placed[name] = lowest = max(height, lowest + LABEL_GAP)
    over = max(0.0, lowest - BOTTOM)
    return {name: height - over for name, height in placed.items()}


def _text(
    x: float, y: float, text: str, *, anchor: str = "start", size: int = 12, colour: str = "#333"
) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{colour}"'
    return f"<text {place}>{escape(text)}</text>"


def _rule(
    x1: float, y1: float, x2: float, y2: float, *, colour: str = "#ddd", dashed: bool = False
) -> str:
    dash = ' stroke-dasharray="2 3"' if dashed else ""
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{colour}"{dash}/>'
