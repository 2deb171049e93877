"""``python -m bench.slo``: measure the promises against ``booking up``, and break it meanwhile."""

import argparse
import asyncio
import random
import sys
from collections.abc import Sequence
from pathlib import Path

import uvloop

from bench.load import arrivals
from bench.report import machine, told
from bench.rig import SEATS_PER_DATE, Setup
from bench.run import audit, interruptible, say
from bench.slo.page import page
from bench.slo.rig import PAUSED_S, PatientPool, Timeline, UpRig
from bench.slo.verdict import RATE_PER_S, Phases, judge
from bench.stories import Stories
from bench.world import World

CONNECTIONS = 128
"""As a proxy would keep: at 300 bookings of a few milliseconds each, some thirty are in use."""


def main(arguments: Sequence[str] | None = None) -> int:
    """0: every promise kept; 1: one broken; 2: it could not be measured."""
    parse = argparse.ArgumentParser(
        prog="python -m bench.slo",
        description="Measure the service levels of docs/reference/service-levels.md.",
    )
    parse.add_argument("--rate", type=float, default=RATE_PER_S, help="whole bookings a second")
    parse.add_argument("--instances", type=int, default=2, help="of `booking up`")
    parse.add_argument("--calm", type=float, default=30.0, help="seconds measured in peace")
    parse.add_argument("--trouble", type=float, default=15.0, help="seconds after each break")
    parse.add_argument("--warmup", type=float, default=5.0, help="seconds that count for nothing")
    parse.add_argument("--no-keys", action="store_false", dest="keys", help="no Idempotency-Key")
    parse.add_argument("--report", type=Path, default=None, metavar="FILE", help="an HTML page")
    options = parse.parse_args(arguments)
    if not 0 < options.rate <= 10_000 or options.trouble < PAUSED_S + 2:
        parse.error(f"up to 10000 a second, and {PAUSED_S + 2:.0f} s or more of trouble")
    with interruptible():
        return measure(options)


def measure(options: argparse.Namespace) -> int:
    """One run."""
    killed_at = options.warmup + options.calm
    redis_from = killed_at + options.trouble
    phases = Phases(options.warmup, killed_at, redis_from, redis_from + options.trouble)
    dates = int(options.rate * phases.end / SEATS_PER_DATE * 1.2) + 32
    UpRig.instances = options.instances
    with UpRig(Setup(dates=dates), {"BOOKING_LOG": "text"}, say) as rig:
        timeline = uvloop.run(drive(rig, options.rate, phases, keys=options.keys))
        problems = audit(rig)
        verdict = judge(timeline, phases, options.rate, rig.instances)
        verdict.notes.append("; ".join(problems) or "`booking audit` is clean")
    print(told("slo.txt", it=verdict))
    if options.report is not None:
        title = f"Service levels at {options.rate:.0f} bookings a second"
        options.report.write_text(page(title, machine(), verdict, timeline, phases))
        say(f"wrote {options.report}")
    return 0 if verdict.kept and not problems else 1


async def drive(rig: UpRig, rate: float, phases: Phases, *, keys: bool) -> Timeline:
    """The load from beginning to end, and what is broken in the midst of it."""
    async with PatientPool(rig.target, CONNECTIONS, keys=keys) as pool:
        world = World(pool)
        (token,) = await world.tokens(world.users.take(1))
        stories = Stories(world.users, await world.dates(token))
        say(f"{rate:.0f} bookings a second for {phases.end:.0f} s")
        schedule = arrivals(rate, phases.end, "poisson", random.Random(1))
        async with asyncio.TaskGroup() as group:
            running = group.create_task(
                pool.open_loop(stories, schedule, 0.0, phases.end, rate), name="load"
            )
            group.create_task(break_things(rig, phases), name="trouble")
        timeline = running.result()
        assert isinstance(timeline, Timeline)
        return timeline


async def break_things(rig: UpRig, phases: Phases) -> None:
    """Each at its time, while the load goes on."""
    await asyncio.sleep(phases.killed_at)
    say(f"killed instance {rig.kill_instance()}")
    await asyncio.sleep(phases.redis_from - phases.killed_at)
    rig.pause_redis()
    say("paused Redis")
    await asyncio.sleep(PAUSED_S)
    rig.kill_redis()
    say("killed Redis; an empty one comes")


if __name__ == "__main__":
    sys.exit(main())
