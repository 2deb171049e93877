"""The journal in PostgreSQL. The statements are in ``append.sql`` and ``journal.sql``, the tables
in the migration ``0001_journal.sql``.

Every method is one or two statements, each a transaction of its own. No transaction is ever held
open between two messages to the server, because an owner that is stopped between ``BEGIN`` and
``COMMIT`` would keep its row locks and block the next owner of its shards. A statement under way
ends on the server whatever becomes of the owner, at the latest after the statement time-out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any

import asyncpg
import msgspec

from actors.address import SLOT_COUNT, Address, stable_hash
from actors.clock import SKEW_MAX_MS
from actors.connections.postgres import Link, LinkPool, Statement, numbered, statements, texts
from actors.journal.contract import (
    PAGES_MAX,
    ArchivedError,
    Batch,
    JournalCorruptedError,
    Lease,
    Loaded,
    Loss,
    OutcomeRow,
    PageRow,
    Past,
    Row,
    ShardInfo,
    SnapshotRow,
    rows_each,
)

TIMEOUT_S = 5.0
"""A statement of a full batch takes 10 to 30 ms. An owner that cannot commit for as long as a dead
instance needs to be noticed had better learn that it does not know."""
POOL_SIZE = 3
"""Connections for everything but appends: loads are answered in a millisecond, so three serve
thousands a second while one is busy with a long history."""
PARSED_TOGETHER = 5_000
"""Addresses in one piece of work: two milliseconds."""
SEQ_MAX = 2**63 - 1
_SEPARATOR = "\x1f"
"""ASCII's unit separator: as a control character never plain in JSON, nor in an address."""
_JOINT = _SEPARATOR.encode()
_SQL = statements("actors.journal", "journal.sql")
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
    needed and again after each failure; :meth:`connect` opens the lanes at once.
    """

    def __init__(
        self, dsn: str, lanes: int = 1, *, timeout_s: float = TIMEOUT_S, pool_size: int = POOL_SIZE
    ) -> None:
        self._lanes = [Link(dsn, timeout_s, enable_seqscan="off") for _ in range(lanes)]
        self._pool = LinkPool(dsn, timeout_s, pool_size, **_LOOK_UPS_ONLY)
        self.parts: Sequence[PostgresJournal] = (self,)

    async def connect(self) -> None:
        """Open the lanes and one connection for the rest."""
        await asyncio.gather(self.ping(), *(lane.fetch(_SQL["ping"]) for lane in self._lanes))

    async def close(self) -> None:
        """Close every connection. The journal cannot be used again."""
        await asyncio.gather(self._pool.close(), *(lane.close() for lane in self._lanes))

    async def ping(self) -> None:
        await self._pool.fetch(_SQL["ping"])

    async def now_ms(self) -> float | None:
        [record] = await self._pool.fetch(_SQL["now_ms"])
        now_ms: float = record["now_ms"]
        return now_ms

    async def append(self, lane: int, batch: Batch) -> Collection[int]:
        """As the contract says. Raises :class:`~actors.journal.contract.JournalCorruptedError` if a
        row is there already that only this owner could have written."""
        epochs, torn = _tenures_of(batch)
        if torn:
            batch = batch.of(lambda shard: shard not in torn)
        if not epochs:
            return torn
        query, values = _statement_for(batch, epochs)
        try:
            live = await self._lanes[lane].fetch(query, **values)
        except asyncpg.UniqueViolationError as error:
            raise JournalCorruptedError(str(error)) from error
        if len(live) == len(epochs):
            return torn
        return torn | (epochs.keys() - {record["shard"] for record in live})

    async def claim(
        self, wanted: Sequence[tuple[int, int]], owner: str, incarnation: str, above: int = 0
    ) -> list[Lease]:
        return await claim_shards(self._pool, wanted, owner, incarnation, above)

    async def turn_outcomes(self, every_ms: int) -> bool:
        [record] = await self._pool.fetch(_SQL["turn_outcomes"], every_ms=every_ms)
        turned: bool = record["turned"]
        return turned

    async def turn_journal(self, every_ms: int) -> bool:
        [record] = await self._pool.fetch(_SQL["turn_journal"], every_ms=every_ms)
        turned: bool = record["turned"]
        return turned

    async def load(self, addresses: Sequence[Address], *, whole: bool = False) -> list[Loaded]:
        if whole:
            shards = [address.slot for address in addresses]
            if found := await self._pool.fetch(_SQL["archived"], shards=shards):
                raise ArchivedError(f"events of shard {found[0]['shard']} are archived")
        return await self._load("load", addresses, with_snapshots=not whole)

    async def later(self, known: Sequence[tuple[Address, int]]) -> list[Loaded]:
        return await self._load(
            "later", [address for address, _ in known], seqs=[s for _, s in known]
        )

    async def _load(self, name: str, addresses: Sequence[Address], **more: Any) -> list[Loaded]:
        if not addresses:
            return []
        shards, entities, texts = zip(*map(located, addresses), strict=True)
        limit = rows_each(len(addresses))
        found = await self._pool.fetch(
            _SQL[name], shards=shards, entities=entities, addresses=texts, limit=limit, **more
        )
        return _gathered(addresses, found, limit)

    async def pages(self, snapshot: SnapshotRow, after: int) -> list[PageRow]:
        address = snapshot.address
        shard, _, text = located(address)
        found = await self._pool.fetch(
            _SQL["pages"],
            shard=shard,
            address=text,
            after=after,
            seq=snapshot.seq,
            limit=PAGES_MAX,
        )
        return [PageRow(address=address, **dict(record)) for record in found]

    async def drop_pages(self, address: Address, seq: int) -> None:
        shard, _, text = located(address)
        await self._pool.fetch(_SQL["drop_pages"], shard=shard, address=text, seq=seq)

    async def outcomes(self, commands: Sequence[tuple[int, bytes]]) -> dict[bytes, OutcomeRow]:
        if not commands:
            return {}
        shards, ids = zip(*commands, strict=True)
        found = await self._pool.fetch(_SQL["outcomes"], shards=shards, commands=ids)
        return {record["command"]: OutcomeRow(**dict(record)) for record in found}

    async def shards(self, seqs: Mapping[int, int] | None = None) -> list[ShardInfo]:
        asked = [(seqs or {}).get(shard, 0) for shard in range(SLOT_COUNT)]
        return [_info(record) for record in await self._pool.fetch(_SQL["shards"], seqs=asked)]

    async def kept(self, pasts: Mapping[int, Past]) -> dict[int, int]:
        found = await self._pool.fetch(_SQL["kept"], **_past_columns(pasts))
        return dict.fromkeys(pasts, 0) | {record["shard"]: record["seq"] for record in found}

    async def report(self, losses: Sequence[Loss], owner: str, incarnation: str) -> Collection[int]:
        reported = await self._pool.fetch(
            _SQL["report"],
            **_past_columns({loss.shard: loss.known for loss in losses}),
            served=[loss.served for loss in losses],
            kept_seqs=[loss.kept_seq for loss in losses],
            entities=[msgspec.json.encode(loss.entities).decode() for loss in losses],
            owner=owner,
            incarnation=incarnation,
        )
        return {record["shard"] for record in reported if record["open"]}

    async def armed_timers(self, shards: Collection[int]) -> list[Address]:
        found = await self._pool.fetch(_SQL["armed_timers"], shards=list(shards))
        armed: list[Address] = []
        for start in range(0, len(found), PARSED_TOGETHER):
            some = found[start : start + PARSED_TOGETHER]
            armed += [Address.parse(record["address"]) for record in some]
            await asyncio.sleep(0)
        return armed

    async def history(
        self, address: Address, types: Collection[str], limit: int, before_seq: int | None = None
    ) -> list[Row]:
        shard, entity, text = located(address)
        found = await self._pool.fetch(
            _SQL["history"],
            shard=shard,
            entity=entity,
            address=text,
            types=list(types),
            before_seq=SEQ_MAX if before_seq is None else before_seq,
            limit=limit,
        )
        return [_row(record, address) for record in found]

    async def read(self, after: Mapping[int, int], limit: int) -> list[Row]:
        if not after:
            return []
        found = await self._pool.fetch(
            _SQL["read"], shards=list(after), seqs=list(after.values()), limit=limit
        )
        return [_row(record, Address.parse(record["address"])) for record in found]

    async def ends(self, shards: Collection[int]) -> dict[int, int]:
        found = await self._pool.fetch(_SQL["ends"], shards=list(shards))
        return dict.fromkeys(shards, 0) | {record["shard"]: record["seq"] for record in found}


async def claim_shards(
    pool: LinkPool,
    wanted: Sequence[tuple[int, int]],
    owner: str,
    incarnation: str,
    above: int = 0,
    *,
    only_desired: bool = False,
) -> list[Lease]:
    """Claim as :meth:`actors.journal.contract.Journal.claim` says; ``only_desired`` leaves out the
    shards that should not be this owner's."""
    claimed = await pool.fetch(
        _SQL["claim"],
        shards=[shard for shard, _ in wanted],
        seen=[epoch for _, epoch in wanted],
        owner=owner,
        incarnation=incarnation,
        above=above,
        only_desired=only_desired,
    )
    epochs = {record["shard"]: record["epoch"] for record in claimed}
    # In a statement of its own, after the claim is true: see the statement.
    found = await pool.fetch(_SQL["ends"], shards=list(epochs))
    last = {r["shard"]: (Past(r["seq"], r["epoch"], r["writer"]), r["at_ms"]) for r in found}
    return [
        Lease(shard, epochs.pop(shard), *last.get(shard, (Past(), 0)))
        for shard, _ in wanted
        if shard in epochs
    ]


