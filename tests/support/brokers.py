"""Real NATS servers, and librdkafka's mock of Kafka's brokers; what they were given, checked."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import nats
from aiokafka import AIOKafkaConsumer
from confluent_kafka.admin import AdminClient
from nats.errors import Error
from nats.js import JetStreamContext

from booking.embedded.binaries import find_nats
from booking.embedded.nats import is_ready, url
from booking.events.contract import CloudEvent
from booking.relay.nats import STREAM
from tests.support.journal_rows import until
from tests.support.processes import wait_until
from tests.support.served import free_port

LIMIT_S = 60.0
REAL_KAFKA = os.environ.get("BOOKING_TEST_KAFKA", "")
"""Brokers of a real Kafka, for whoever has one."""


class NatsServer:
    """One process, which can be killed and started again on the same place."""

    def __init__(self, directory: Path, port: int, **more: Any) -> None:
        self.port, self.url = port, url(port)
        self.name = f"n{port}"
        directory.mkdir()
        self._config, self._log = directory / "nats.conf", directory / "log"
        store = {"store_dir": str(directory / "data"), "sync_interval": "always"}
        about = {"host": "127.0.0.1", "port": port, "server_name": self.name, "jetstream": store}
        self._config.write_text(json.dumps(about | more))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def launch(self) -> None:
        with self._log.open("ab") as log:
            command: list[str | Path] = [find_nats(), "-c", self._config]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)

    def ready(self) -> None:
        wait_until(lambda: is_ready(self.port), f"{self.name} greets")

    def freeze(self) -> None:
        """It takes what is sent, as far as the kernel does, and answers nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@contextmanager
def nats_server(directory: Path) -> Iterator[NatsServer]:
    server = NatsServer(directory / "nats", free_port())
    server.launch()
    try:
        server.ready()
        yield server
    finally:
        server.kill()


@contextmanager
def nats_cluster(directory: Path, size: int = 3) -> Iterator[list[NatsServer]]:
    ports = [(free_port(), free_port()) for _ in range(size)]
    routes = [f"nats://127.0.0.1:{peer}" for _, peer in ports]
    with ExitStack() as ending:
        servers = []
        for port, peer in ports:
            about = {"name": "c", "host": "127.0.0.1", "port": peer, "routes": routes}
            server = NatsServer(directory / f"nats-{port}", port, cluster=about)
            server.launch()
            ending.callback(server.kill)
            servers.append(server)
        for server in servers:
            server.ready()
        yield servers


@asynccontextmanager
async def jetstream(*servers: NatsServer) -> AsyncIterator[JetStreamContext]:
    async def silent(error: Exception) -> None:
        """Servers are killed here."""

    client = await nats.connect(
        [server.url for server in servers], error_cb=silent, max_reconnect_attempts=-1
    )
    try:
        yield client.jetstream(timeout=8)
    finally:
        await client.close()


async def stored(stream: JetStreamContext) -> int:
    """How many messages there are; 0 also while nobody can say."""
    with suppress(Error, TimeoutError, OSError):
        return (await stream.stream_info(STREAM)).state.messages
    return 0


async def stream_has(stream: JetStreamContext, count: int) -> None:
    async def has() -> bool:
        return await stored(stream) >= count

    await until(has, LIMIT_S)


async def in_stream(stream: JetStreamContext) -> list[CloudEvent]:
    """All that it has, each with its subject and its id as they have to be."""
    found: list[CloudEvent] = []
    count = await stored(stream)
    reader = await stream.subscribe("booking.events.>", stream=STREAM, ordered_consumer=True)
    while len(found) < count:
        message = await reader.next_msg(timeout=10)
        event = msgspec.json.decode(message.data, type=CloudEvent)
        assert (message.headers or {})["Nats-Msg-Id"] == event.id
        noun_and_verb = event.type.removeprefix("booking.").removesuffix(".v1")
        assert message.subject == f"booking.events.{noun_and_verb}"
        found.append(event)
    await reader.unsubscribe()
    return found


@contextmanager
def kafka_brokers() -> Iterator[str]:
    """librdkafka's mock: it speaks the protocol and keeps messages in memory. As long as its client
    lives."""
    if REAL_KAFKA:
        yield REAL_KAFKA
        return
    client = AdminClient({"test.mock.num.brokers": "3", "log_level": 0})
    brokers = client.list_topics(timeout=10).brokers.values()
    yield ",".join(f"{broker.host}:{broker.port}" for broker in brokers)


async def in_topic(brokers: str, topic: str, source: str, count: int) -> list[CloudEvent]:
    """All until there are so many different ones of this source, each under its key."""
    found: list[CloudEvent] = []
    reader = AIOKafkaConsumer(
        topic, bootstrap_servers=brokers, auto_offset_reset="earliest", group_id=None
    )
    await reader.start()
    try:
        async with asyncio.timeout(LIMIT_S):
            while len({event.id for event in found}) < count:
                for messages in (await reader.getmany(timeout_ms=200)).values():
                    for message in messages:
                        event = msgspec.json.decode(message.value, type=CloudEvent)
                        assert message.key == event.subject.encode()
                        found += [event] if event.source == source else []
    finally:
        await reader.stop()
    return found


def as_sent(events: Sequence[CloudEvent]) -> list[CloudEvent]:
    """As they come out of JSON."""
    return [msgspec.json.decode(event.encode(), type=CloudEvent) for event in events]


def nothing_lost(published: Sequence[CloudEvent], told: Sequence[CloudEvent]) -> None:
    """Each event is there, in order for each subject, and again only as the same."""
    known: dict[str, CloudEvent] = {}
    for event in published:
        assert known.setdefault(event.id, event) == event, "a repeat is the same"
    assert known.keys() == {event.id for event in told}
    assert _by_subject(known.values()) == _by_subject(as_sent(told))


def _by_subject(events: Any) -> dict[str, list[CloudEvent]]:
    found: defaultdict[str, list[CloudEvent]] = defaultdict(list)
    for event in events:
        found[event.subject].append(event)
    return dict(found)
