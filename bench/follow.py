"""``python -m bench follow``: what consumers of events cost the sale, and how far behind they are.

Two services on servers of their own take turns: one without consumers, one that keeps the tables to
query and runs one consumer more. Then instances are killed.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from itertools import count
from typing import Any

import aiohttp
import asyncpg
import msgspec
import uvloop

from actors.address import SLOT_COUNT
from bench.load import Pool
from bench.notify import CHANNEL
from bench.processes import ProcessFailedError
from bench.record import Latencies, latencies
from bench.report import conclude, machine, side_report
from bench.rig import Rig, Setup
from bench.run import Lane, Plan, audit, interruptible, say
from bench.workloads import WORKLOADS, Workload
from bench.world import Users, World
from booking.entities import account_address

RATIO_MIN, LAG_MS_MAX, TAKEOVER_S_MAX = 0.85, 250.0, 5.0
"""The claims: bookings with consumers over those without, the p99 of the lag."""
CONNECTIONS = 64
SETTLE_S_MAX = 60.0
CHARGE_EVERY_S = 0.2
BEHIND = """
SELECT (SELECT sum(last) FROM (SELECT max(seq) AS last FROM journal GROUP BY shard) AS shards)
     - least((SELECT sum(seq) FROM consumer_offsets WHERE consumer = 'bench-notify'),
             (SELECT sum(seq) FROM booking_read.consumer_offsets))
"""
OWNED = "SELECT count(*) FROM shards JOIN epochs USING (shard, epoch) WHERE epochs.owner = $1"


class Finding(msgspec.Struct, frozen=True):
    """What was measured."""

    machine: str
    without_per_s: float
    with_per_s: float
    """Bookings a second."""
    lag: Latencies
    """From an event's decision to the commit of a consumer, at full load."""
    lag_half: Latencies
    """The same at half the rate."""
    takeovers_s: list[float]
    """From each kill -9 to the first event of the last shard."""
    problems: list[str]

    def verdicts(self) -> list[tuple[str, bool]]:
        """Each claim in words, and whether it holds."""
        ratio, takeover_s = self.with_per_s / self.without_per_s, max(self.takeovers_s)
        lag_ms = self.lag_half.p99_ms
        return [
            (f"bookings with consumers {ratio:.2f} of those without", ratio >= RATIO_MIN),
            (
                f"lag p99 at half the rate {lag_ms:.0f} ms, below {LAG_MS_MAX:g} ms",
                lag_ms < LAG_MS_MAX,
            ),
            (
                f"takeover {takeover_s:.1f} s, below {TAKEOVER_S_MAX:g} s",
                takeover_s < TAKEOVER_S_MAX,
            ),
            ("every booking and the audit", not self.problems),
        ]


class Told:
    """What the consumer tells."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self.connection = connection
        self.lags_s: list[float] = []
        self.at_s: defaultdict[int, float] = defaultdict(float)
        """When each shard was last told of."""

    def hear(self, *told: Any) -> None:
        """A notification."""
        now_s, heard_s = time.time(), time.monotonic()
        for each in told[-1].split(","):
            shard, _, at_ms = each.partition(":")
            self.lags_s.append(now_s - int(at_ms) / 1000)
            self.at_s[int(shard)] = heard_s

    def taken(self) -> Latencies:
        """The lags since this was last asked."""
        lags_s, self.lags_s = self.lags_s, []
        return latencies(lags_s)

    async def caught_up(self) -> bool:
        """Whether both consumers are done with all there is."""
        return bool(await self.connection.fetchval(BEHIND) == 0)


class _Turns:
    """The flow on one service."""

    def __init__(self, name: str, pool: Pool, workload: Workload) -> None:
        self.lane, self.workload = Lane(name, pool, None), workload

    async def take(self, plan: Plan, number: int) -> None:
        await self.lane.measure(self.workload, self.workload.scenario, plan, number)


async def _measure(plain: Rig, followed: Rig, options: argparse.Namespace) -> Finding:
    async with AsyncExitStack() as stack:
        connection = await asyncpg.connect(followed.database_url)
        stack.push_async_callback(connection.close)
        told = Told(connection)
        await connection.add_listener(CHANNEL, told.hear)
        sides = []
        for name, rig in (("without", plain), ("with", followed)):
            pool = await stack.enter_async_context(Pool(rig.target, CONNECTIONS))
            workload = WORKLOADS["flow"]()
            await workload.prepare(World(pool))
            sides.append(_Turns(name, pool, workload))
        lag = await _in_turns(sides, told, options)
        reports = [side_report(side.lane.side) for side in sides]
        say("measuring at half the rate")
        plan = Plan(1, options.seconds / 2, rate=reports[1].units_per_s / 2)
        await sides[1].take(plan, options.slices)
        lag_half = told.taken()
        takeovers_s = [
            await _take_over(followed, f"victim-{number}", told) for number in range(options.kills)
        ]
        await _until(told.caught_up, "the consumers to be done")
    failures = [str(dict(side.lane.side.failures)) for side in sides if side.lane.side.failures]
    return Finding(
        machine=f"{machine()}, load average {os.getloadavg()[0]:.1f} at the end",
        without_per_s=reports[0].units_per_s,
        with_per_s=reports[1].units_per_s,
        lag=lag,
        lag_half=lag_half,
        takeovers_s=takeovers_s,
        problems=failures + audit(followed),
    )


async def _in_turns(sides: Sequence[_Turns], told: Told, options: argparse.Namespace) -> Latencies:
    """Measure both; the lag under full load. What is left of a turn is not the other one's."""
    say("measuring with and without consumers")
    plan = Plan(options.slices, options.seconds / options.slices)
    for number in range(options.slices):
        for side in sides if number % 2 == 0 else reversed(sides):
            await side.take(plan, number)
            await _until(told.caught_up, "the consumers to be done")
    return told.taken()