@lru_cache(maxsize=65_536)
def located(address: Address) -> tuple[int, int, str]:
    """An entity's shard, hash and text. Cached for as many entities as an instance keeps in memory,
    so that hashing is paid once in an entity's active time."""
    text = address.text
    return address.slot, stable_hash(text), text


def _tenures_of(batch: Batch) -> tuple[dict[int, int], set[int]]:
    """The epoch of each shard in the batch, and the shards that come with two: at least one of
    them is past, so nothing of theirs may be written."""
    tenures = batch.tenures()
    epochs = dict(tenures)
    if len(epochs) == len(tenures):
        return epochs, set()
    torn = {shard for shard, epoch in tenures if epochs[shard] != epoch}
    return {shard: epoch for shard, epoch in epochs.items() if shard not in torn}, torn


def _statement_for(batch: Batch, epochs: Mapping[int, int]) -> tuple[Statement, dict[str, Any]]:
    """The statement that writes what the batch has for these shards, and its parameters.

    It is made of those parts of ``append.sql`` that the batch has rows for: a part without rows
    still costs a tenth of a millisecond of the server, a third of a small commit.
    """
    latest: dict[int, int] = {}
    for row in batch.rows:
        latest[row.shard] = max(latest.get(row.shard, 0), row.at_ms)
    ends = batch.ends()
    values: dict[str, Any] = {
        "batch_shards": list(epochs),
        "batch_epochs": list(epochs.values()),
        "batch_ends": [ends.get(shard, -1) for shard in epochs],
        "batch_at_ms": [latest.get(shard, 0) for shard in epochs],
        "lead_max_ms": SKEW_MAX_MS,
        "incarnation": batch.incarnation,
    }
    parts: list[str] = []
    if batch.rows:
        parts.append("rows")
        values |= _row_columns(batch)
    if batch.outcomes:
        parts.append("outcomes")
        values |= _outcome_columns(batch)
    if batch.snapshots:
        parts.append("snapshots")
        values |= _snapshot_columns(batch)
    if batch.pages:
        parts.append("pages")
        values |= _page_columns(batch)
    for part, armed in (("armed", True), ("disarmed", False)):
        timers = [timer for timer in batch.timers if timer.armed is armed]
        if timers:
            parts.append(part)
            values[f"{part}_shards"] = [timer.shard for timer in timers]
            values[f"{part}_addresses"] = [located(timer.address)[2] for timer in timers]
    return _compose(tuple(parts)), values


