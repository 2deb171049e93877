"""``python -m bench.scale``: what a large journal costs.

100,000 users with balances and 1,000,000 events: how long a restart takes, how fast an entity
answers that has to be loaded first, how much memory the service has after all were asked for, for
how long its event loop stood still at most meanwhile, and how long an audit takes. ``--large`` does
the same with 1,000,000 users and 10,000,000 events, of whom 200,000 are asked for: three times as
many as the service keeps in memory; and ``bench waiting`` with a queue of 1,000,000, in a process
of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice

import asyncpg
import msgspec
import uvloop

from actors.address import SLOT_COUNT, stable_hash
from bench import waiting
from bench.load import Pool
from bench.processes import cpu_seconds, memory_mb, run_to_end
from bench.record import Latencies, latencies
from bench.report import conclude, machine
from bench.rig import Rig, Setup
from bench.run import add_common_options, audit, interruptible, say
from bench.scenario import Scenario, data_of, expect, get
from bench.stories import booking
from bench.watchdog import Stop
from bench.world import UnexpectedAnswerError, Users, World, allocation
from booking.accounts.domain.account import Charged
from booking.accounts.entity import AccountBehaviour
from booking.calls import new_id
from booking.entities import account_address

COLD_MS_MAX = 10.0
MEMORY_MB_MAX = 300.0
RESTART_S_MAX = 3.0
STOP_MS_MAX = 50.0
"""The claims that are checked. A cold answer's is held by the 99th percentile: the machine's own
pauses are longer than the rest. A stop's is held by what the loop's thread computed in it."""
BOOKINGS, ALL_ASKED = "bookings", "all asked for"
"""The parts of a run in which the service is asked."""
USERS_MAX = 1_000_000
EVENTS_MAX = 20_000_000
EVENTS_PER_BOOKING = 15
"""At most: a booking appends about a dozen."""
AMOUNT = 1_000
"""Won for each seeded charge, so a user's balance tells how many events it was made of."""
CHUNK = 50_000
"""Rows of one COPY: some 20 MB on their way at a time."""
COLUMNS = (
    *("seq", "epoch", "entity", "at_ms", "shard"),
    *("version", "address", "type", "command", "payload"),
)


class Finding(msgspec.Struct):
    """What was measured."""

    machine: str
    users: int
    asked: int
    """Users that were asked for."""
    bookings: int
    events: int = 0
    """Rows in the journal."""
    stop_s: float = 0.0
    """From SIGTERM to the end of the process."""
    restart_s: float = 0.0
    """From start to ready, after an orderly stop."""
    restart_after_kill_s: float = 0.0
    """The same after kill -9."""
    restart_cpu_s: float = 0.0
    """What the service itself computed until then, at most. On a busy machine the rest is waiting
    for its turn."""
    cold: Latencies = latencies(())
    """Of single requests, one after the other, each for a user not asked for since the start."""
    others_per_s: float = 0.0
    """The others, asked for over 64 connections, none of them in memory before."""
    memory_ready_mb: float = 0.0
    memory_mb: float = 0.0
    """Resident, after all these users were asked for."""
    stops: dict[str, Stop] = {}
    """The longest of the event loop in each part of the run."""
    audit_s: float = 0.0
    """`booking audit` over all events."""
    problems: list[str] = []
    queue: waiting.Finding | None = None
    """Of a queue of so many waiting."""

    def verdicts(self) -> list[tuple[str, bool]]:
        """Each claim in words, and whether it holds."""
        p99_ms, restart_s = self.cold.p99_ms, max(self.restart_s, self.restart_after_kill_s)
        memory = f"memory {self.memory_mb:.0f} MB, below {MEMORY_MB_MAX:g} MB"
        restart = f"restart to ready {restart_s:.2f} s, below {RESTART_S_MAX:g} s"
        return [
            (f"cold entity p99 {p99_ms:.2f} ms, below {COLD_MS_MAX:g} ms", p99_ms < COLD_MS_MAX),
            (memory, self.memory_mb < MEMORY_MB_MAX),
            (restart, restart_s < RESTART_S_MAX),
            (
                f"no stop of the loop over {STOP_MS_MAX:g} ms while it serves",
                all(self.stops[part].work_ms <= STOP_MS_MAX for part in (BOOKINGS, ALL_ASKED)),
            ),
            ("balances and audit", not self.problems),
            *(self.queue.verdicts() if self.queue is not None else ()),
        ]


