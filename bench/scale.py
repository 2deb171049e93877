"""``python -m bench.scale``: what a large journal costs.

100,000 users with balances and 1,000,000 events: how long a restart takes, how fast an entity
answers that has to be loaded first, and how much memory the service has after all were asked for.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import sys
from collections.abc import Sequence
from functools import partial
from itertools import islice

import msgspec
import uvloop

from bench.load import Pool
from bench.processes import memory_mb
from bench.record import Latencies, latencies
from bench.report import machine
from bench.rig import Rig, Setup
from bench.run import audit, interruptible, say
from bench.scenario import Scenario
from bench.seed import count_events, seed_charges
from bench.target import get
from bench.workloads.flow import Flow
from bench.world import UnexpectedAnswerError, Users, World

COLD_MS_MAX = 10.0
MEMORY_MB_MAX = 300.0
RESTART_S_MAX = 3.0
"""The claims that are checked. A cold answer's is held by the 99th percentile: the machine's own
pauses are longer than the rest."""
USERS_MAX = 1_000_000
EVENTS_MAX = 20_000_000
EVENTS_PER_BOOKING = 15
"""At most: a booking appends about a dozen."""


class Finding(msgspec.Struct, frozen=True):
    """What was measured."""

    machine: str
    users: int
    events: int
    """Rows in the journal."""
    bookings: int
    stop_s: float
    """From SIGTERM to the end of the process."""
    restart_s: float
    """From start to ready, after an orderly stop."""
    restart_after_kill_s: float
    """The same after kill -9."""
    cold: Latencies
    """Of single requests, one after the other, each for a user not asked for since the start."""
    others_per_s: float
    """All other users, asked for over 64 connections, none of them in memory before."""
    memory_ready_mb: float
    memory_mb: float
    """Resident, after every user was asked for."""
    problems: list[str]

    def verdicts(self) -> list[tuple[str, bool]]:
        restart_s = max(self.restart_s, self.restart_after_kill_s)
        return [
            (
                f"cold entity p99 {self.cold.p99_ms:.2f} ms, below {COLD_MS_MAX:g} ms",
                self.cold.p99_ms < COLD_MS_MAX,
            ),
            (
                f"memory {self.memory_mb:.0f} MB, below {MEMORY_MB_MAX:g} MB",
                self.memory_mb < MEMORY_MB_MAX,
            ),
            (
                f"restart to ready {restart_s:.2f} s, below {RESTART_S_MAX:g} s",
                restart_s < RESTART_S_MAX,
            ),
            ("balances and audit", not self.problems),
        ]


def parser() -> argparse.ArgumentParser:
    parse = argparse.ArgumentParser(
        prog="python -m bench.scale", description="What a large journal costs."
    )
    parse.add_argument("--users", type=int, default=100_000, help="with a balance")
    parse.add_argument("--events", type=int, default=1_000_000, help="in the journal, in all")
    parse.add_argument("--bookings", type=int, default=5_000, help="made over HTTP, part of these")
    parse.add_argument("--cold", type=int, default=5_000, help="users asked for one by one")
    parse.add_argument("--database-url", default="", help="an empty database, not an embedded one")
    parse.add_argument("--redis-url", default="", help="a Redis, not an embedded one")
    parse.add_argument("--json", action="store_true", help="one JSON document on stdout")
    return parse


def main(arguments: Sequence[str] | None = None) -> int:
    """0: every claim holds; 1: one does not; 2: it could not be measured."""
    parse = parser()
    options = parse.parse_args(arguments)
    if not 0 < options.cold <= options.users <= USERS_MAX:
        parse.error(f"1 to {USERS_MAX} users, and no more cold ones than users")
    if not options.users + options.bookings * EVENTS_PER_BOOKING <= options.events <= EVENTS_MAX:
        parse.error(
            f"up to {EVENTS_MAX} events, at least one for each user and "
            f"{EVENTS_PER_BOOKING} for each booking"
        )
    with interruptible():
        finding = measure(options)
    print(json.dumps(msgspec.to_builtins(finding), indent=1) if options.json else table(finding))
    return 0 if all(holds for _, holds in finding.verdicts()) else 1


def measure(options: argparse.Namespace) -> Finding:
    setup = Setup(
        dates=options.bookings // 50 + 20,
        database_url=options.database_url,
        redis_url=options.redis_url,
    )
    with (
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        Rig(setup, {}, say) as rig,
    ):
        say(f"making {options.bookings} bookings over HTTP")
        runner.run(_book(rig, options.bookings))
        stop_s = rig.stop_service()
        url = rig.database_url
        before = runner.run(count_events(url))
        say(f"writing {options.events - before:,} charges for {options.users:,} users")
        users = Users().take(options.users)
        balances = runner.run(seed_charges(url, users, options.events - before))
        say("restarting")
        restart_s = rig.start_service()
        rig.stop_service(signal.SIGKILL)
        restart_after_kill_s = rig.start_service()
        assert rig.service is not None
        memory_ready_mb = memory_mb(rig.service.pid)
        say("asking for every user")
        random.Random(1).shuffle(users)
        cold, others_per_s, problems = runner.run(_ask(rig, users, balances, options.cold))
        memory = memory_mb(rig.service.pid)
        events = runner.run(count_events(url))
        return Finding(
            machine=machine(),
            users=options.users,
            events=events,
            bookings=options.bookings,
            stop_s=stop_s,
            restart_s=restart_s,
            restart_after_kill_s=restart_after_kill_s,
            cold=cold,
            others_per_s=others_per_s,
            memory_ready_mb=memory_ready_mb,
            memory_mb=memory,
            problems=problems + audit(rig),
        )


async def _book(rig: Rig, count: int) -> None:
    """Whole bookings, so that the journal has queues, seats and payments too."""
    async with Pool(rig.target, 64) as pool:
        flow = Flow()
        await flow.prepare(World(pool))
        recorder, _ = await pool.burst(
            partial(next, islice(iter(flow.scenario, None), count), None)
        )
        if recorder.failures:
            raise UnexpectedAnswerError(f"bookings failed: {dict(recorder.failures)}")


async def _ask(
    rig: Rig, users: Sequence[str], balances: dict[str, int], cold: int
) -> tuple[Latencies, float, list[str]]:
    """Ask for the first ``cold`` users one by one and for the others at once; latencies of the
    first, rate of the others, and what balances were wrong."""
    wrong: list[str] = []

    def check(user: str) -> Scenario:
        response = yield "balance", get(f"/user/check?userId={user}")
        if response.status != 200:
            return f"balance:{response.status}"
        balance = msgspec.json.decode(response.body)["data"]["balance"]
        if balance != balances[user]:
            wrong.append(f"balance of {user} is {balance}, not {balances[user]}")
        return None

    results = []
    for connections, some in ((1, users[:cold]), (64, users[cold:])):
        checks = (check(user) for user in some)
        async with Pool(rig.target, connections) as pool:
            recorder, seconds = await pool.burst(partial(next, checks, None))
        results.append((recorder, seconds))
        wrong += [f"{count} times {reason}" for reason, count in recorder.failures.items()]
    (first, _), (others, seconds) = results
    rate = len(others.units) / seconds if seconds > 0 else 0.0
    return latencies(first.units), rate, wrong[:20]


def table(finding: Finding) -> str:
    """The finding for people."""
    cold = finding.cold
    lines = [
        f"{finding.users:,} users, {finding.events:,} events ({finding.bookings:,} bookings among "
        f"them); {finding.machine}",
        f"stop {finding.stop_s:.2f} s; restart {finding.restart_s:.2f} s, after kill -9 "
        f"{finding.restart_after_kill_s:.2f} s",
        f"cold entity: p50 {cold.p50_ms:.2f} ms, p95 {cold.p95_ms:.2f} ms, p99 {cold.p99_ms:.2f} "
        f"ms, max {cold.max_ms:.2f} ms ({cold.count:,} one by one); "
        f"{finding.others_per_s:,.0f}/s over 64 connections",
        f"memory {finding.memory_ready_mb:.0f} MB when ready, {finding.memory_mb:.0f} MB after "
        f"every user was asked for",
        "",
    ]
    lines += [f"{'pass' if holds else 'FAIL'}  {claim}" for claim, holds in finding.verdicts()]
    lines += [f"WRONG: {problem}" for problem in finding.problems]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
