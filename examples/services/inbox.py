"""What all of these services do: take each public event once, in a database of their own.

The broker gives an event again when it does not know that it was taken. So a service keeps the ids
of those it has taken in the transaction that writes what came of them.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
import nats
from nats.errors import Error as NatsError
from nats.js.api import ConsumerConfig

STREAM, SUBJECTS = "BOOKING", "booking.events.>"
"""Where `booking relay` publishes."""
AGAIN_S = 1.0
"""Before another try, when the broker or what a service writes to is away."""
ACK_WAIT_S = 5.0
"""After which the broker gives again what was not acknowledged, because the service died."""
TAKEN = "CREATE TABLE IF NOT EXISTS taken (id TEXT PRIMARY KEY) WITHOUT ROWID;"

log = logging.getLogger("examples.services")


class CloudEvent(msgspec.Struct, frozen=True):
    """What these services read of a public event: docs/reference/events.md has all of them."""

    id: str
    """The same whenever the event is told again."""
    type: str
    time: datetime
    data: dict[str, Any]


DECODE = msgspec.json.Decoder(CloudEvent).decode
Take = Callable[[sqlite3.Connection, CloudEvent], None]


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """A service: its name at the broker, its tables, and what it does about which events."""

    name: str
    tables: str
    takes: Mapping[str, Take]
    """By the event's type. Raises :class:`OSError` for what passes by itself."""
    batch: int = 200
    """Events of one transaction."""


def open_database(service: Service, path: str) -> sqlite3.Connection:
    """The service's own database."""
    database = sqlite3.connect(path, isolation_level=None)
    database.executescript(f"PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; {TAKEN}")
    database.executescript(service.tables)
    return database


def take(service: Service, database: sqlite3.Connection, events: Sequence[CloudEvent]) -> None:
    """Take those that were not taken yet, all of them or, if one raises, none."""
    database.execute("BEGIN IMMEDIATE")
    try:
        for event in events:
            handle = service.takes.get(event.type)
            if handle is not None and _is_new(database, event.id):
                handle(database, event)
    except BaseException:
        database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")


def _is_new(database: sqlite3.Connection, event_id: str) -> bool:
    return database.execute("INSERT OR IGNORE INTO taken VALUES (?)", (event_id,)).rowcount == 1


async def follow(service: Service, database: sqlite3.Connection, url: str) -> None:
    """Take what the broker has, for ever. It keeps our place under the service's name, and gives
    again what was not acknowledged."""
    connection = await nats.connect(url, max_reconnect_attempts=-1)
    events = None
    while True:
        try:
            if events is None:
                events = await connection.jetstream().pull_subscribe(
                    SUBJECTS, service.name, STREAM, config=ConsumerConfig(ack_wait=ACK_WAIT_S)
                )
            messages = await events.fetch(service.batch, timeout=AGAIN_S)
        except TimeoutError:  # Also Python's own: the client raises either.
            continue  # There is nothing new.
        except NatsError as error:
            log.warning("%s waits for the broker: %s", service.name, error)
            await asyncio.sleep(AGAIN_S)
            continue
        try:
            take(service, database, [DECODE(message.data) for message in messages])
        except OSError as error:
            log.warning("%s tries again: %s", service.name, error)
            for message in messages:
                await message.nak(delay=AGAIN_S)
        else:
            for message in messages:
                await message.ack()


def run(service: Service) -> None:
    """Follow until Ctrl-C. ``NATS_URL`` and ``DATABASE`` (a file) say where."""
    logging.basicConfig(level=logging.INFO)
    database = open_database(service, os.environ.get("DATABASE", f"{service.name}.db"))
    url = os.environ.get("NATS_URL", "nats://127.0.0.1:4222")
    try:
        asyncio.run(follow(service, database, url))
    except KeyboardInterrupt:
        database.close()
