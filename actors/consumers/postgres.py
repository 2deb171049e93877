"""How far a consumer is, in PostgreSQL: see ``offsets.sql``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import msgspec

from actors.connections.postgres import TROUBLE, Link, statements, trouble
from actors.consumers.contract import Consumer, Offset, Skip, Step

GRACE_S = 1.0
"""After the limit of a call the server ends its transaction, whatever has become of the caller. Not
before: a statement that the server ends was waiting for another owner's."""

_SQL = statements("actors.consumers", "offsets.sql")


class PostgresOffsets:
    """Two connections of the consumer's own, to its database or, if it has none, to ``dsn``: one
    for the effects, one for everything else."""

    def __init__(self, consumer: Consumer, dsn: str) -> None:
        self._name = consumer.name
        self._tables = consumer.tables
        where = consumer.dsn or dsn
        self._effects = Link(where, consumer.limit_s + GRACE_S)
        self._rest = Link(where, consumer.limit_s + GRACE_S)
        self._prepared = False

    async def _prepare(self) -> None:
        """Make the tables that are not there, one instance after the other."""
        try:
            async with self._effects.transaction() as connection:
                await connection.execute(_SQL["lock"].text)
                if not await connection.fetchval(_SQL["exists"].text):
                    await connection.execute(_SQL["create"].text)
                if self._tables:
                    await connection.execute(self._tables)
        except TROUBLE as error:
            raise trouble(error) from error
        self._prepared = True

    async def _fetch(self, name: str, **values: Any) -> list[Offset]:
        if not self._prepared:
            await self._prepare()
        found = await self._rest.fetch(_SQL[name], **({"consumer": self._name} | values))
        return [_offset(record) for record in found]

    async def open(self, begin: Mapping[int, int]) -> list[Offset]:
        """As the contract says."""
        await self._fetch("open", shards=list(begin), seqs=list(begin.values()))
        return [offset for offset in await self.all() if offset.shard in begin]

    @asynccontextmanager
    async def moving(self, steps: Mapping[int, Step]) -> AsyncIterator[tuple[Collection[int], Any]]:
        """As the contract says."""
        query = _SQL["move"]
        values = {
            "consumer": self._name,
            "shards": list(steps),
            "befores": [step.before for step in steps.values()],
            "seqs": [step.seq for step in steps.values()],
            "epochs": [step.epoch for step in steps.values()],
        }
        async with self._effects.transaction() as connection:
            moved = await connection.fetch(query.text, *query.arguments(values))
            yield {record["shard"] for record in moved}, connection

    async def stop(self, shard: int, seq: int, trouble: str, poison_seq: int = 0) -> None:
        """As the contract says."""
        await self._fetch("stop", shard=shard, seq=seq, trouble=trouble, poison_seq=poison_seq)

    async def all(self) -> list[Offset]:
        """As the contract says."""
        return await self._fetch("offsets")

    async def pause(self, paused: bool) -> None:
        """As the contract says."""
        await self._fetch("pause", paused=paused)

    async def skip(self, shard: int, reason: str, who: str) -> Offset | None:
        """As the contract says."""
        found = await self._fetch("skip", shard=shard, reason=reason, who=who)
        return found[0] if found else None

    async def rewind(self, seq: int, shards: Collection[int]) -> list[Offset]:
        """As the contract says."""
        return await self._fetch("rewind", seq=seq, shards=list(shards))

    async def close(self) -> None:
        """As the contract says."""
        for link in (self._effects, self._rest):
            await link.close()


def _offset(record: asyncpg.Record) -> Offset:
    values = dict(record)
    skipped: Sequence[Skip] = msgspec.json.decode(values.pop("skipped"), type=list[Skip])
    return Offset(**values, skipped=list(skipped))
