"""``python -m bench.methods``: ways to let many change one thing, side by side.

Gets what it needs if this is root, starts servers of its own, measures, and prints the tables; with
``--report`` it writes ``docs/explanation/eight-ways.md`` and its Korean twin.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from bench.methods.components import install, running, versions
from bench.methods.faults import find_faults
from bench.methods.queues.compare import QueuesReport, compare
from bench.methods.queues.measure import Plan
from bench.methods.report import Run, surroundings, write
from bench.methods.run import SMALLEST, Size, measure
from bench.methods.ways import NAMES, all_ways
from bench.run import interruptible


def main(arguments: Sequence[str]) -> int:
    """0: measured, and every way was exact where it is made for; 1: one was not."""
    parse = argparse.ArgumentParser("python -m bench.methods", description=__doc__)
    parse.add_argument("--report", action="store_true", help="write the pages")
    parse.add_argument("--smallest", action="store_true", help="a size for tests")
    parse.add_argument("--no-faults", action="store_true", help="stop, kill and restart nothing")
    parse.add_argument("--queues", type=Path, help="take in a file of bench.methods.queues")
    parse.add_argument("--ways", nargs="*", choices=NAMES, help="some of them", metavar="NAME")
    parse.add_argument("--from-json", type=Path, help="write the pages from a run kept before")
    parse.add_argument("--json", type=Path, help="a file to keep the run in")
    options = parse.parse_args(arguments)
    if options.from_json:
        run = msgspec.json.decode(options.from_json.read_bytes(), type=Run)
    else:
        size = SMALLEST if options.smallest else Size()
        run = measured(size, options.ways or (), not options.no_faults, not options.queues)
    if options.queues:
        run.queues = msgspec.json.decode(options.queues.read_bytes(), type=QueuesReport)
    if options.json:
        options.json.write_bytes(msgspec.json.encode(run))
    if options.report:
        for path in write(run):
            print(path)
    queues = run.queues.queues if run.queues else ()
    wrong = inexact(run) + [f"{each.title}: {it}" for each in queues for it in each.problems]
    for line in wrong:
        print(f"WRONG: {line}")
    return int(bool(wrong))


def measured(size: Size, names: Sequence[str], with_faults: bool, with_queues: bool) -> Run:
    """Start everything, measure, end everything."""
    began, where = time.monotonic(), surroundings()

    def say(text: str) -> None:
        print(f"{time.monotonic() - began:6.0f} s  {text}", file=sys.stderr, flush=True)

    say("getting what is missing, starting servers")
    install()
    with interruptible(), running() as components:
        for name, why in components.missing.items():
            say(f"without {name}: {why}")
        results = measure(components, size, say, names)
        faults = find_faults(components, say, names) if with_faults else []
        wanted = with_queues and not names and size != SMALLEST
        queues = compare(components, Plan()) if wanted else None
    return Run(
        where=where,
        versions=versions(),
        minutes=(time.monotonic() - began) / 60,
        size=size,
        missing=components.missing,
        results=results,
        faults=faults,
        queues=queues,
    )


def inexact(run: Run) -> list[str]:
    """What a way lost where it is made to lose nothing."""
    made_for = {name: way.exact_in for name, way in all_ways().items()}
    return [
        f"{each.way}, {each.cell}: {each.lost} lost"
        for each in run.results
        if each.lost and each.cell.processes <= made_for[each.way]
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
