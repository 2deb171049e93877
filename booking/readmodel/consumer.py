"""The consumer that keeps the tables: its offsets are in the same schema and move in the
transaction of the rows, so what the tables say and how far they are is always one and the same."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from attrs import define, field

from actors.consumers.contract import Consumer, Event
from booking.catalogue import store as catalogue
from booking.entities import ACCOUNT, QUEUE, SEAT
from booking.readmodel import store
from booking.readmodel.projection import ReadBatch
from booking.schema import migrate

NAME = "read-model"
LIMIT_S = 30.0
"""Of a batch: the first one copies the catalogue as well, on a machine that may be busy selling."""
CATALOGUE_EVERY_S = 60.0
"""Between two looks for another version of the catalogue, while there are events."""


@define(eq=False)
class ReadModel:
    """``journal_dsn`` is the database with the catalogue."""

    _journal_dsn: str
    _dates: set[str] = field(factory=set, init=False)
    """Known to be in the catalogue's tables, or in no catalogue."""
    _look_s: float = field(default=0.0, init=False)

    def consumer(self, dsn: str, schema: str = store.SCHEMA) -> Consumer:
        """It writes to this schema of this database. Seats say all that their ledgers say."""
        return Consumer(
            name=NAME,
            handle=self.handle,
            dsn=store.in_schema(dsn, schema),
            kinds=(ACCOUNT, SEAT, QUEUE),
            limit_s=LIMIT_S,
        )

    async def handle(self, events: Sequence[Event], connection: Any) -> None:
        """Write what these events change."""
        batch = ReadBatch()
        for event in events:
            batch.take(event.shard, event.seq, event.address, event.at_ms, event.data)
        if time.monotonic() >= self._look_s or not batch.schedules <= self._dates:
            await self.look(connection)
            self._dates |= batch.schedules
        await store.write(connection, batch)

    async def look(self, connection: Any) -> None:
        """Bring the catalogue's tables up to the catalogue. A date has its seats there before they
        change."""
        async with migrate.connection_to(self._journal_dsn) as there:
            if await catalogue.version(there) > await store.catalogue_version(connection):
                await store.put_catalogue(connection, await catalogue.load(there))
        self._dates = await store.dates(connection)
        self._look_s = time.monotonic() + CATALOGUE_EVERY_S
