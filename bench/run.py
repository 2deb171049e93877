"""``python -m bench WORKLOAD``: measure a workload beside a bare route, and say what was found.

A small machine's speed drifts, so service and bare route take turns of a few seconds, in the order
ABBA, and what counts is their ratio.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from itertools import islice
from pathlib import Path

import msgspec
import uvloop

from bench.bare import Answer
from bench.client import Target, TargetError
from bench.load import Kind, Pool, arrivals
from bench.processes import ProcessFailedError, cpu_seconds, family_cpu_seconds
from bench.record import Recorder, Side
from bench.report import Report, machine, side_report, slice_ratios, told
from bench.rig import Rig, Setup, start_bare
from bench.scenario import Scenario, Supply, route_of
from bench.workloads import WORKLOADS, Workload
from bench.world import UnexpectedAnswerError, World
from booking.embedded import EmbeddedServersError

FAILURES = (TargetError, ProcessFailedError, UnexpectedAnswerError, EmbeddedServersError, OSError)
SECONDS_MAX = 600.0
CONNECTIONS_MAX = 10_000
OPEN_LOOP_SEED = 7
"""The same arrivals in every run."""


# -- in turns --------------------------------------------------------------------------------------


class Plan(msgspec.Struct, frozen=True):
    """How to measure. Every slice has its own warm-up, which is not measured."""

    slices: int = 6
    """For each target."""
    slice_s: float = 2.0
    warmup_s: float = 0.3
    """Enough for 64 connections to be in step with the server again after the other's slice."""
    rate: float = 0.0
    """Units a second that arrive in an open loop; 0 for a closed loop."""
    arrivals: Kind = "poisson"


async def sampled(workload: Workload, pool: Pool) -> list[Answer]:
    """Run the workload's sample against the service and keep its answers for the bare route."""
    kept: dict[tuple[str, str], Answer] = {}

    def watched(scenario: Scenario) -> Scenario:
        step, request = next(scenario)
        while True:
            response = yield step, request
            method, path = route_of(request)
            content_type = response.header("Content-Type") or ""
            kept[method, path] = Answer(method, path, response.status, content_type, response.body)
            try:
                step, request = scenario.send(response)
            except StopIteration:
                return

    sample = workload.sample()
    if sample is None:
        raise UnexpectedAnswerError("the workload has nothing to do")
    scenarios = iter([watched(sample)])
    recorder, _ = await pool.burst(lambda: next(scenarios, None))
    if recorder.failures:
        raise UnexpectedAnswerError(f"the sample went wrong: {dict(recorder.failures)}")
    return list(kept.values())


class Lane:
    """One of the two targets, and what was measured of it."""

    def __init__(
        self, name: str, pool: Pool, pid: int | None, database_pid: int | None = None
    ) -> None:
        self.pool = pool
        self.side = Side(name)
        self._pid = pid
        self._database_pid = database_pid

    async def measure(self, workload: Workload, supply: Supply, plan: Plan, number: int) -> None:
        """Run one slice and add it to the side."""
        server_before = cpu_seconds(self._pid)
        database_before = family_cpu_seconds(self._database_pid)
        own_before = time.process_time()
        recorder, seconds = await self._run(workload, supply, plan, number)
        self.side.generator_cpu_s += time.process_time() - own_before
        self.side.server_cpu_s += cpu_seconds(self._pid) - server_before
        self.side.database_cpu_s += family_cpu_seconds(self._database_pid) - database_before
        self.side.add(recorder, seconds)

    async def _run(
        self, workload: Workload, supply: Supply, plan: Plan, number: int
    ) -> tuple[Recorder, float]:
        if workload.burst:
            limited = islice(iter(supply, None), workload.burst)
            return await self.pool.burst(lambda: next(limited, None))
        if not plan.rate:
            return await self.pool.closed_loop(supply, plan.warmup_s, plan.slice_s), plan.slice_s
        rng = random.Random(OPEN_LOOP_SEED + number)
        offsets = arrivals(plan.rate, plan.warmup_s + plan.slice_s, plan.arrivals, rng)
        recorder = await self.pool.open_loop(
            supply, offsets, plan.warmup_s, plan.slice_s, plan.rate
        )
        return recorder, plan.slice_s


