"""``python -m bench spread``: what the same load costs on one instance and on many.

All of them run on this machine, so only CPU time, and what they send each other, tells.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack

import msgspec
import uvloop

from bench.client import Target
from bench.load import Pool, arrivals
from bench.processes import ProcessFailedError, cpu_seconds, family_cpu_seconds, memory_mb
from bench.record import Recorder
from bench.report import machine, told
from bench.rig import Rig, Setup
from bench.run import OPEN_LOOP_SEED, interruptible, say
from bench.scenario import Scenario
from bench.stories import booking
from bench.world import Seat, World, allocation

RATIO_MAX = 1.6
"""The CPU time of a booking on the most instances over that on the fewest: the aim."""
INSTANCES_MAX = 32
CONNECTIONS = 32
"""In all, shared out among the instances."""


class Cost(msgspec.Struct, frozen=True):
    """What so many instances took for the load. CPU times are milliseconds for each booking."""

    instances: int
    bookings: int
    idle_ms_per_s: float
    """CPU of all instances in a second without requests, in milliseconds."""
    services_ms: float
    postgres_ms: float
    peer_kb: float
    """Sent over the links between them, for each booking."""
    memory_mb: float
    """Resident, of all instances."""


class _Fleet:
    """Instances of one rig, with a pool of connections to each."""

    def __init__(self, rig: Rig, count: int) -> None:
        others = [rig.start_another(f"other-{number}") for number in range(1, count)]
        self._rig = rig
        self.pids = [rig.running.pid, *(child.pid for child, _ in others)]
        self.targets = [rig.target, *(Target("127.0.0.1", port) for _, port in others)]

    def cpu_s(self) -> tuple[float, float]:
        """CPU time used so far by the instances and by PostgreSQL, in seconds."""
        return sum(map(cpu_seconds, self.pids)), family_cpu_seconds(self._rig.database_pid)

    async def peer_bytes(self) -> float:
        """Bytes over all links so far: whoever opened a link counts both directions."""
        pages = await asyncio.gather(*(asyncio.to_thread(_metrics, one) for one in self.targets))
        lines = [line for page in pages for line in page.splitlines()]
        links = [line for line in lines if line.startswith("booking_peer_bytes_total{")]
        return sum(float(line.rpartition(" ")[2]) for line in links)


def _metrics(target: Target) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{target.port}/metrics", timeout=10) as page:
        text: str = page.read().decode()
        return text


async def _measure(rig: Rig, fleet: _Fleet, options: argparse.Namespace) -> Cost:
    count = len(fleet.targets)
    idle_before, _ = fleet.cpu_s()
    await asyncio.sleep(options.idle)
    idle_s = (fleet.cpu_s()[0] - idle_before) / options.idle
    async with AsyncExitStack() as stack:
        each = max(1, CONNECTIONS // count)
        pools = [await stack.enter_async_context(Pool(one, each)) for one in fleet.targets]
        world = World(pools[0])
        (token,) = await world.tokens(world.users.take(1))
        seats = allocation(await world.dates(token))
        await _book(pools, world, seats, options.rate, options.warmup)
        say(f"measuring {count} instances")
        before, bytes_before = fleet.cpu_s(), await fleet.peer_bytes()
        done, failed = await _book(pools, world, seats, options.rate, options.seconds)
        used = [b - a for a, b in zip(before, fleet.cpu_s(), strict=True)]
        sent = await fleet.peer_bytes() - bytes_before
    if failed or not done:
        raise ProcessFailedError(f"{done} bookings were made, others failed: {failed}")
    return Cost(
        instances=count,
        bookings=done,
        idle_ms_per_s=idle_s * 1000,
        services_ms=used[0] / done * 1000,
        postgres_ms=used[1] / done * 1000,
        peer_kb=sent / done / 1000,
        memory_mb=sum(map(memory_mb, fleet.pids)),
    )


async def _book(
    pools: Sequence[Pool], world: World, seats: Iterator[Seat], rate: float, seconds: float
) -> tuple[int, dict[str, int]]:
    """Whole bookings at this rate in all, each pool's share of them over it; how many were made,
    and why others were not."""

    def supply() -> Scenario | None:
        seat = next(seats, None)
        return None if seat is None else booking(world.users.fresh(), seat)

    async def one(number: int, pool: Pool) -> Recorder:
        share = rate / len(pools)
        offsets = arrivals(share, seconds, "poisson", random.Random(OPEN_LOOP_SEED + number))
        return await pool.open_loop(supply, offsets, 0.0, seconds, share)

    runs = await asyncio.gather(*(one(number, pool) for number, pool in enumerate(pools)))
    failures: Counter[str] = Counter()
    for run in runs:
        failures.update(run.failures)
    return sum(len(run.units) for run in runs), dict(failures)


def _cost(count: int, options: argparse.Namespace) -> Cost:
    """Start so many instances on servers of their own, and measure."""
    setup = Setup(dates=options.dates)
    with Rig(setup, {}, say) as rig:
        cost = uvloop.run(_measure(rig, _Fleet(rig, count), options))
        rig.booking("audit")
        return cost


def main(arguments: Sequence[str]) -> int:
    """Exit status 0 if a booking on the most instances costs at most :data:`RATIO_MAX` times what
    it costs on the fewest, 1 if it costs more, 2 if it could not be measured."""
    parse = argparse.ArgumentParser("python -m bench spread", description=__doc__)
    parse.add_argument("--instances", default="1,2,4,8,16", help="how many, one after the other")
    parse.add_argument("--rate", type=float, default=40.0, help="bookings a second, in all")
    parse.add_argument("--seconds", type=float, default=10.0, help="measured, of each")
    parse.add_argument("--warmup", type=float, default=2.0, help="seconds before")
    parse.add_argument("--idle", type=float, default=5.0, help="seconds without requests, before")
    parse.add_argument("--dates", type=int, default=200, help="of 50 seats, in the catalogue")
    parse.add_argument("--json", action="store_true", help="one JSON document on stdout")
    options = parse.parse_args(arguments)
    counts = [int(count) for count in options.instances.split(",") if count.isdigit()]
    if not counts or not all(1 <= count <= INSTANCES_MAX for count in counts):
        parse.error(f"between 1 and {INSTANCES_MAX} instances")
    with interruptible():
        costs = [_cost(count, options) for count in counts]
    ratio = costs[-1].services_ms / costs[0].services_ms
    claim = (
        f"a booking on {counts[-1]} costs at most {RATIO_MAX} times one on {counts[0]}: {ratio:.2f}"
    )
    if options.json:
        print(json.dumps(msgspec.to_builtins(costs), indent=1))
    else:
        figures = {"rate": options.rate, "machine": machine(), "costs": costs}
        print(told("spread.txt", verdicts=[(claim, ratio <= RATIO_MAX)], **figures))
    return int(ratio > RATIO_MAX)
