"""Pictures of rates, as SVG: no library draws bars shorter."""

from __future__ import annotations

import math
from collections.abc import Sequence
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
