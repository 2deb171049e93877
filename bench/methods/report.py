"""The page ``docs/explanation/eight-ways.md`` and its Korean twin, made from a run.

The words are in ``report.en.txt`` and ``report.ko.txt``; the figures are put in here.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from string import Template

import msgspec

from bench.methods.faults import Fault
from bench.methods.plots import bars
from bench.methods.queues.compare import QueuesReport, plot, section
from bench.methods.run import WORKS, Cell, Result, Size, Summary, summaries
from bench.report import machine
from bench.rig import ROOT

PAGES = {"en": "eight-ways.md", "ko": "eight-ways.ko.md"}
PICTURES = {"one user": "one-user", "many users": "many-users", "seat race": "seat-race"}
PICTURED = Cell("", 16, 1)
"""Sixteen callers in one process: where each way is made for."""


class Run(msgspec.Struct):
    """All that one run found."""

    where: dict[str, str]
    """Date, machine, commit, and the machine's load averages at the beginning."""
    versions: dict[str, str]
    minutes: float
    size: Size
    missing: dict[str, str]
    results: list[Result]
    faults: list[Fault]
    queues: QueuesReport | None = None


def surroundings() -> dict[str, str]:
    """When, where and from which commit."""
    git = ["git", "describe", "--always", "--dirty", "--abbrev=10"]
    try:
        said = subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603
        commit = said.stdout.strip() or "unknown"
    except OSError:
        commit = "unknown"
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "machine": machine(),
        "commit": commit,
        "load": " ".join(f"{each:.1f}" for each in os.getloadavg()),
    }


def write(run: Run, root: Path = ROOT) -> list[Path]:
    """Write both pages and their pictures; what was written."""
    found = summaries(run.results)
    written = {}
    for work, picture in PICTURES.items():
        path = root / "docs" / "images" / f"ways-{picture}.svg"
        written[path] = bars(
            f"{work}, 16 callers", "a second, log scale", list(_pictured(found, work))
        )
    if run.queues:
        written[root / "docs" / "images" / "queues.svg"] = plot(run.queues)
    figures = {
        **run.where,
        "minutes": f"{run.minutes:.0f}",
        "rounds": str(run.size.rounds),
        "limit": f"{run.size.limit_s:g}",
        "versions": ", ".join(f"{name} {version}" for name, version in run.versions.items()),
        "missing": "\n".join(f"- {name}: {why}" for name, why in run.missing.items()) or "-",
        "queues": "\n".join(section(run.queues)) if run.queues else "-",
        "waiting": f"{run.queues.plan.waiting:,}" if run.queues else "-",
        "queue_seconds": f"{run.queues.plan.seconds:g}" if run.queues else "-",
    }
    for work in WORKS:
        figures[PICTURES[work].replace("-", "_")] = "\n".join(_rates(found, work))
        figures[PICTURES[work].replace("-", "_") + "_costs"] = "\n".join(_costs(found, work))
    for name in ("stopped", "killed", "restarted"):
        figures[name] = "\n".join(_faults(run.faults, name))
    for language, page in PAGES.items():
        words = Template((Path(__file__).parent / f"report.{language}.txt").read_text("utf-8"))
        written[root / "docs" / "explanation" / page] = words.substitute(figures)
    for path, text in written.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return list(written)


Found = dict[tuple[str, Cell], Summary]


def _ways(found: Found) -> list[str]:
    return list(dict.fromkeys(way for way, _ in found))


def _pictured(found: Found, work: str) -> Iterator[tuple[str, float, float, float, bool]]:
    cell = msgspec.structs.replace(PICTURED, work=work)
    for way in _ways(found):
        if each := found.get((way, cell)):
            yield way, each.low, each.result.rate, each.high, way.startswith("single writer")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|---|" + "--:|" * (len(head) - 1)
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _rates(found: Found, work: str) -> Iterator[str]:
    cells = list(dict.fromkeys(cell for _, cell in found if cell.work == work))
    cells.sort(key=lambda cell: (cell.processes, cell.callers))
    head = ["", *(f"{c.callers} / {c.processes}" for c in cells), "lost"]

    def row(way: str) -> list[str]:
        there = [found.get((way, cell)) for cell in cells]
        lost = sum(each.lost for each in there if each)
        return [way, *map(_rate, there), f"**{lost:,}**" if lost else "0"]

    return _table(head, map(row, _ways(found)))


def _rate(each: Summary | None) -> str:
    if each is None:
        return ""
    return f"{each.result.rate:,.0f} ({each.low:,.0f}–{each.high:,.0f})"  # noqa: RUF001


def _costs(found: Found, work: str) -> Iterator[str]:
    head = ["", "p50 ms", "p95 ms", "p99 ms", "tries", "errors", "CPU us, callers", "servers"]
    cell = msgspec.structs.replace(PICTURED, work=work)

    def row(way: str) -> list[str]:
        one = found[way, cell].result
        return [
            way,
            *(f"{each:.1f}" for each in (one.p50_ms, one.p95_ms, one.p99_ms)),
            f"{one.attempts:.2f}",
            str(sum(one.errors.values())),
            f"{one.client_cpu_us:.0f}",
            f"{one.server_cpu_us:.0f}",
            f"{one.commits:.2f}",
            "–" if one.syncs is None else f"{one.syncs:.2f}",  # noqa: RUF001
        ]

    ways = [way for way in _ways(found) if (way, cell) in found]
    return _table([*head, "commits", "fsyncs"], map(row, ways))


def _faults(faults: Sequence[Fault], name: str) -> Iterator[str]:
    head = ["", "others", "lost", "unconfirmed or twice", "errors", "longest gap, s"]
    for each in faults:
        if each.fault.startswith(name):
            break
    else:
        return iter(())
    return _table(
        head,
        (
            [
                each.way + (f" ({each.fault.partition(', ')[2]})" if "," in each.fault else ""),
                f"{each.others:,}",
                f"**{each.lost:,}**" if each.lost else "0",
                f"**{each.doubled:,}**"
                if each.doubled and name == "killed"
                else f"{each.doubled:,}",
                ", ".join(f"{error} {number:,}" for error, number in each.errors.items()) or "0",
                f"{each.away_s:.1f}",
            ]
            for each in faults
            if each.fault.startswith(name)
        ),
    )