async def compare(
    workload: Workload, world: World, service: Lane, bare: Lane | None, plan: Plan
) -> list[str]:
    """Measure both in turns (the bare route only if there is one); what the workload finds wrong
    with the service afterwards."""
    for number in range(plan.slices):
        turns = [service, bare] if number % 2 == 0 else [bare, service]
        for lane in turns:
            if lane is service:
                await workload.before_slice(world)
                await lane.measure(workload, workload.scenario, plan, number)
            elif lane is not None:
                await lane.measure(workload, workload.bare_scenario, plan, number)
    return await workload.verify(world, service.side)


# -- the command -----------------------------------------------------------------------------------


def add_common_options(parse: argparse.ArgumentParser) -> None:
    """Options of every measurement that starts its own service."""
    parse.add_argument("--database-url", default="", help="an empty database, not an embedded one")
    parse.add_argument("--redis-url", default="", help="a Redis, not an embedded one")
    parse.add_argument("--json", action="store_true", help="one JSON document on stdout")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line. 0: measured and all is well; 1: something is wrong with what the
    service did; 2: it could not be measured."""
    parse = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure the service beside a bare aiohttp route, in turns.",
        epilog=f"workloads: {', '.join(WORKLOADS)}, or all",
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
    parse.add_argument("--no-keys", action="store_false", dest="keys", help="no Idempotency-Key")
    parse.add_argument("--no-bare", action="store_true", help="measure the service alone")
    parse.add_argument("--no-audit", action="store_true", help="no `booking audit` after the run")
    parse.add_argument("--profile", default="", metavar="FILE", help="cProfile of the service")
    add_common_options(parse)
    options = parse.parse_args(arguments)
    if not 0 < options.seconds <= SECONDS_MAX or not 0 < options.slices <= options.seconds * 10:
        parse.error(f"up to {SECONDS_MAX:.0f} seconds, in slices of 0.1 s or more")
    if not 0 < (options.connections or 1) <= CONNECTIONS_MAX:
        parse.error(f"up to {CONNECTIONS_MAX} connections")
    reports = []
    with interruptible():
        for name in WORKLOADS if "all" in options.workloads else options.workloads:
            report = _one(WORKLOADS[name](), options)
            reports.append(report)
            if not options.json:
                print(f"{told('workload.txt', it=report)}\n", flush=True)
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
    except (*FAILURES, KeyboardInterrupt) as error:
        print(f"bench: {error if str(error) else 'interrupted'}", file=sys.stderr)
        sys.exit(2)
    finally:
        signal.signal(signal.SIGTERM, before)


def _one(workload: Workload, options: argparse.Namespace) -> Report:
    """Measure one workload on a service of its own, or on the one that is given."""
    connections = options.connections or workload.connections
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, ExitStack() as stack:
        if options.url:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
            target = Target.parse(options.url)
            service = Lane("service", Pool(target, connections, keys=options.keys), None)
            return runner.run(_measure(workload, options, service, directory))
        setup = Setup(
            dates=options.dates,
            max_active=options.max_active,
            database_url=options.database_url,
            redis_url=options.redis_url,
            profile=options.profile,
        )
        rig = stack.enter_context(Rig(setup, workload.settings, say))
        pool = Pool(rig.target, connections, keys=options.keys)
        service = Lane("service", pool, rig.running.pid, rig.database_pid)
        report = runner.run(_measure(workload, options, service, rig.directory))
        rig.running.check()
        if not options.no_audit:
            report.problems.extend(audit(rig))
        return report


async def _measure(
    workload: Workload, options: argparse.Namespace, service: Lane, directory: Path
) -> Report:
    """Prepare, sample, compare, verify."""
    slice_s = options.seconds / options.slices
    plan = Plan(options.slices, slice_s, options.warmup, options.rate, options.arrivals)
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(service.pool)
        world = World(pool)
        say("preparing")
        await workload.prepare(world)
        bare = None
        if not options.no_bare:
            target, pid = start_bare(await sampled(workload, pool), directory, stack)
            bare_pool = await stack.enter_async_context(
                Pool(target, pool.connections, keys=pool.keys)
            )
            bare = Lane("bare route", bare_pool, pid)
        say(f"measuring {workload.name}")
        problems = await compare(workload, world, service, bare, plan)
    found = side_report(service.side)
    beside = None if bare is None else side_report(bare.side)
    return Report(
        workload=workload.name,
        title=workload.title,
        unit=workload.unit,
        connections=service.pool.connections,
        keys=service.pool.keys,
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
