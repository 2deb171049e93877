"""The page ``docs/explanation/queries.md``, made from a run."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from bench.report import told
from bench.rig import ROOT
from bench.tenmillion.cases import CASES, NOTHING
from bench.tenmillion.data import DUE_EVERY, PENDING_EVERY
from bench.tenmillion.measure import Finding

AIM_MS = 1.0
"""What each case's p99 stays below, warm."""
PAGE = ROOT / "docs" / "explanation" / "queries.md"


def verdicts(found: Finding) -> list[tuple[str, bool]]:
    """Each claim in words, and whether it holds: where no query was undisturbed, none does."""
    warm = {case: found.after[case.key].warm.quiet for case in CASES}
    return [
        (f"{case.title}: p99 {of.p99_ms:.2f} ms, below {AIM_MS:g}", 0 < of.p99_ms < AIM_MS)
        for case, of in warm.items()
    ]


def write(found: Finding, page: Path) -> None:
    """Write the page."""
    pending = found.rows["seat_reservation"] // PENDING_EVERY
    figures = {
        "pending": pending,
        "due": pending // DUE_EVERY,
        "cases": CASES,
        "nothing": NOTHING,
        "titles": {case.key: case.title for case in CASES},
        "orm_version": version("sqlalchemy"),
    }
    page.write_text(told("queries.txt", it=found, **figures) + "\n", "utf-8")
