"""The journal in PostgreSQL. The statements are in ``sql/``, the tables in the migration
``0001_journal.sql``.

Every method is one or two statements, each a transaction of its own. No transaction is ever held
open between two messages to the server, because an owner that is stopped between ``BEGIN`` and
``COMMIT`` would keep its row locks and block whoever takes its shards over. A statement under way
ends on the server whatever becomes of the owner, at the latest after the statement time-out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import asyncpg

from actors.address import Address
from actors.connections.postgres import Link, LinkPool
from actors.connections.statements import statement
from actors.journal.append import located, statement_for, tenures_of
from actors.journal.contract import (
    Batch,
    JournalCorruptedError,
    Lease,
    Loaded,
    OutcomeRow,
    Row,
    ShardInfo,
    SnapshotRow,
)

TIMEOUT_S = 5.0
"""A statement of a full batch takes 10 to 30 ms. An owner that cannot commit for as long as a dead
instance needs to be noticed had better learn that it does not know."""
POOL_SIZE = 3
"""Connections for everything but appends: loads are answered in a millisecond, so three serve
thousands a second while one is busy with a long history."""
SEQ_MAX = 2**63 - 1


def _settings(timeout_s: float) -> dict[str, str]:
    """Settings of every connection.

    The server gives up when the client does, so that a statement whose owner is gone holds no
    lock for long; ``transaction_timeout`` (PostgreSQL 17 and later) also covers a client that is
    stopped in the middle of sending. Keep-alives find a client whose machine is gone, after
    30 s + 3 * 5 s.
    """
    timeout_ms = str(round(timeout_s * 1000))
    return {
        "default_transaction_isolation": "read committed",
        "statement_timeout": timeout_ms,
        "transaction_timeout": timeout_ms,
        "idle_in_transaction_session_timeout": timeout_ms,
        "tcp_keepalives_idle": "30",
        "tcp_keepalives_interval": "5",
        "tcp_keepalives_count": "3",
        # Arrays as parameters make every custom plan look different and none better.
        "plan_cache_mode": "force_generic_plan",
        "jit": "off",
    }


_LOOK_UPS_ONLY = {
    # A plan made while the tables are still empty would read them whole, and is kept until the
    # next ANALYZE. Everything asked here is found by a key.
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}


class PostgresJournal:
    """One instance's connections to the journal: one for each lane, and a few for the rest.

    ``dsn`` is a ``postgresql://`` URL to a server or to a pooler in session mode; ``timeout_s``
    limits each statement with the wait for its connection. Connections are opened when first
    needed and again after each failure; :meth:`open` opens the lanes at once.
    """

    def __init__(
        self,
        dsn: str,
        lanes: int = 1,
        *,
        timeout_s: float = TIMEOUT_S,
        pool_size: int = POOL_SIZE,
    ) -> None:
        settings = _settings(timeout_s)
        self._lanes = [Link(dsn, settings, timeout_s) for _ in range(lanes)]
        look_ups = settings | _LOOK_UPS_ONLY
        self._pool = LinkPool([Link(dsn, look_ups, timeout_s) for _ in range(pool_size)], timeout_s)

    @classmethod
    async def open(
        cls,
        dsn: str,
        lanes: int = 1,
        *,
        timeout_s: float = TIMEOUT_S,
        pool_size: int = POOL_SIZE,
    ) -> PostgresJournal:
        """A journal that has been reached on every lane, else :class:`JournalError`."""
        journal = cls(dsn, lanes, timeout_s=timeout_s, pool_size=pool_size)
        try:
            await journal.connect()
        except BaseException:
            await journal.close()
            raise
        return journal

    async def connect(self) -> None:
        """Open the lanes and one connection for the rest."""
        ping = statement("journal/journal", "ping")
        await asyncio.gather(self.ping(), *(lane.fetch(ping, {}) for lane in self._lanes))

    async def close(self) -> None:
        """Close every connection. The journal cannot be used again."""
        await asyncio.gather(self._pool.close(), *(lane.close() for lane in self._lanes))

    @property
    def parts(self) -> Sequence[PostgresJournal]:
        return (self,)

    async def ping(self) -> None:
        await self._ask("ping", {})

    # -- writing ---------------------------------------------------------------------------------

    async def append(self, lane: int, batch: Batch) -> Collection[int]:
        epochs, torn = tenures_of(batch)
        if torn:
            batch = _without(batch, torn)
        if not epochs:
            return torn
        query, values = statement_for(batch, epochs)
        try:
            live = await self._lanes[lane].fetch(query, values)
        except asyncpg.UniqueViolationError as error:
            raise JournalCorruptedError(str(error)) from error
        if len(live) == len(epochs):
            return torn
        return torn | (epochs.keys() - {record["shard"] for record in live})

    async def claim(
        self, wanted: Sequence[tuple[int, int]], owner: str, incarnation: str
    ) -> list[Lease]:
        claimed = await self._ask(
            "claim",
            {
                "shards": [shard for shard, _ in wanted],
                "seen": [epoch for _, epoch in wanted],
                "owner": owner,
                "incarnation": incarnation,
            },
        )
        epochs = {record["shard"]: record["epoch"] for record in claimed}
        # In a statement of its own, after the claim is true: see the statement.
        found = await self._ask("last_seqs", {"shards": list(epochs)})
        last_seqs = {record["shard"]: record["seq"] for record in found}
        return [
            Lease(shard, epochs[shard], last_seqs.get(shard, 0))
            for shard in dict.fromkeys(shard for shard, _ in wanted)
            if shard in epochs
        ]

    async def purge_outcomes(self, before_ms: int, limit: int) -> int:
        [record] = await self._ask("purge_outcomes", {"before_ms": before_ms, "limit": limit})
        purged: int = record["purged"]
        return purged

    # -- reading ---------------------------------------------------------------------------------

    async def load(self, addresses: Sequence[Address], *, whole: bool = False) -> list[Loaded]:
        if not addresses:
            return []
        entities = [located(address) for address in addresses]
        values = {
            "shards": [shard for shard, _, _ in entities],
            "entities": [entity for _, entity, _ in entities],
            "addresses": [text for _, _, text in entities],
            "with_snapshots": not whole,
        }
        return _gathered(addresses, await self._ask("load", values))

    async def later(self, known: Sequence[tuple[Address, int]]) -> list[Loaded]:
        if not known:
            return []
        addresses = [address for address, _ in known]
        entities = [located(address) for address in addresses]
        values = {
            "shards": [shard for shard, _, _ in entities],
            "entities": [entity for _, entity, _ in entities],
            "addresses": [text for _, _, text in entities],
            "seqs": [seq for _, seq in known],
        }
        return _gathered(addresses, await self._ask("later", values))

    async def outcomes(self, commands: Sequence[tuple[int, bytes]]) -> dict[bytes, OutcomeRow]:
        if not commands:
            return {}
        values = {
            "shards": [shard for shard, _ in commands],
            "commands": [command for _, command in commands],
        }
        found = await self._ask("outcomes", values)
        return {record["command"]: OutcomeRow(**dict(record)) for record in found}

    async def shards(self) -> list[ShardInfo]:
        return [ShardInfo(**dict(record)) for record in await self._ask("shards", {})]

    async def armed_timers(self, shards: Collection[int]) -> list[Address]:
        found = await self._ask("armed_timers", {"shards": list(shards)})
        return [Address.parse(record["address"]) for record in found]

    async def history(
        self, address: Address, types: Collection[str], limit: int, before_seq: int | None = None
    ) -> list[Row]:
        shard, entity, text = located(address)
        values = {
            "shard": shard,
            "entity": entity,
            "address": text,
            "types": list(types),
            "before_seq": SEQ_MAX if before_seq is None else before_seq,
            "limit": limit,
        }
        return [_row(record, address) for record in await self._ask("history", values)]

    async def _ask(self, name: str, values: Mapping[str, Any]) -> Sequence[asyncpg.Record]:
        return await self._pool.fetch(statement("journal/journal", name), values)


def _without(batch: Batch, shards: Collection[int]) -> Batch:
    return Batch(
        [row for row in batch.rows if row.shard not in shards],
        [outcome for outcome in batch.outcomes if outcome.shard not in shards],
        [snapshot for snapshot in batch.snapshots if snapshot.shard not in shards],
        [timer for timer in batch.timers if timer.shard not in shards],
    )


def _gathered(addresses: Sequence[Address], records: Sequence[asyncpg.Record]) -> list[Loaded]:
    """Records of many entities, by the place in which each was asked for."""
    snapshots: list[SnapshotRow | None] = [None] * len(addresses)
    rows: list[list[Row]] = [[] for _ in addresses]
    for record in records:
        place = record["place"] - 1
        if record["state"] is None:
            rows[place].append(_row(record, addresses[place]))
        else:
            snapshots[place] = _snapshot(record, addresses[place])
    return [Loaded(*loaded) for loaded in zip(addresses, snapshots, rows, strict=True)]


def _row(record: asyncpg.Record, address: Address) -> Row:
    return Row(
        shard=record["shard"],
        seq=record["seq"],
        epoch=record["epoch"],
        address=address,
        type=record["type"],
        version=record["version"],
        payload=record["payload"].encode(),
        at_ms=record["at_ms"],
        command=record["command"],
    )


def _snapshot(record: asyncpg.Record, address: Address) -> SnapshotRow:
    return SnapshotRow(record["shard"], record["epoch"], address, record["seq"], record["state"])
