"""``python -m tests.simulation``: many seeds at once, or one of them told in full."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from tests.simulation.faults import CALLED_OFF, KINDS
from tests.simulation.plan import make_plan
from tests.simulation.shrink import shrunk
from tests.simulation.story import Told, run
from tests.simulation.timeline import page

FAILURES_MAX = 10
"""Failing seeds that are told; the rest are only counted."""


class Line(NamedTuple):
    """What is kept of a run among thousands."""

    seed: int
    violation: str
    held: Counter[str]
    answers: int
    rows: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 1 if a seed failed."""
    given = _parser().parse_args(arguments)
    kinds = given.kinds.split(",") if given.kinds else sorted(KINDS.keys() - CALLED_OFF.keys())
    if given.seed is not None:
        return _tell_one(given, kinds)
    began_s = time.monotonic()
    held, failed, answers, rows = Counter[str](), 0, 0, 0
    for line in _lines(given, kinds):
        held += line.held
        answers, rows = answers + line.answers, rows + line.rows
        if line.violation:
            failed += 1
            if failed <= FAILURES_MAX:
                print(f"seed {line.seed}: {line.violation}", flush=True)
    took_s = time.monotonic() - began_s
    told = f"{answers:,} answers, {rows:,} rows, {failed} failed"
    print(f"{given.seeds} seeds in {took_s:.0f} s: {told}")
    print(faults_held(held))
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=300, help="how many seeds")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--kinds", help="kinds of faults, separated by commas")
    parser.add_argument("--seed", type=int, help="one seed alone, told in full")
    parser.add_argument("--shrink", action="store_true", help="make its failure smaller first")
    parser.add_argument("--html", type=Path, help="write its timeline to this file, too")
    return parser


def _lines(given: argparse.Namespace, kinds: Sequence[str]) -> Iterator[Line]:
    work = ((seed, kinds) for seed in range(given.first, given.first + given.seeds))
    if given.jobs == 1:
        yield from map(_line, work)
        return
    with get_context("fork").Pool(given.jobs) as pool:
        yield from pool.imap(_line, work, chunksize=5)


def _line(work: tuple[int, Sequence[str]]) -> Line:
    seed, kinds = work
    told = run(make_plan(seed, kinds))
    violation = "" if told.violation is None else str(told.violation)
    return Line(seed, violation, told.held, told.answers, told.rows)


def _tell_one(given: argparse.Namespace, kinds: Sequence[str]) -> int:
    told = run(make_plan(given.seed, kinds))
    if given.shrink and told.violation is not None:
        told = shrunk(told)
    print(told.timeline.text())
    print(summary(told))
    if given.html is not None:
        given.html.write_text(page(f"Seed {given.seed}", summary(told), told.timeline))
    return 0 if told.violation is None else 1


def summary(told: Told) -> str:
    """How a run ended, in a few lines."""
    plan = told.plan
    faults = [f"  {fault.at_s} s {fault.kind} ({fault.for_s} s)" for fault in plan.faults]
    return "\n".join(
        (
            f"seed {plan.seed}: {plan.instances} instances, users {list(plan.users)}, {plan.rules}",
            *faults,
            f"{told.answers} answers, {told.rows} rows, {told.virtual_s:.1f} virtual seconds",
            f"VIOLATION of {told.violation}" if told.violation else "every invariant held",
        )
    )


def faults_held(held: Counter[str]) -> str:
    """How many faults of which kind befell somebody."""
    words = ", ".join(f"{kind} {count:,}" for kind, count in sorted(held.items()))
    return f"{held.total():,} faults: {words}"


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)  # in this process alone, not in that of a test
    sys.exit(main())
