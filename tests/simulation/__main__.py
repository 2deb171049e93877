"""``python -m tests.simulation``: many seeds at once, or one of them told in full."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import nullcontext, suppress
from multiprocessing import get_context
from pathlib import Path
from typing import TypeAlias

from tests.simulation.faults import CALLED_OFF, KINDS
from tests.simulation.plan import make_plan
from tests.simulation.shrink import shrunk
from tests.simulation.story import Told, run
from tests.simulation.tally import Line, commit_here, keep, kept, line_of, opened, table
from tests.simulation.timeline import page


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 1 if a seed failed."""
    given = _parser().parse_args(arguments)
    kinds = given.kinds.split(",") if given.kinds else sorted(KINDS.keys() - CALLED_OFF.keys())
    if given.seed is not None:
        return _tell_one(given, kinds)
    return _many(given, kinds)


def _many(given: argparse.Namespace, kinds: Sequence[str]) -> int:
    """Run the seeds that the file does not have yet, and tell of all."""
    commit = commit_here()
    before = [line for line in kept(given.to) if line.commit == commit] if given.to else []
    asked = range(given.first, given.first + given.seeds)
    lines = [line for line in before if line.seed in asked and line.kinds == (given.kinds or "")]
    missing = sorted(set(asked) - {line.seed for line in lines})
    work = [(seed, commit, kinds, given.kinds or "") for seed in missing]
    with opened(given.to) if given.to else nullcontext() as file, suppress(KeyboardInterrupt):
        for line in _lines(work, given.jobs):
            lines.append(line)
            if file is not None:
                keep(file, line)
            if line.violation:
                print(f"seed {line.seed}: {line.violation}", flush=True)
    print(table(kept(given.to) if given.to else lines))
    if len(lines) < given.seeds:
        print(f"\ninterrupted: {given.seeds - len(lines):,} of {given.seeds:,} seeds did not run")
    return 1 if len(lines) < given.seeds or any(line.violation for line in lines) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=300, help="how many seeds")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--kinds", help="kinds of faults, separated by commas")
    parser.add_argument("--to", type=Path, help="keep the results here, and go on from there")
    parser.add_argument("--seed", type=int, help="one seed alone, told in full")
    parser.add_argument("--shrink", action="store_true", help="make its failure smaller first")
    parser.add_argument("--html", type=Path, help="write its timeline to this file, too")
    return parser


Work: TypeAlias = "tuple[int, str, Sequence[str], str]"


def _lines(work: Sequence[Work], jobs: int) -> Iterator[Line]:
    if jobs == 1:
        yield from map(_line, work)
        return
    with get_context("fork").Pool(jobs, _without_interrupts) as pool:
        yield from pool.imap_unordered(_line, work)


def _without_interrupts() -> None:
    """Control-C ends the one who waits for the runs, and thereby these."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _line(work: Work) -> Line:
    seed, commit, kinds, named = work
    return line_of(run(make_plan(seed, kinds)), commit, named)


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
