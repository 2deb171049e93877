"""The same workload against two targets in turns, so that both see the same machine.

A small machine's speed drifts by a quarter within an hour and jumps when something else wakes up.
So nothing is compared across runs: service and bare route take turns of a few seconds, in the order
ABBA, and what counts is their ratio.
"""

from __future__ import annotations

import random
import time
from itertools import islice

import msgspec

from bench.arrivals import Kind, arrivals
from bench.bare import Answer
from bench.load import Pool
from bench.processes import cpu_seconds, family_cpu_seconds
from bench.record import Recorder, Side
from bench.scenario import Scenario, Supply
from bench.target import route_of
from bench.workloads.base import Workload
from bench.world import UnexpectedAnswerError, World

OPEN_LOOP_SEED = 7
"""The same arrivals in every run."""


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
            except StopIteration as end:
                return str(end.value) if end.value else None

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
        if plan.rate:
            rng = random.Random(OPEN_LOOP_SEED + number)
            length_s = plan.warmup_s + plan.slice_s
            offsets = arrivals(plan.rate, length_s, plan.arrivals, rng)
            recorder = await self.pool.open_loop(
                supply, offsets, plan.warmup_s, plan.slice_s, plan.rate
            )
        else:
            recorder = await self.pool.closed_loop(supply, plan.warmup_s, plan.slice_s)
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
