"""One sale, and everything behind it killed with SIGKILL at random: nothing of it is lost."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Protocol
from uuid import uuid4

import asyncpg
import pytest

from actors.journal.partitioned import journal_over
from booking.audit import run
from booking.embedded import EmbeddedServers
from booking.entities import ACCOUNT, QUEUE, SEAT
from booking.events.contract import CloudEvent, source_of
from booking.events.mapping import Places, translate
from booking.readmodel import store
from booking.readmodel.rebuild import events_of
from booking.schema import parts
from booking_client import Unreachable
from examples.services import settlement
from examples.services.inbox import STREAM, open_database
from tests.cluster.test_consumers import FOLLOWED
from tests.integration.readmodel.test_readmodel import equal_to_the_books
from tests.integration.relay.conftest import answers
from tests.support.api_client import Api, Reply, new_user
from tests.support.brokers import in_stream, jetstream, nats_server, nothing_lost
from tests.support.cluster import Cluster, cluster
from tests.support.house import ROOT
from tests.support.journal_rows import until
from tests.support.processes import python_environ
from tests.support.servers import own_servers
from tests.support.stock import import_catalogue
from tests.support.told import Tell

PRICE, SEATS, BUYERS = 1_000, 50, 8
AGAIN_S = 0.2
ASKED_MAX_S = 60.0
DOWN_S_MAX = 2.0
"""A process that was killed is started again within so long, as its manager does."""
DONE_MAX_S = 100.0
POSTGRES_REST_S = 8.0
"""Its guardian gives a server up that ends five times within 30 s."""
OFFSETS = """
SELECT consumer, sum(seq) FROM consumer_offsets GROUP BY 1
UNION ALL SELECT consumer, sum(seq) FROM booking_read.consumer_offsets GROUP BY 1
"""


class Part(Protocol):
    """A process that is killed, and started again."""

    @property
    def running(self) -> bool: ...

    def launch(self) -> None: ...

    def kill(self) -> None: ...


class Command:
    """A program of ours."""

    def __init__(self, directory: Path, module: str, *arguments: str, **environ: str) -> None:
        self._command = [sys.executable, "-P", "-m", module, *arguments]
        self._environ = python_environ(environ)
        self._environ["PYTHONPATH"] += f"{os.pathsep}{ROOT}"
        self._log = directory / f"{module}.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def launch(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env=self._environ, stdout=log, stderr=log
            )

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


class Postgres:
    """Its guardian starts it again."""

    running = True

    def __init__(self, servers: EmbeddedServers) -> None:
        self._servers = servers

    def launch(self) -> None:
        """Nothing to do."""

    def kill(self) -> None:
        os.kill(self._servers.pids["postgres"], signal.SIGKILL)

    def notice(self) -> None:
        self._servers.news()


class House:
    """Everything that takes part in a sale, by kind. Who ends is started again."""

    def __init__(self, kinds: Mapping[str, Sequence[Part]], postgres: Postgres) -> None:
        self.killed: Counter[str] = Counter()
        self._kinds, self._postgres = kinds, postgres
        self._down: dict[Part, float] = {}
        self._postgres_from_s = 0.0

    async def keep_up(self) -> None:
        while True:
            self._postgres.notice()
            for part in (part for each in self._kinds.values() for part in each):
                if not part.running and time.monotonic() >= self._down.get(part, 0.0):
                    part.launch()
            await asyncio.sleep(0.1)

    async def kill(self, kind: str, random: Random) -> None:
        part = random.choice(self._kinds[kind])
        if kind == "postgres":
            await asyncio.sleep(self._postgres_from_s - time.monotonic())
            self._postgres_from_s = time.monotonic() + POSTGRES_REST_S

        async def runs() -> bool:
            return part.running

        await until(runs)
        self._down[part] = time.monotonic() + random.uniform(0, DOWN_S_MAX)
        part.kill()
        self.killed[kind] += 1


class Sale:
    """Bookings of different users, each asked for again until somebody answers."""

    def __init__(self, urls: Callable[[], Sequence[str]], random: Random) -> None:
        self.sold = 0
        self._urls, self._random = urls, random
        self._apis: dict[str, Api] = {}

    async def run(self, count: int) -> None:
        places = iter(range(count))
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(BUYERS):
                    group.create_task(self._buyer(places))
        finally:
            for api in self._apis.values():
                await api.__aexit__()

    async def _buyer(self, places: Iterator[int]) -> None:
        for place in places:
            user, seat = new_user(), {"seatId": f"d{place // SEATS}-{place % SEATS + 1}"}
            token = (await self._told("/queue/issue", {"userId": user})).data["token"]
            await self._told("/user/charge", {"userId": user, "amount": 5 * PRICE})
            await self._told("/reservation", seat, token)
            await self._told("/payment", seat, token)
            self.sold += 1

    async def _told(self, path: str, body: Any, token: str | None = None) -> Reply:
        key, ends_s = str(uuid4()), time.monotonic() + ASKED_MAX_S
        reply: Reply | None = None
        while time.monotonic() < ends_s:
            url = self._random.choice(self._urls())
            api = self._apis.setdefault(url, Api(url, fresh=True))
            with suppress(Unreachable):
                reply = await api.call("POST", path, body=body, token=token, key=key)
                if reply.status < 500 and not in_flight(reply):
                    assert reply.status in (200, 201), (path, reply)
                    return reply
            await asyncio.sleep(AGAIN_S)
        raise AssertionError(f"{path} is not answered within {ASKED_MAX_S:.0f} s: {reply}")

    async def has(self, sold: int) -> bool:
        return self.sold >= sold


def in_flight(reply: Reply) -> bool:
    """Whether it says that the first request of this key is still being worked on."""
    return reply.status == 409 and reply.code == "idempotency_key_in_flight"


@asynccontextmanager
async def keeping_up(house: House) -> AsyncIterator[None]:
    task = asyncio.create_task(house.keep_up())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def all_done(dsn: str) -> bool:
    """Whether each consumer is done with all there is."""
    connection = await asyncpg.connect(dsn)
    try:
        count = await connection.fetchval("SELECT count(*) FROM journal")
        found = {row[0]: row[1] for row in await connection.fetch(OFFSETS)}
    finally:
        await connection.close()
    return found == dict.fromkeys(("good", "read-model", "relay-nats"), count)


async def public_events(dsn: str) -> list[CloudEvent]:
    """What the journal has to tell."""
    journal = journal_over([dsn], lanes_each=0, pool_size=1)
    try:
        rows = await journal.read(dict.fromkeys(range(256), 0), 1_000_000)
    finally:
        await journal.close()
    source = source_of((await parts.check([dsn])).cluster)
    return list(translate(events_of(rows, (ACCOUNT, QUEUE, SEAT)), source, Places()))


async def followed_in_order(dsn: str) -> bool:
    """Whether the consumer took each event once, in order for each shard."""
    connection = await asyncpg.connect(dsn)
    try:
        found = await connection.fetch("SELECT shard, seq FROM followed ORDER BY shard, n")
        return found == await connection.fetch("SELECT shard, seq FROM journal ORDER BY shard, seq")
    finally:
        await connection.close()


@pytest.mark.parametrize(
    ("instances", "bookings", "each", "seed"),
    [
        (1, 60, 1, 1),
        *(
            pytest.param(2, 2_000, 8, seed, marks=[pytest.mark.slow, pytest.mark.timeout(1_200)])
            for seed in (1, 2, 3)
        ),
    ],
)
async def test_all_killed_at_random_in_one_sale(
    directory: Path,
    redis_url: str,
    tell: Tell,
    instances: int,
    bookings: int,
    each: int,
    seed: int,
) -> None:
    """Given a sale behind which instances with their consumers, the relay, its broker, a service
    and PostgreSQL are killed with SIGKILL, each so many times at random, when all are back, then
    every event is there once or again as the same, in order for each subject, and the read model,
    a consumer's effects and the service's books equal the audit's."""
    random = Random(seed)
    (directory / "followed.py").write_text(FOLLOWED)
    async with AsyncExitStack() as stack:
        servers = stack.enter_context(own_servers(redis_url=redis_url))
        broker = stack.enter_context(nats_server(directory))
        dsn, database = servers.database_url, str(directory / "settlement.db")
        await parts.prepare([dsn])
        await store.prepare(dsn)
        await import_catalogue(dsn, {f"d{n}": SEATS for n in range(-(-bookings // SEATS))})
        running: Cluster = await stack.enter_async_context(
            cluster(
                dsn,
                redis_url,
                directory,
                instances,
                BOOKING_READ_URL=dsn,
                BOOKING_CONSUMERS="followed:good",
                PYTHONPATH=f"{directory}:{ROOT}:{ROOT / 'http'}",
            )
        )
        relay = Command(
            directory,
            "booking.cli.main",
            "relay",
            BOOKING_DATABASE_URL=dsn,
            BOOKING_NATS_URL=broker.url,
            BOOKING_LOG="text",
        )
        service = Command(
            directory, "examples.services.settlement", NATS_URL=broker.url, DATABASE=database
        )
        for command in (relay, service):
            stack.callback(command.kill)
        postgres = Postgres(servers)
        kinds: dict[str, Sequence[Part]] = {
            "instance": running.instances,
            "postgres": [postgres],
            "relay": [relay],
            "broker": [broker],
            "service": [service],
        }
        house = House(kinds, postgres)
        await stack.enter_async_context(keeping_up(house))
        sale = Sale(running.in_rotation, random)
        began_s = time.monotonic()
        async with asyncio.TaskGroup() as group:
            group.create_task(sale.run(bookings))
            order = [kind for _ in range(each) for kind in random.sample(list(kinds), len(kinds))]
            for kind, sold in zip(
                order, sorted(random.sample(range(bookings), len(order))), strict=True
            ):
                await until(partial(sale.has, sold), 600.0)
                await house.kill(kind, random)
        took_s = time.monotonic() - began_s
        await until(lambda: answers(dsn))
        await until(lambda: all_done(dsn), DONE_MAX_S)

        report = await run(dsn)
        assert report.ok
        assert report.spent - report.refunded == bookings * PRICE
        await equal_to_the_books(dsn, report)
        assert await followed_in_order(dsn)
        told = await public_events(dsn)
        async with jetstream(broker) as stream:
            published = await in_stream(stream)
            nothing_lost(published, told)

            async def taken() -> bool:
                about = await stream.consumer_info(STREAM, settlement.service.name)
                return not about.num_pending and not about.num_ack_pending

            await until(taken, DONE_MAX_S)
        with closing(open_database(settlement.service, database)) as books:
            settled = books.execute("SELECT count(*), sum(won) FROM sale").fetchall()
        assert settled == [(bookings, bookings * PRICE)]
        tell(f"{bookings} bookings in {took_s:.0f} s, killed: {dict(house.killed)}")
        tell(
            f"{report.events} events, {len(told)} public ones, "
            f"{len(published) - len(told)} of them twice in the stream"
        )
