"""``python -m bench waiting``: what a queue of 1,000,000 waiting costs.

The runtime, its entities and the queue's view are in this process, and the journal is in
PostgreSQL. What is measured of the event loop is our own work alone.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import asyncpg
import msgspec
import uvloop

from actors.clock import SystemClock
from actors.journal.postgres import PostgresJournal, located
from actors.replication.replicas import ViewReplicas
from actors.runtime import Runtime
from actors.tasks import Tasks
from bench.processes import memory_mb
from bench.report import conclude, machine
from bench.run import say
from bench.watchdog import Parts, Stops, watch
from booking.calls import QueueToken
from booking.catalogue.domain import Catalogue
from booking.cli.serving import calm_collector
from booking.embedded import EmbeddedServers
from booking.entities import QUEUE, queue_address
from booking.instance.metrics import Tallies
from booking.instance.views import Projections
from booking.queue.domain.events import Joined, Policy, PolicyChanged
from booking.queue.domain.line import Line, evolve_queue
from booking.queue.domain.queue import ChangePolicy, Join, Leave
from booking.queue.entity import QueueBehaviour
from booking.queue.view import QueueView
from booking.schema.migrate import migrate
from booking.seats.view import SeatMaps

TAIL = 20_000
"""Events behind the snapshot, as an owner leaves them at its worst moment."""
JOINS = 10_000
POLLS = 50_000
ADMITTED = 10_000
LEAVING = 1_000
MOVES = 20
IN_FLIGHT = 256
STOP_MS_MAX = 50.0
TAKEOVER_S_MAX = 3.0
PAUSE_MS_MAX = 250.0
BYTES_MAX = 400.0
"""The claims that are checked."""
ME = queue_address("main")
RULES = Policy(max_active=1, admit_per_interval=0, active_ms=86_400_000, max_waiting=10_000_000)


class Finding(msgspec.Struct):
    """What was measured."""

    machine: str
    waiting: int
    user_bytes: float = 0.0
    """Memory of one who waits, on the owner, with its view."""
    takeover_s: float = 0.0
    """From the claim by a process that knows nothing of the queue to the answer of a join."""
    takeover_cpu_s: float = 0.0
    """What the process itself computed of it. On a busy machine the rest is waiting for its
    turn."""
    joins_per_s: float = 0.0
    status_us: float = 0.0
    admission_s: float = 0.0
    """Until 10,000 more are inside after the limit was raised by as many."""
    leaves_per_s: float = 0.0
    pauses_ms: list[float] = []
    """Of planned moves, from the owner's release to the answer of a join."""
    pauses_cpu_ms: list[float] = []
    """What the process computed meanwhile."""
    replica_s: float = 0.0
    """Until another instance shows the queue."""
    stops_ms: dict[str, float] = {}
    """The largest stop of the event loop in each part: the most that its thread computed without a
    pause."""

    def verdicts(self) -> list[tuple[str, bool]]:
        """Each claim in words, and whether it holds."""
        part = max(self.stops_ms, key=self.stops_ms.__getitem__)
        stop_ms, pause_ms = self.stops_ms[part], max(self.pauses_ms)
        return [
            (f"largest stop {stop_ms:.0f} ms ({part}), below 50 ms", stop_ms < STOP_MS_MAX),
            (f"takeover {self.takeover_s:.2f} s, below 3 s", self.takeover_s < TAKEOVER_S_MAX),
            (f"longest pause of a move {pause_ms:.0f} ms, below 250", pause_ms < PAUSE_MS_MAX),
            (f"{self.user_bytes:.0f} bytes a user, below 400", self.user_bytes < BYTES_MAX),
        ]


class _Spent:
    """Time since now: passed, and computed by this process."""

    def __init__(self) -> None:
        self._wall_s, self._cpu_s = time.perf_counter(), time.process_time()

    def since(self) -> tuple[float, float]:
        """Both in seconds."""
        return time.perf_counter() - self._wall_s, time.process_time() - self._cpu_s