def main(arguments: Sequence[str] | None = None) -> int:
    """0: every claim holds; 1: one does not; 2: it could not be measured."""
    parse = argparse.ArgumentParser(
        prog="python -m bench.scale", description="What a large journal costs."
    )
    parse.add_argument("--users", type=int, default=100_000, help="with a balance")
    parse.add_argument("--events", type=int, default=1_000_000, help="in the journal, in all")
    parse.add_argument("--asked", type=int, default=200_000, help="users asked for, at most")
    parse.add_argument("--bookings", type=int, default=5_000, help="made over HTTP, part of these")
    parse.add_argument("--cold", type=int, default=5_000, help="users asked for one by one")
    parse.add_argument("--waiting", type=int, default=0, help="in a queue of its own; 0 for none")
    parse.add_argument(
        "--large",
        action="store_true",
        help="with 1,000,000 users, 10,000,000 events and 1,000,000 waiting",
    )
    add_common_options(parse)
    options = parse.parse_args(arguments)
    if options.large:
        options.users, options.events, options.waiting = 1_000_000, 10_000_000, 1_000_000
    if not 0 < options.cold <= min(options.users, options.asked) <= options.users <= USERS_MAX:
        parse.error(f"1 to {USERS_MAX} users, and no more cold ones than are asked for")
    if not options.users + options.bookings * EVENTS_PER_BOOKING <= options.events <= EVENTS_MAX:
        parse.error(
            f"up to {EVENTS_MAX} events, at least one for each user and "
            f"{EVENTS_PER_BOOKING} for each booking"
        )
    with interruptible():
        finding = measure(options)
        if options.waiting:
            finding.queue = measure_queue(options.waiting)
    return conclude(finding, "scale.txt", as_json=options.json)


def measure(options: argparse.Namespace) -> Finding:
    """Fill the journal, restart twice, and ask for users."""
    dates = options.bookings // 50 + 20
    setup = Setup(
        dates, database_url=options.database_url, redis_url=options.redis_url, watched=True
    )
    asked = min(options.asked, options.users)
    found = Finding(machine(), options.users, asked, options.bookings)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, Rig(setup, {}, say) as rig:
        say(f"making {options.bookings} bookings over HTTP")
        take = _taker(rig, found.stops)
        take("start")
        runner.run(_book(rig, options.bookings))
        take(BOOKINGS)
        found.stop_s = rig.stop_service()
        take("stop")
        before = runner.run(_count_events(rig.database_url))
        say(f"writing {options.events - before:,} charges for {options.users:,} users")
        users = Users().take(options.users)
        balances = runner.run(_seed(rig.database_url, users, options.events - before))
        _restart(rig, take, found)
        found.memory_ready_mb = memory_mb(rig.running.pid)
        random.Random(1).shuffle(users)
        say(f"asking for {asked:,} users")
        runner.run(_ask(rig, users[:asked], balances, options.cold, found))
        take(ALL_ASKED)
        found.memory_mb, began_s = memory_mb(rig.running.pid), time.monotonic()
        found.problems += audit(rig)
        found.audit_s = time.monotonic() - began_s
        found.events = runner.run(_count_events(rig.database_url))
    return found


def _restart(rig: Rig, take: Callable[[str], None], found: Finding) -> None:
    """Restart after a stop and after kill -9."""
    say("restarting")
    found.restart_s = rig.start_service()
    cpu_s = cpu_seconds(rig.running.pid)
    take("restart")
    rig.stop_service(signal.SIGKILL)
    found.restart_after_kill_s = rig.start_service()
    take("restart after kill -9")
    found.restart_cpu_s = max(cpu_s, cpu_seconds(rig.running.pid))


def measure_queue(users: int) -> waiting.Finding:
    """What `bench waiting` finds. It measures its own process, so it has one."""
    say(f"a queue of {users:,}")
    command = [sys.executable, "-m", "bench", "waiting", "--waiting", str(users), "--json"]
    told = run_to_end("bench waiting", command, os.environ, well=(0, 1))
    return msgspec.json.decode(told, type=waiting.Finding)


def _taker(rig: Rig, stops: dict[str, Stop]) -> Callable[[str], None]:
    """Notes the longest stop of the part of the run that has ended."""
    watch = rig.stops
    assert watch is not None
    return lambda part: stops.update({part: watch.take()})


