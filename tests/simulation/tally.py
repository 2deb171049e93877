"""What many runs came to: one line a seed, kept in a file that may be cut off at any moment, and a
table of all of them."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TextIO

import msgspec

from tests.simulation.story import Told
from tests.support.house import ROOT


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is kept of a run among thousands."""

    seed: int
    commit: str
    kinds: str
    """The kinds that faults were drawn from, if not all."""
    held: dict[str, int]
    """How many faults befell somebody, by kind."""
    answers: int
    rows: int
    violation: str = ""


def line_of(told: Told, commit: str, kinds: str) -> Line:
    """The line of a run."""
    violation = "" if told.violation is None else str(told.violation)
    return Line(told.plan.seed, commit, kinds, dict(told.held), told.answers, told.rows, violation)


def commit_here() -> str:
    """What the runs are runs of: the commit that is checked out, with a + if it was changed."""

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", *words], cwd=ROOT, capture_output=True, text=True, check=False
        ).stdout.strip()

    return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain") else "")


def kept(file: Path) -> list[Line]:
    """The lines of a file. The last one may have been cut off while it was written; that seed was
    not run."""
    whole = file.read_bytes() if file.exists() else b""
    return [msgspec.json.decode(line, type=Line) for line in whole.split(b"\n")[:-1]]


def opened(file: Path) -> TextIO:
    """The file, to add lines to, without a line that was cut off."""
    whole = file.read_bytes() if file.exists() else b""
    end = whole.rfind(b"\n") + 1
    opened = file.open("a")
    opened.truncate(end)
    return opened


def keep(file: TextIO, line: Line) -> None:
    """Add a line, in one write."""
    file.write(msgspec.json.encode(line).decode() + "\n")
    file.flush()


def table(lines: Iterable[Line]) -> str:
    """All runs by commit, and all faults by kind."""
    runs, faults, befell = dict[str, list[Line]](), Counter[str](), Counter[str]()
    for line in lines:
        runs.setdefault(line.commit, []).append(line)
        faults.update(line.held)
        befell.update(line.held.keys())
    cells: list[tuple[str, ...]] = [
        ("commit", "runs", "seeds", "answers", "rows", "faults", "violations")
    ]
    cells += [_by_commit(commit, some) for commit, some in runs.items()]
    kinds = [("fault", "times", "in runs")]
    kinds += [(kind, f"{faults[kind]:,}", f"{befell[kind]:,}") for kind in sorted(faults)]
    return f"{_aligned(cells)}\n\n{_aligned(kinds)}"


def _by_commit(commit: str, lines: list[Line]) -> tuple[str, ...]:
    seeds = [line.seed for line in lines]
    sums = (
        sum(line.answers for line in lines),
        sum(line.rows for line in lines),
        sum(sum(line.held.values()) for line in lines),
        sum(bool(line.violation) for line in lines),
    )
    span = f"{min(seeds)} to {max(seeds)}"
    return commit, f"{len(lines):,}", span, *(f"{each:,}" for each in sums)


def _aligned(rows: Sequence[tuple[str, ...]]) -> str:
    """Rows of cells, the first column to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0])]
            + [c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)]
        )
        for row in rows
    )
