"""What public events have to know of queues, kept in the transaction of a consumer's offsets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from actors.address import Address
from actors.connections.postgres import texts
from actors.consumers.contract import Event
from booking.entities import ACCOUNT, QUEUE, SEAT
from booking.events.mapping import Places, wanted
from booking.queue.domain.events import Admitted

KINDS = (ACCOUNT, SEAT, QUEUE)
"""Of the entities whose events :func:`~booking.events.mapping.translate` wants to see."""

_SQL = texts("booking.events", "places.sql")


async def places_of(connection: Any, events: Sequence[Event]) -> Places:
    """What has to be known to translate these events, which come after those that the connection's
    transaction has the offsets of."""
    queues = {event.address.key for event in events if isinstance(event.data, Admitted)}
    draws = []
    if queues:
        draws = [tuple(row) for row in await connection.fetch(_SQL["draws"], list(queues))]
    places = Places(draws=draws)
    if ranges := wanted(events, draws):
        found = await connection.fetch(_SQL["places"], *_columns(ranges))
        places.users.update({(queue, number): user for queue, number, user in found})
    return places


async def keep(connection: Any, places: Places) -> None:
    """Write what the translated events have changed. Its locks are those of other consumers that
    tell public events too: write nothing after it that takes long."""
    for name, rows in (("join", places.joined), ("draw", places.drawn), ("leave", places.left)):
        if rows:
            await connection.execute(_SQL[name], *_columns(rows))


async def forget(connection: Any, ends: Mapping[int, int]) -> int:
    """Delete places that were left up to these seqs of the queues' shards, which all consumers have
    passed; how many it were."""
    gone = 0
    for (name,) in await connection.fetch(_SQL["queues"]):
        end = ends.get(Address(QUEUE, name).slot, 0)
        async with connection.transaction():
            await connection.execute(_SQL["end"], name, end)
            gone += int((await connection.execute(_SQL["forget"], name, end)).split()[-1])
    return gone


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return list(map(list, zip(*rows, strict=True)))
