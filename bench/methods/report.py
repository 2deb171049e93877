"""The page ``docs/explanation/eight-ways.md`` and its Korean twin, made from a run.

The words, tables and pictures are templates in ``bench/pages/``.
"""

import math
import os
import subprocess
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from bench.methods.faults import STOPPED_S, Fault
from bench.methods.queues.compare import ADMIT_PER_S, QueueReport
from bench.methods.queues.measure import CONNECTIONS, Plan
from bench.methods.run import WORKS, Cell, Result, Size
from bench.methods.ways import way_named
from bench.methods.ways.redlock import LEASE_S
from bench.report import machine, told
from bench.rig import ROOT

PAGES = {"eight-ways.en.txt": "eight-ways.md", "eight-ways.ko.txt": "eight-ways.ko.md"}
"""By their templates."""
PICTURED = (16, 1)
"""Sixteen callers in one process: where each way is made for."""

Group = list[Result]
"""One cell of one way, in all rounds."""


class Run(msgspec.Struct):
    """All that one run found."""

    where: dict[str, str]
    """Date, machine, commit, and the machine's load averages at the beginning."""
    versions: dict[str, str]
    size: Size
    plan: Plan
    missing: dict[str, str]
    results: list[Result]
    faults: list[Fault] = []
    queues: list[QueueReport] = []
    minutes: float = 0.0
    failed: list[str] = []
    """What could not be measured."""

    def problems(self) -> list[str]:
        """Where a way or a queue lost what it is made to keep, or kept what is said to be lost."""
        lost = [
            f"{each.way}, {each.cell}: {each.lost} lost, {each.sold} seats sold"
            for each in self.results
            if (each.lost and each.cell.processes <= way_named(each.way).exact_in)
            or each.sold > self.size.seats
        ]
        faults = [each.problem(way_named(each.way)) for each in self.faults]
        queues = [f"{each.title}: {it}" for each in self.queues for it in each.problems]
        return self.failed + lost + list(filter(None, faults)) + queues

    def groups(self) -> dict[str, dict[str, dict[Cell, Group]]]:
        """The results by work, way and cell."""
        found: dict[str, dict[str, dict[Cell, Group]]] = {work: {} for work in WORKS}
        for each in self.results:
            cells = found[each.cell.work].setdefault(each.way, {})
            cells.setdefault(each.cell, []).append(each)
        return found


def surroundings() -> dict[str, str]:
    """When, where and from which commit."""
    git = ["git", "describe", "--always", "--dirty", "--abbrev=10"]
    try:
        said = subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603
        commit = said.stdout.strip() or "unknown"
    except OSError:
        commit = "unknown"
    load = " ".join(f"{each:.1f}" for each in os.getloadavg())
    date = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    return {"date": date, "machine": machine(), "commit": commit, "load": load}


def middle(group: Group) -> Result:
    """The round whose rate is in the middle."""
    rate = median(each.rate for each in group)
    return min(group, key=lambda each: abs(each.rate - rate))


def span(numbers: Iterable[float]) -> str:
    """From the lowest to the highest."""
    low, *_, high = [f"{number:,.0f}" for number in sorted(numbers)] * 2
    return low if low == high else f"{low}–{high}"  # noqa: RUF001


class Axis:
    """A logarithmic scale, from the power of ten below the smallest value to that above the
    largest."""

    def __init__(self, values: Iterable[float]) -> None:
        logs = [math.log10(value) for value in values if value > 0] or [0.0]
        self._first = math.floor(min(logs))
        self._last = max(self._first + 1, math.ceil(max(logs)))
        self.powers = [10.0**power for power in range(self._first, self._last + 1)]

    def at(self, value: float) -> float:
        """Where a value is: 0 at the lower end, 1 at the upper one."""
        place = math.log10(max(value, self.powers[0])) - self._first
        return place / (self._last - self._first)


def write(run: Run, root: Path = ROOT) -> list[Path]:
    """Write both pages and their pictures; what was written."""
    figures = {
        "run": run,
        "groups": run.groups(),
        "Cell": Cell,
        "pictured": PICTURED,
        "middle": middle,
        "span": span,
        "stopped_s": STOPPED_S,
        "lease_s": LEASE_S,
        "admit": ADMIT_PER_S,
        "connections": CONNECTIONS,
    }
    pages = {f"explanation/{page}": (template, figures) for template, page in PAGES.items()}
    written = []
    for name, (template, each) in (pages | dict(_pictures(run))).items():
        path = root / "docs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(told(template, **each), "utf-8")
        written.append(path)
    return written


def _pictures(run: Run) -> Iterator[tuple[str, tuple[str, dict[str, Any]]]]:
    """By name: template and figures."""
    for work, ways in run.groups().items():
        groups = {way: cells.get(Cell(work, *PICTURED), []) for way, cells in ways.items()}
        rates = {way: sorted(each.rate for each in group) for way, group in groups.items() if group}
        bars = {
            "title": f"{work}, {PICTURED[0]} callers",
            "unit": "a second, log scale",
            "rows": [(way, found[0], median(found), found[-1]) for way, found in rates.items()],
            "axis": Axis(rate for found in rates.values() for rate in found),
        }
        yield f"images/ways-{work.replace(' ', '-')}.svg", ("bars.svg", bars)
    kept = {
        each.title: [load.pair.p99_ms for load in each.loads if load.kept_up] for each in run.queues
    }
    lines = {
        "title": "A place and a question about it: latency over rate",
        "across": "pairs a second",
        "up": "ms, 99th percentile, log scale",
        "steps": run.plan.rates,
        "series": {name: values for name, values in kept.items() if values},
        "axis": Axis(value for values in kept.values() for value in values),
    }
    yield "images/queues.svg", ("lines.svg", lines)
