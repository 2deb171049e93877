"""The services of ``examples/services`` behind a sale: killed at random, their books are right."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, Envelope
from nats.js import JetStreamContext

from booking.audit import run
from examples.services import desk, notification, settlement
from examples.services.inbox import STREAM, open_database
from tests.integration.relay.conftest import RunRelay, is_done
from tests.support.brokers import NatsServer, in_stream, jetstream, nats_server
from tests.support.catalogues import catalogue, concert, date
from tests.support.house import ROOT
from tests.support.journal_rows import until
from tests.support.service import Service, StartService

MODULES = {"notification": notification, "settlement": settlement, "desk": desk}
PRICE, SEATS, BUYERS = 1_000, 50, 8
FOLLOWED_MAX_S = 100.0


class Mailbox:
    """What an SMTP server was given, by its Message-ID."""

    def __init__(self) -> None:
        self.mails: defaultdict[str, list[bytes]] = defaultdict(list)

    async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:  # noqa: N802
        content = bytes(envelope.original_content or b"")
        head = dict(line.split(b": ", 1) for line in content.splitlines() if b": " in line)
        self.mails[head[b"Message-ID"].decode()].append(content)
        return "250 OK"

    async def has(self, more_than: int) -> bool:
        """Whether there are more different mails than these."""
        return len(self.mails) > more_than

    def count(self, words: bytes) -> int:
        """Different mails that have these words."""
        return sum(words in copies[0] for copies in self.mails.values())


@asynccontextmanager
async def mail_server(mailbox: Mailbox) -> AsyncIterator[str]:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(mailbox, loop=loop), "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


class Followers:
    """The three services as processes, which can be killed and are started again."""

    def __init__(self, directory: Path, nats: NatsServer, smtp: str) -> None:
        self._directory = directory
        self._environ = {"NATS_URL": nats.url, "SMTP": smtp, "PYTHONPATH": str(ROOT)}
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def database(self, name: str) -> str:
        return str(self._directory / f"{name}.db")

    def start(self, name: str) -> None:
        with self._log(name).open("wb") as log:
            self._running[name] = subprocess.Popen(
                [sys.executable, "-m", f"examples.services.{name}"],
                env=self._environ | {"DATABASE": self.database(name)},
                stderr=log,
            )

    def _log(self, name: str) -> Path:
        return self._directory / f"{name}.log"

    def kill(self, name: str) -> None:
        process = self._running.pop(name)
        assert process.poll() is None, self._log(name).read_text()
        process.kill()
        process.wait()

    def kill_all(self) -> None:
        for process in self._running.values():
            process.kill()
            process.wait()


async def sell(service: Service, count: int) -> None:
    """So many bookings of different users; every tenth gives a first seat back."""
    places = iter(range(count))

    async def buyer() -> None:
        for place in places:
            seat = f"d{place // SEATS}-{place % SEATS + 1}"
            user, token = await service.api.enter()
            await service.api.charge(user, 5 * PRICE)
            if place % 10 == 0:
                first = await service.api.reserve(token, f"other-{place % SEATS + 1}")
                if first.status == 201:
                    await service.api.release(token, first.data["id"])
            assert (await service.api.reserve(token, seat)).status == 201
            assert (await service.api.pay(token, seat)).status == 201

    async with asyncio.TaskGroup() as group:
        for _ in range(BUYERS):
            group.create_task(buyer())


@pytest.mark.parametrize(
    ("bookings", "kills"),
    [
        (100, 3),
        pytest.param(2_000, 30, marks=[pytest.mark.slow, pytest.mark.timeout(900)]),
    ],
)
async def test_killed_at_random_their_books_equal_the_audits(
    bookings: int,
    kills: int,
    database_url: str,
    directory: Path,
    start_service: StartService,
    run_relay: RunRelay,
) -> None:
    """Given services that are killed with SIGKILL and started again during a sale, when the broker
    gives everything once more, then nothing of the sale is missing in their books, and nothing is
    in them twice."""
    dates = [date(f"d{n}", price=PRICE, seats=SEATS) for n in range(-(-bookings // SEATS))]
    shows = catalogue(concert("c1", *dates, date("other", seats=SEATS)))
    service = await start_service(shows, BOOKING_QUEUE_MAX_ACTIVE="10000")
    mailbox, draw = Mailbox(), random.Random(bookings)
    with ExitStack() as stack:
        server = stack.enter_context(nats_server(directory))
        smtp = mail_server(mailbox)
        followers = Followers(directory, server, await smtp.__aenter__())
        stack.callback(followers.kill_all)
        stack.enter_context(run_relay(BOOKING_NATS_URL=server.url))
        for name in MODULES:
            followers.start(name)
        selling = asyncio.create_task(sell(service, bookings))
        for number, mails in enumerate(sorted(draw.sample(range(2 * bookings), kills))):
            await until(partial(mailbox.has, mails), FOLLOWED_MAX_S)
            name = list(MODULES)[number % len(MODULES)]
            followers.kill(name)
            followers.start(name)
        await selling
        report = await run(database_url)
        assert report.ok
        await until(lambda: is_done(database_url, report.events), FOLLOWED_MAX_S)
        async with jetstream(server) as stream:
            for event in await in_stream(stream):
                await stream.publish("booking.events.again", event.encode())
            await until(lambda: all_is_taken(stream), FOLLOWED_MAX_S)
        with closing(Books(followers)) as books:
            assert books.settled() == [(bookings, report.spent - report.refunded)]
            totals = {name: tuple(sums) for name, *sums in books.totals()}
            assert totals.pop("main") == (bookings, bookings, 0, 0, 0)
            assert {sums[:3] for sums in totals.values()} == {(0, 0, 0)}
            assert sum(sums[3] for sums in totals.values()) == bookings
            assert sum(sums[4] for sums in totals.values()) == report.spent - report.refunded
        assert mailbox.count(b"Subject: Your seat") == bookings
        assert mailbox.count(b"Subject: It is your turn") == bookings
        assert len(mailbox.mails) == 2 * bookings
        assert all(len(set(copies)) == 1 for copies in mailbox.mails.values())
        await smtp.__aexit__(None, None, None)


async def all_is_taken(stream: JetStreamContext) -> bool:
    """Whether each of them has acknowledged all there is."""
    for each in MODULES.values():
        about = await stream.consumer_info(STREAM, each.service.name)
        if about.num_pending or about.num_ack_pending:
            return False
    return True


class Books:
    """What the services have written so far."""

    def __init__(self, followers: Followers) -> None:
        self._settlement = open_database(settlement.service, followers.database("settlement"))
        self._desk = open_database(desk.service, followers.database("desk"))

    def close(self) -> None:
        self._settlement.close()
        self._desk.close()

    def settled(self) -> list[Any]:
        return self._settlement.execute("SELECT count(*), sum(won) FROM sale").fetchall()

    def totals(self) -> list[Any]:
        return list(desk.totals(self._desk))