@cache
def _compose(parts: tuple[str, ...]) -> Statement:
    """``live`` and these parts as one statement that returns the live shards. At most 2^6 texts."""
    written = texts("actors.journal", "append.sql")
    ctes = ", ".join(f"{name} AS (\n{written[name]}\n)" for name in ("live", *parts))
    return numbered(f"WITH {ctes}\nSELECT shard FROM live")


def _row_columns(batch: Batch) -> dict[str, Any]:
    rows = batch.rows
    entities = [located(row.address) for row in rows]
    shards = [row.shard for row in rows]
    assert shards == [shard for shard, _, _ in entities], "an event of another shard"
    return {
        "row_shards": _numbers(shards),
        "row_seqs": _numbers([row.seq for row in rows]),
        "row_entities": _numbers([entity for _, entity, _ in entities]),
        "row_at_ms": _numbers([row.at_ms for row in rows]),
        "row_versions": _numbers([row.version for row in rows]),
        "row_addresses": _words(_SEPARATOR.join([text for _, _, text in entities]), len(rows)),
        "row_types": _words(_SEPARATOR.join([row.type for row in rows]), len(rows)),
        "row_commands": [row.command for row in rows],
        "row_payloads": _words(_JOINT.join([row.payload for row in rows]).decode(), len(rows)),
    }