class Instance:
    """One runtime with a view of the queue."""

    def __init__(self, name: str, dsn: str) -> None:
        self.name, self.incarnation = name, f"{name}-{uuid.uuid4().hex[:8]}"
        self.journal = PostgresJournal(dsn)
        self.behaviour = QueueBehaviour(lambda: RULES)
        self.clock = SystemClock()
        self.view = QueueView("main", RULES, now_ms=self.clock.now_ms)
        self.projections = Projections(
            SeatMaps(Catalogue({}), first_version=1), {"main": self.view}, Tallies(), lambda _: None
        )
        self.runtime = Runtime(
            instance=name,
            incarnation=self.incarnation,
            behaviours=[self.behaviour],
            journal=self.journal,
            clock=self.clock,
            subscriptions=[self.projections],
        )

    async def ask(self, command: Any) -> Any:
        """What the queue replies."""
        return (await self.runtime.ask(ME, command, timeout_s=60.0)).reply

    async def take_from(self, other: Instance) -> tuple[float, float]:
        """A planned move; its pause in s, and what was computed meanwhile."""
        shards = self.runtime.shards
        warm = await shards.preload([ME])
        began = _Spent()
        epoch = other.runtime.shards.epoch_of(ME.slot)
        assert await other.runtime.shards.release(ME.slot, 1.0)
        owner = (self.name, self.incarnation)
        await shards.adopt(lambda: self.journal.claim([(ME.slot, epoch)], *owner), [ME.slot], warm)
        await self.ask(Join(str(uuid.uuid4()), "move"))
        return began.since()

    async def close(self) -> None:
        """Leave the queue to others."""
        await self.runtime.stop(1.0)
        await self.journal.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """0: every claim holds; 1: one does not."""
    parse = argparse.ArgumentParser(
        prog="python -m bench waiting", description="What a queue of 1,000,000 waiting costs."
    )
    parse.add_argument("--waiting", type=int, default=1_000_000, help="users in the queue")
    parse.add_argument("--json", action="store_true", help="one JSON document on stdout")
    options = parse.parse_args(arguments)
    calm_collector()
    with TemporaryDirectory(prefix="booking-bench-") as folder:
        Path(folder).chmod(0o711)
        seen = Stops(Path(folder) / "stops")
        watch(str(Path(folder) / "stops"))
        servers = EmbeddedServers.start(Path(folder) / "data", durable=True)
        try:
            say(f"writing a queue of {options.waiting:,}")
            # In a process of its own, whose memory is none of ours.
            with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                pool.submit(seed, servers.database_url, options.waiting).result()
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                finding = runner.run(measure(servers.database_url, options.waiting, seen))
        finally:
            servers.stop()
    return conclude(finding, "waiting.txt", as_json=options.json)


async def measure(dsn: str, waiting: int, seen: Stops) -> Finding:
    """Make the queue, and do to it what can be done to a queue."""
    found = Finding(machine(), waiting)
    part = Parts(found.stops_ms, seen, say)
    one, two = Instance("one", dsn), Instance("two", dsn)
    await two.runtime.start([])
    async with part("takeover"):
        before_mb, began = memory_mb(os.getpid()), _Spent()
        await one.runtime.start([ME.slot])
        await one.ask(Join(str(uuid.uuid4()), "first"))
        found.takeover_s, found.takeover_cpu_s = began.since()
        found.user_bytes = (memory_mb(os.getpid()) - before_mb) * 1e6 / waiting
    async with part("joins"):
        took_s = await _each(JOINS, lambda n: one.ask(Join(str(uuid.uuid4()), f"{n:032x}")))
        found.joins_per_s = JOINS / took_s
    async with part("status"):
        found.status_us = await _poll(one, waiting)
    leaves_s, found.admission_s = await _change(one, waiting, part)
    found.leaves_per_s = LEAVING / leaves_s
    async with part("look for the silent"):
        await _look(one.view)
    async with part("replica"):
        found.replica_s = await _replica(dsn)
    owners = [one, two]
    async with part("moves"):
        for _ in range(MOVES):
            owners.reverse()
            wall_s, cpu_s = await owners[0].take_from(owners[1])
            found.pauses_ms.append(round(wall_s * 1000, 1))
            found.pauses_cpu_ms.append(round(cpu_s * 1000, 1))
            await _each(500, lambda n: owners[0].ask(Join(str(uuid.uuid4()), f"{n:032x}")))
    for instance in owners:
        await instance.close()
    return found


async def _change(one: Instance, waiting: int, part: Parts) -> tuple[float, float]:
    """Seconds in which some leave, and in which others come in."""
    async with part("leaving"):
        some = random.Random(1).sample(range(waiting // 2, waiting), LEAVING)
        leaves = await _each(LEAVING, lambda n: one.ask(Leave(user_of(some[n]), some[n])))
    async with part("admission"):
        began = time.perf_counter()
        await one.ask(ChangePolicy("eve", max_active=ADMITTED))
        while one.view.active < ADMITTED:  # noqa: ASYNC110 - the view tells nobody
            await asyncio.sleep(0.005)
    return leaves, time.perf_counter() - began


async def _each(count: int, do: Callable[[int], Awaitable[Any]]) -> float:
    """Seconds for so many calls, some at a time."""
    todo, began = iter(range(count)), time.perf_counter()

    async def work() -> None:
        for number in todo:
            await do(number)

    await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))
    return time.perf_counter() - began


