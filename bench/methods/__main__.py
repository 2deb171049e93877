"""``python -m bench.methods``: ways to let many change one thing, and queues, side by side.

Gets what it needs if this is root, starts servers of its own, measures, and tells what is wrong;
with ``--report`` it writes ``docs/explanation/eight-ways.md`` and its Korean twin.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from bench.methods.components import install, running, versions
from bench.methods.faults import find_faults
from bench.methods.queues.compare import compare
from bench.methods.queues.edge import QUEUES
from bench.methods.queues.measure import SMALLEST_PLAN, Plan
from bench.methods.queues.sites import OURS
from bench.methods.report import Run, surroundings, write
from bench.methods.run import SMALLEST, Progress, Size, measure
from bench.methods.ways import NAMES
from bench.run import interruptible

PARTS = ("ways", "faults", "queues")


def main(arguments: Sequence[str]) -> int:
    """0: measured, and each way and queue kept what it is made to keep; 1: one did not."""
    parse = argparse.ArgumentParser("python -m bench.methods", description=__doc__)
    parse.add_argument("--report", action="store_true", help="write the pages")
    parse.add_argument("--smallest", action="store_true", help="a size for tests")
    parse.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="some of it")
    parse.add_argument("--ways", nargs="+", choices=NAMES, default=(), metavar="NAME")
    parse.add_argument("--queues", nargs="+", choices=[*QUEUES, OURS], default=(), metavar="NAME")
    parse.add_argument("--json", type=Path, help="a file to keep the run in")
    parse.add_argument("--from-json", type=Path, help="tell of a run that was kept, instead")
    options = parse.parse_args(arguments)
    if options.from_json:
        run = msgspec.json.decode(options.from_json.read_bytes(), type=Run)
    else:
        run = _measured(options)
    if options.json:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(run), indent=1))
    for path in write(run) if options.report else ():
        print(path)
    problems = run.problems()
    for problem in problems:
        print(f"WRONG: {problem}")
    print(f"{len(run.results)} cells, {len(run.faults)} faults, {len(run.queues)} queues measured")
    return int(bool(problems))


def _measured(options: argparse.Namespace) -> Run:
    """Start everything, measure, end everything."""
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - began:6.0f} s  {text}", file=sys.stderr, flush=True)

    progress = Progress(say)
    size = SMALLEST if options.smallest else Size()
    plan = SMALLEST_PLAN if options.smallest else Plan()
    run = Run(surroundings(), {}, size, plan, {}, [])
    say("getting what is missing, starting servers")
    install()
    with interruptible(), running() as components:
        run.versions, run.missing = versions(), components.missing
        for name, why in components.missing.items():
            say(f"without {name}: {why}")
        if "ways" in options.parts:
            run.results = measure(components, size, progress, options.ways)
        if "faults" in options.parts:
            run.faults = find_faults(components, progress, options.ways)
        if "queues" in options.parts:
            run.queues = compare(components, plan, progress, options.queues)
    run.failed = progress.failed
    run.minutes = (time.monotonic() - began) / 60
    say("done")
    return run


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