async def _take_over(rig: Rig, name: str, told: Told) -> float:
    """Kill an instance that has its share of the shards; the seconds until each shard is followed
    again. Somebody in each shard charges all the while."""
    victim, _ = await asyncio.to_thread(rig.start_another, name)

    async def shared() -> bool:
        return bool(await told.connection.fetchval(OWNED, name) >= SLOT_COUNT * 0.4)

    await _until(shared, "an instance to have its share")
    say(f"killing {name}")
    victim.stop(signal.SIGKILL)
    killed_s = time.monotonic()
    users = one_in_each_shard()
    timeout = aiohttp.ClientTimeout(total=2.0)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        url = f"http://127.0.0.1:{rig.port}/user/charge"
        charges = set[asyncio.Task[None]]()
        while missing := [n for n in range(SLOT_COUNT) if told.at_s[n] < killed_s]:
            if time.monotonic() - killed_s > SETTLE_S_MAX:
                raise ProcessFailedError(f"shards {missing} are not followed")
            charges |= {asyncio.create_task(_charge(session, url, users[n])) for n in missing}
            await asyncio.sleep(CHARGE_EVERY_S)
        await asyncio.gather(*charges)
    return max(told.at_s.values()) - killed_s


async def _charge(session: aiohttp.ClientSession, url: str, user: str) -> None:
    with suppress(aiohttp.ClientError, TimeoutError):
        async with session.post(url, json={"userId": user, "amount": 1_000}) as answer:
            await answer.read()


def one_in_each_shard() -> dict[int, str]:
    """A user of each shard."""
    users, found = Users(), dict[int, str]()
    for _ in count():
        user = users.fresh()
        found.setdefault(account_address(user).slot, user)
        if len(found) == SLOT_COUNT:
            break
    return found


async def _until(holds: Callable[[], Awaitable[bool]], what: str) -> None:
    ends = time.monotonic() + SETTLE_S_MAX
    while not await holds():
        if time.monotonic() > ends:
            raise ProcessFailedError(f"no end of waiting for {what}")
        await asyncio.sleep(0.02)


def main(arguments: Sequence[str]) -> int:
    """0: every claim holds; 1: one does not; 2: it could not be measured."""
    parse = argparse.ArgumentParser("python -m bench follow", description=__doc__)
    parse.add_argument("--seconds", type=float, default=24.0, help="measured, of each service")
    parse.add_argument("--slices", type=int, default=6, help="turns, for each service")
    parse.add_argument("--kills", type=int, default=3, help="instances killed, one by one")
    parse.add_argument("--dates", type=int, default=2_000, help="of 50 seats, in the catalogue")
    parse.add_argument("--json", action="store_true", help="one JSON document on stdout")
    options = parse.parse_args(arguments)
    with (
        interruptible(),
        Rig(Setup(options.dates), {}, say) as plain,
        Rig(Setup(options.dates, followed=True), {}, say) as followed,
    ):
        found = uvloop.run(_measure(plain, followed, options))
    return conclude(found, "follow.txt", as_json=options.json)