def _numbers(values: list[int]) -> str:
    """An array literal. A list's own spelling is one, but for the brackets."""
    return f"{{{str(values)[1:-1]}}}"


def _words(joined: str, count: int) -> str:
    """So many words, joined by a character that none of them may contain."""
    assert joined.count(_SEPARATOR) == count - 1, "a control character in a word of an event"
    return joined


def _outcome_columns(batch: Batch) -> dict[str, list[Any]]:
    outcomes = batch.outcomes
    return {
        "outcome_at_ms": [outcome.at_ms for outcome in outcomes],
        "outcome_shards": [outcome.shard for outcome in outcomes],
        "outcome_commands": [outcome.command for outcome in outcomes],
        "outcome_fingerprints": [outcome.fingerprint for outcome in outcomes],
        "outcome_replies": [outcome.reply for outcome in outcomes],
    }


def _snapshot_columns(batch: Batch) -> dict[str, list[Any]]:
    snapshots = batch.snapshots
    return {
        "snapshot_seqs": [snapshot.seq for snapshot in snapshots],
        "snapshot_shards": [snapshot.shard for snapshot in snapshots],
        "snapshot_addresses": [located(snapshot.address)[2] for snapshot in snapshots],
        "snapshot_states": [snapshot.state for snapshot in snapshots],
        "snapshot_pages": [snapshot.pages for snapshot in snapshots],
    }


def _page_columns(batch: Batch) -> dict[str, list[Any]]:
    pages = batch.pages
    return {
        "page_seqs": [page.seq for page in pages],
        "page_shards": [page.shard for page in pages],
        "page_numbers": [page.number for page in pages],
        "page_addresses": [located(page.address)[2] for page in pages],
        "page_datas": [page.data for page in pages],
    }


def _gathered(
    addresses: Sequence[Address], records: Sequence[asyncpg.Record], limit: int
) -> list[Loaded]:
    """Records of many entities, by the place in which each was asked for."""
    snapshots: list[SnapshotRow | None] = [None] * len(addresses)
    rows: list[list[Row]] = [[] for _ in addresses]
    for record in records:
        place = record["place"] - 1
        if record["state"] is None:
            rows[place].append(_row(record, addresses[place]))
        else:
            snapshots[place] = _snapshot(record, addresses[place])
    return [
        Loaded(address, snapshot, some, len(some) == limit)
        for address, snapshot, some in zip(addresses, snapshots, rows, strict=True)
    ]


def _info(record: asyncpg.Record) -> ShardInfo:
    values = dict(record)
    past = Past(values.pop("past_seq") or 0, values.pop("past_epoch") or 0, values.pop("writer"))
    return ShardInfo(**values, past=past)


def _past_columns(pasts: Mapping[int, Past]) -> dict[str, list[Any]]:
    return {
        "shards": list(pasts),
        "seqs": [past.seq for past in pasts.values()],
        "epochs": [past.epoch for past in pasts.values()],
        "writers": [past.writer for past in pasts.values()],
    }


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
    shard, epoch, seq = record["shard"], record["epoch"], record["seq"]
    return SnapshotRow(shard, epoch, address, seq, record["state"], record["pages"])
