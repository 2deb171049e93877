"""``python -m bench.tenmillion``: load, measure, and with ``--report`` write the page.

The server is private and durable while it is measured; it is loaded with ``fsync`` off, and gone
afterwards.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from bench.methods.report import surroundings
from bench.report import told
from bench.run import interruptible, say
from bench.tenmillion import page
from bench.tenmillion.data import Sizes
from bench.tenmillion.measure import Finding, Run
from bench.tenmillion.server import private_server

ROWS_MIN = 20_000
"""Fewer have no pending reservation whose time is over."""


def main(arguments: Sequence[str] | None = None) -> int:
    """0: every claim holds; 1: one does not; 2: it could not be measured."""
    parse = argparse.ArgumentParser(
        prog="python -m bench.tenmillion",
        description="What queries on ten million reservations cost, before and after indexes.",
    )
    parse.add_argument("--rows", type=int, default=10_000_000, help="reservations")
    parse.add_argument("--samples", type=int, default=2_000, help="of each case")
    parse.add_argument("--dir", default="", help="for the data, some 2 GB a million rows")
    parse.add_argument("--json", type=Path, help="a file to write what was found to")
    parse.add_argument("--report", action="store_true", help="write docs/explanation/queries.md")
    parse.add_argument("--again", type=Path, help="report what this file of --json holds")
    options = parse.parse_args(arguments)
    if options.rows < ROWS_MIN or options.samples < 10:
        parse.error(f"at least {ROWS_MIN} rows and 10 samples")
    with interruptible():
        if options.again:
            found = msgspec.json.decode(options.again.read_bytes(), type=Finding)
        else:
            found = measure(options)
    if options.json:
        options.json.write_bytes(msgspec.json.encode(found))
    if options.report:
        page.write(found, page.PAGE)
    verdicts = page.verdicts(found)
    print(told("claims.txt", verdicts=verdicts))
    return 0 if all(holds for _, holds in verdicts) else 1


def measure(options: argparse.Namespace) -> Finding:
    """One run on a server of its own."""
    where = surroundings()
    machine = f"{where['machine']}, load average {where['load']} at the beginning"
    with private_server(options.dir, options.rows) as server:
        run = Run(server, Sizes(options.rows), options.samples, say)
        return asyncio.run(run.measure(machine, where["commit"], where["date"]))


if __name__ == "__main__":
    sys.exit(main())
