"""What happened in a run, for people: as text, and as one page that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import NamedTuple

LANES = ("fault", "user", "service", "journal", "violation")


class Moment(NamedTuple):
    """Something that happened."""

    at_s: float
    lane: str
    """One of :data:`LANES`."""
    who: str
    what: str

    @property
    def line(self) -> str:
        mark = {"fault": "!", "violation": "*"}.get(self.lane, " ")
        return f"{self.at_s:9.3f} s {mark} {self.who:<11} {self.what}"


class Timeline:
    """Moments in their order."""

    def __init__(self) -> None:
        self.moments: list[Moment] = []

    def note(self, at_s: float, lane: str, who: str, what: str) -> None:
        self.moments.append(Moment(round(at_s, 3), lane, who, what))

    def text(self, lanes: Iterable[str] = LANES) -> str:
        wanted = frozenset(lanes)
        return "\n".join(moment.line for moment in self.moments if moment.lane in wanted)


_STYLE = """
body{font:14px/1.45 system-ui,sans-serif;margin:2rem;color:#222;background:#fff}
table{border-collapse:collapse;width:100%}th{text-align:left;position:sticky;top:0;background:#fff}
td,th{padding:.15rem .6rem;vertical-align:top;border-bottom:1px solid #eee}
td:first-child{font-variant-numeric:tabular-nums;text-align:right;white-space:nowrap;color:#666}
.fault td{background:#fff3d6}.violation td{background:#b3261e;color:#fff;font-weight:600}
.journal td:nth-child(5){color:#1b5e20}.service td:nth-child(4){color:#3949ab}
label{margin-right:1rem}
"""

_SCRIPT = """
for (const box of document.querySelectorAll('input')) box.onchange = () => {
  for (const row of document.querySelectorAll('tr.' + box.value)) row.hidden = !box.checked;
};
"""

_COLUMNS = {"fault": 1, "violation": 1, "user": 2, "service": 3, "journal": 4}


def page(title: str, summary: str, timeline: Timeline) -> str:
    """The timeline as an HTML page: one column for faults, users, instances and the journal."""
    rows = "\n".join(map(_row, timeline.moments))
    boxes = "".join(
        f'<label><input type="checkbox" checked value="{lane}">{lane}</label>' for lane in LANES
    )
    heads = "".join(f"<th>{head}</th>" for head in ("s", "faults", "users", "instances", "journal"))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style><h1>{escape(title)}</h1><pre>{escape(summary)}</pre>"
        f"<p>{boxes}</p><table><thead><tr>{heads}</tr></thead><tbody>\n{rows}\n</tbody></table>"
        f"<script>{_SCRIPT}</script></html>\n"
    )


def _row(moment: Moment) -> str:
    cells = [f"{moment.at_s:.3f}", "", "", "", ""]
    words = f"<b>{escape(moment.who)}</b> {escape(moment.what)}"
    cells[_COLUMNS[moment.lane]] = words
    inner = "".join(f"<td>{cell}</td>" for cell in cells)
    return f'<tr class="{moment.lane}">{inner}</tr>'
