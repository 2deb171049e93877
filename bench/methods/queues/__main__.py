"""``python -m bench.methods.queues``: four queues side by side, on servers of their own."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from bench.methods.components import install, running
from bench.methods.queues.compare import COMPONENTS, compare, plot, section
from bench.methods.queues.measure import Plan
from bench.run import interruptible


def main(arguments: Sequence[str]) -> int:
    """0: measured; 1: something is wrong with ours."""
    parse = argparse.ArgumentParser("python -m bench.methods.queues", description=__doc__)
    parse.add_argument("--rates", default="100,500,1000,3000", help="pairs a second")
    parse.add_argument("--seconds", type=float, default=4.0, help="of each rate (60: a minute)")
    parse.add_argument("--waiting", type=int, default=5_000, help="in the line before")
    parse.add_argument("--people", type=int, default=60, help="around a death; 0: kill nobody")
    parse.add_argument("--queues", default="", help="some of them, by name")
    parse.add_argument("--json", type=Path, help="a file for the figures")
    parse.add_argument("--plot", type=Path, help="a file for the plot, as SVG")
    options = parse.parse_args(arguments)
    rates = tuple(float(rate) for rate in options.rates.split(",") if rate)
    plan = Plan(rates, options.seconds, options.waiting, options.people)
    install()
    with interruptible(), running(COMPONENTS) as components:
        found = compare(components, plan, list(filter(None, options.queues.split(","))))
    if options.json:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1))
    if options.plot:
        options.plot.write_text(plot(found))
    print("\n".join(section(found)))
    return int(any(queue.problems for queue in found.queues))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
