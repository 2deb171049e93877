"""``python -m bench WORKLOAD``: measure a workload beside a bare route, and say what was found."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from pathlib import Path

import msgspec
import uvloop

from bench.bare import Answer
from bench.compare import Lane, Plan, compare, sampled
from bench.load import Pool
from bench.processes import ProcessFailedError
from bench.report import Report, machine, side_report, slice_ratios, table
from bench.rig import Rig, Setup, start_bare
from bench.target import Target, TargetError
from bench.workloads import WORKLOADS
from bench.workloads.base import Workload
from bench.world import UnexpectedAnswerError, World
from booking.embedded import EmbeddedServersError

FAILURES = (
    TargetError,
    ProcessFailedError,
    UnexpectedAnswerError,
    EmbeddedServersError,
    OSError,
)
SECONDS_MAX = 600.0
CONNECTIONS_MAX = 10_000

StartBare = Callable[[list[Answer]], tuple[Target, int]]


def parser() -> argparse.ArgumentParser:
    names = ", ".join(WORKLOADS)
    parse = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure the service beside a bare aiohttp route, in turns.",
        epilog=f"workloads: {names}, or all",
    )
    parse.add_argument("workloads", nargs="+", metavar="WORKLOAD", choices=[*WORKLOADS, "all"])
    parse.add_argument("--url", help="a running service on loopback, instead of one of its own")
    parse.add_argument("--connections", type=int, help="default: 64, and 500 for race")
    parse.add_argument("--seconds", type=float, default=12.0, help="measured, for each target")
    parse.add_argument("--slices", type=int, default=6, help="turns, for each target")
    parse.add_argument("--warmup", type=float, default=0.3, help="seconds before each slice")
    parse.add_argument("--rate", type=float, default=0.0, help="open loop: units a second")
    parse.add_argument("--arrivals", choices=["poisson", "even"], default="poisson")
    parse.add_argument("--dates", type=int, default=2_000, help="of 50 seats, in the catalogue")
    parse.add_argument("--max-active", type=int, default=1_000_000, help="of the queue")
    parse.add_argument("--database-url", default="", help="an empty database, not an embedded one")
    parse.add_argument("--redis-url", default="", help="a Redis, not an embedded one")
    parse.add_argument("--no-bare", action="store_true", help="measure the service alone")
    parse.add_argument("--no-audit", action="store_true", help="no `booking audit` after the run")
    parse.add_argument("--profile", default="", metavar="FILE", help="cProfile of the service")
    parse.add_argument("--json", action="store_true", help="one JSON document on stdout")
    return parse


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line. 0: measured and all is well; 1: something is wrong with what the
    service did; 2: it could not be measured."""
    parse = parser()
    options = parse.parse_args(arguments)
    if not 0 < options.seconds <= SECONDS_MAX or not 0 < options.slices <= options.seconds * 10:
        parse.error(f"up to {SECONDS_MAX:.0f} seconds, in slices of 0.1 s or more")
    if not 0 < (options.connections or 1) <= CONNECTIONS_MAX:
        parse.error(f"up to {CONNECTIONS_MAX} connections")
    names = list(WORKLOADS) if "all" in options.workloads else options.workloads
    reports = []
    with interruptible():
        for name in names:
            report = one(WORKLOADS[name](), options)
            reports.append(report)
            if not options.json:
                print(f"{table(report)}\n", flush=True)
    if options.json:
        print(json.dumps(msgspec.to_builtins(reports), indent=1))
    return 1 if any(report.problems for report in reports) else 0


@contextmanager
def interruptible() -> Iterator[None]:
    """Make SIGTERM end the block as Ctrl-C does, and what cannot be measured end the process with
    one message and status 2."""
    # A shell starts background jobs with SIGINT ignored; then asyncio would not see it either.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    before = signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        yield
    except FAILURES as error:
        print(f"bench: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        sys.exit(2)
    finally:
        signal.signal(signal.SIGTERM, before)


def one(workload: Workload, options: argparse.Namespace) -> Report:
    """Measure one workload on a service of its own, or on the one that is given."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, ExitStack() as stack:
        if options.url:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))

            def start(answers: list[Answer]) -> tuple[Target, int]:
                return start_bare(answers, directory, stack)

            target = Target.parse(options.url)
            return runner.run(measure(workload, options, target, (None, None), start))
        setup = Setup(
            dates=options.dates,
            max_active=options.max_active,
            database_url=options.database_url,
            redis_url=options.redis_url,
            profile=options.profile,
        )
        rig = stack.enter_context(Rig(setup, workload.settings, say))
        assert rig.service is not None
        report = runner.run(
            measure(
                workload, options, rig.target, (rig.service.pid, rig.database_pid), rig.start_bare
            )
        )
        rig.service.check()
        if not options.no_audit:
            report.problems.extend(audit(rig))
        return report


async def measure(
    workload: Workload,
    options: argparse.Namespace,
    target: Target,
    pids: tuple[int | None, int | None],
    start: StartBare,
) -> Report:
    """Prepare, sample, compare, verify. ``pids`` are the service's and its database's, if known."""
    connections = options.connections or workload.connections
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(Pool(target, connections))
        world = World(pool)
        say("preparing")
        await workload.prepare(world)
        service = Lane("service", pool, *pids)
        bare = None
        if not options.no_bare:
            bare_target, bare_pid = start(await sampled(workload, pool))
            bare_pool = await stack.enter_async_context(Pool(bare_target, connections))
            bare = Lane("bare route", bare_pool, bare_pid)
        plan = Plan(
            slices=options.slices,
            slice_s=options.seconds / options.slices,
            warmup_s=options.warmup,
            rate=options.rate,
            arrivals=options.arrivals,
        )
        say(f"measuring {workload.name}")
        problems = await compare(workload, world, service, bare, plan)
    return _report(workload, connections, plan, service, bare, problems)


def _report(
    workload: Workload,
    connections: int,
    plan: Plan,
    service: Lane,
    bare: Lane | None,
    problems: list[str],
) -> Report:
    found = side_report(service.side)
    beside = None if bare is None else side_report(bare.side)
    return Report(
        workload=workload.name,
        title=workload.title,
        unit=workload.unit,
        connections=connections,
        rate=0.0 if workload.burst else plan.rate,
        machine=machine(),
        service=found,
        bare=beside,
        ratio=found.units_per_s / beside.units_per_s if beside and beside.units_per_s else 0.0,
        slice_ratios=slice_ratios(service.side, None if bare is None else bare.side),
        problems=problems,
    )


def audit(rig: Rig) -> list[str]:
    """What `booking audit` finds wrong with the journal that the run has left."""
    say("auditing the journal")
    try:
        rig.booking("audit")
    except ProcessFailedError as error:
        return [str(error)]
    return []


def say(line: str) -> None:
    """Progress goes to stderr, so that stdout has results only."""
    print(f"bench: {line} ...", file=sys.stderr, flush=True)