async def _book(rig: Rig, count: int) -> None:
    """Whole bookings, so that the journal has queues, seats and payments too."""
    async with Pool(rig.target, 64) as pool:
        world = World(pool)
        (token,) = await world.tokens(world.users.take(1))
        seats = islice(allocation(await world.dates(token)), count)
        bookings = (booking(world.users.fresh(), seat) for seat in seats)
        recorder, _ = await pool.burst(partial(next, bookings, None))
        if recorder.failures:
            raise UnexpectedAnswerError(f"bookings failed: {dict(recorder.failures)}")


async def _ask(
    rig: Rig, users: Sequence[str], balances: dict[str, int], cold: int, found: Finding
) -> None:
    """Ask for the first ``cold`` users one by one and for the others at once."""
    wrong: list[str] = []

    def check(user: str) -> Scenario:
        response = yield from expect("balance", get(f"/user/check?userId={user}"), 200)
        balance = data_of(response)["balance"]
        if balance != balances[user]:
            wrong.append(f"balance of {user} is {balance}, not {balances[user]}")

    results = []
    for connections, some in ((1, users[:cold]), (64, users[cold:])):
        checks = (check(user) for user in some)
        async with Pool(rig.target, connections) as pool:
            recorder, seconds = await pool.burst(partial(next, checks, None))
        results.append((recorder, seconds))
        wrong += [f"{count} times {reason}" for reason, count in recorder.failures.items()]
    (first, _), (others, seconds) = results
    found.cold = latencies(first.units)
    found.others_per_s = len(others.units) / seconds if seconds > 0 else 0.0
    found.problems += wrong[:20]


# -- filling the journal ---------------------------------------------------------------------------


async def _count_events(database_url: str) -> int:
    """Rows in the journal."""
    connection = await asyncpg.connect(database_url)
    try:
        count: int = await connection.fetchval("SELECT count(*) FROM journal")
        return count
    finally:
        await connection.close()


async def _seed(database_url: str, users: Sequence[str], events: int) -> dict[str, int]:
    """Append ``events`` charges, spread over the users in turn; the balance of each afterwards.
    The rows are what the service would have written: `booking audit` accepts them. The users must
    be new, and no instance may run."""
    connection = await asyncpg.connect(database_url)
    try:
        last = await _by_shard(connection, "SELECT shard, max(seq) FROM journal GROUP BY shard")
        epochs = await _by_shard(connection, "SELECT shard, epoch FROM shards")
        if len(epochs) != SLOT_COUNT or not all(epochs.values()):
            raise RuntimeError("a shard was never claimed: start the service once before seeding")
        balances = dict.fromkeys(users, 0)
        rows = charge_rows(users, events, balances, last, epochs)
        # Built at once afterwards: row by row, in the order of hashes, it takes longer than all the
        # rest.
        index = await connection.fetchval("SELECT pg_get_indexdef('journal_entity'::regclass)")
        await connection.execute("DROP INDEX journal_entity")
        while chunk := list(islice(rows, CHUNK)):
            await connection.copy_records_to_table("journal", records=chunk, columns=COLUMNS)
        await connection.execute(index)
        # What autovacuum does by itself a minute later: without it, plans are made for an
        # empty table.
        await connection.execute("ANALYZE journal")
        return balances
    finally:
        await connection.close()


async def _by_shard(connection: asyncpg.Connection, query: str) -> dict[int, int]:
    return {row[0]: row[1] for row in await connection.fetch(query)}


def charge_rows(
    users: Sequence[str],
    events: int,
    balances: dict[str, int],
    last: dict[int, int],
    epochs: dict[int, int],
) -> Iterator[tuple[object, ...]]:
    """Journal rows of ``events`` charges, in the order of :data:`COLUMNS`. Moves on ``balances``
    (by user) and ``last`` (the last seq by shard)."""
    behaviour = AccountBehaviour()
    now_ms = time.time_ns() // 1_000_000
    places = [(user, account_address(user)) for user in users]
    hashed = [(user, place.slot, place.text, stable_hash(place.text)) for user, place in places]
    for number in range(events):
        user, shard, text, entity = hashed[number % len(hashed)]
        balances[user] += AMOUNT
        event = Charged(new_id("chg"), AMOUNT, balances[user])
        event_type, version, payload = behaviour.encode_event(event)
        last[shard] = seq = last.get(shard, 0) + 1
        epoch, content = epochs[shard], payload.decode()
        yield seq, epoch, entity, now_ms, shard, version, text, event_type, None, content


if __name__ == "__main__":
    sys.exit(main())
