"""A journal with everything in it, as the public events that are told of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import asyncpg
import msgspec

from actors.address import Address
from actors.consumers.contract import Event
from booking.events import places
from booking.events.contract import CloudEvent
from booking.events.mapping import Places, decode, translate
from tests.support.journals import JournalRow

SOURCE = "/booking/here"


def event_of(row: JournalRow) -> Event:
    data = decode(row.type, row.version, msgspec.json.encode(row.payload))
    return Event(row.shard, row.seq, Address.parse(row.address), row.at_ms, row.type, data)


def told(events: Sequence[Event], known: Places | None = None) -> list[CloudEvent]:
    """Of these events, of a past in which nothing has happened unless told otherwise."""
    return list(translate(events, SOURCE, known or Places()))


async def told_in_batches(dsn: str, events: Sequence[Event], size: int) -> list[CloudEvent]:
    """As a consumer tells them, with what it keeps in the database: so many at a time."""
    connection = await asyncpg.connect(dsn)
    found: list[CloudEvent] = []
    try:
        for at in range(0, len(events), size):
            some = events[at : at + size]
            async with connection.transaction():
                known = await places.places_of(connection, some)
                found += told(some, known)
                await places.keep(connection, known)
    finally:
        await connection.close()
    return found


def of_type(events: Iterable[CloudEvent], name: str) -> list[Any]:
    """The data of those of this type: ``queue.joined``."""
    return [each.data for each in events if each.type == f"booking.{name}.v1"]