async def _poll(one: Instance, waiting: int) -> float:
    """Microseconds of a status."""
    chance, spent_s = random.Random(2), 0.0
    for at in range(POLLS):
        number = chance.randrange(2, waiting)
        began = time.thread_time()
        one.view.status(
            QueueToken("main", user_of(number), number, _JOINED_MS), "t", one.clock.now_ms()
        )
        spent_s += time.thread_time() - began
        if at % 50 == 0:
            await asyncio.sleep(0)
    return spent_s / POLLS * 1e6


async def _look(view: QueueView) -> None:
    for late_ms in (0, 5_000, 10_000):
        now_ms = int(time.time() * 1000) + late_ms
        for _ in view.presence.silent(now_ms, 60_000, view.last_number, view.awaited_since):
            await asyncio.sleep(0)


async def _replica(dsn: str) -> float:
    """Seconds until an instance that does not own the queue shows it."""
    other = Instance("other", dsn)
    replicas = ViewReplicas(
        {QUEUE: False},
        lambda _: other.behaviour,
        [other.projections],
        other.journal,
        lambda _: False,
    )
    tasks, began = Tasks("replica"), time.perf_counter()
    replicas.start(tasks)
    replicas.track([ME])
    while not replicas.ready(ME):  # noqa: ASYNC110 - as above
        await asyncio.sleep(0.005)
    seconds = time.perf_counter() - began
    await tasks.close()
    await other.journal.close()
    return seconds


# -- the queue as an owner left it -----------------------------------------------------------------

_JOINED_MS = 1_800_000_000_000 - 10**10
_COLUMNS = ("seq", "epoch", "entity", "at_ms", "shard", "version", "address", "type", "payload")


def user_of(number: int) -> str:
    """Who has this number of the queue."""
    return str(uuid.UUID(int=number + (4 << 76) + (8 << 60)))


def seed(dsn: str, waiting: int) -> None:
    """Make the database, with :func:`write_queue`."""
    asyncio.run(_seed(dsn, waiting))


async def _seed(dsn: str, waiting: int) -> None:
    await migrate(dsn)
    await write_queue(dsn, waiting, TAIL)


async def write_queue(dsn: str, waiting: int, tail: int) -> None:
    """Write the main queue: a snapshot in pages of all but the last, and the events of those."""
    behaviour, (shard, entity, text) = QueueBehaviour(lambda: RULES), located(ME)
    line = evolve_queue(Line(), PolicyChanged(RULES, "eve", _JOINED_MS))
    rows = []
    for number in range(1, waiting + 1):
        event = Joined(user_of(number), number, _JOINED_MS, f"{number:032x}")
        if number <= waiting - tail:
            line = evolve_queue(line, event)
        else:
            kind, version, payload = behaviour.encode_event(event)
            place = (number, 1, entity, _JOINED_MS, shard, version, text, kind)
            rows.append((*place, payload.decode()))
    seq, pages = waiting - tail, behaviour.pages(line)
    database = await asyncpg.connect(dsn)
    await database.execute(
        "UPDATE shards SET epoch = 1, owner = 'old', incarnation = 'old-1' WHERE shard = $1", shard
    )
    await database.execute(
        "INSERT INTO epochs (shard, epoch, owner, incarnation, claimed_at)"
        " VALUES ($1, 1, 'old', 'old-1', now())",
        shard,
    )
    await database.copy_records_to_table(
        "snapshot_pages",
        columns=("seq", "epoch", "shard", "number", "address", "data"),
        records=((seq, 1, shard, n, text, behaviour.encode_page(p)) for n, p in pages.items()),
    )
    await database.execute(
        "INSERT INTO snapshots (seq, epoch, shard, address, state, pages, pages_seq)"
        " VALUES ($1, 1, $2, $3, $4, $5, $1)",
        *(seq, shard, text, behaviour.encode_state(line), len(pages)),
    )
    await database.copy_records_to_table("journal", records=rows, columns=_COLUMNS)
    await database.execute("ANALYZE journal")
    await database.close()
