"""The stored placement in PostgreSQL. The statements are in ``sql/placement.sql``, the tables in
the migrations ``0001_journal.sql`` and ``0003_placement.sql``."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import asyncpg
import msgspec

from actors.connections.postgres import Link, LinkPool
from actors.connections.statements import Statement, numbered, parts_of, statement
from actors.journal.contract import Lease
from actors.placement.stores.contract import Leadership, LogLine, PlacedShard, Via, Written

TERM_TIMEOUT_S = 0.8
"""For statements on the leader's row: half a renewal, as for the election."""
TIMEOUT_S = 2.0
"""For everything else. A plan's write holds a lock that the renewal of the leader's row waits for,
so it must end, either way, well before that leader gives up (4 s)."""
POOL_SIZE = 2
"""A plan or a claim is written while an operator looks at the table."""
ID_MAX = 2**63 - 1


def store_settings(timeout_s: float) -> dict[str, str]:
    """The server gives up when the client does, so that no lock outlives its owner for long."""
    timeout_ms = str(round(timeout_s * 1000))
    return {
        "default_transaction_isolation": "read committed",
        "statement_timeout": timeout_ms,
        "transaction_timeout": timeout_ms,
        "idle_in_transaction_session_timeout": timeout_ms,
        "plan_cache_mode": "force_generic_plan",
        "jit": "off",
    }


class PostgresPlacement:
    """One instance's connections: one for the leader's row, so that its renewal waits for nothing
    of ours, and a few for the rest. Opened when first needed and again after each failure."""

    def __init__(self, dsn: str) -> None:
        self._term_link = Link(dsn, store_settings(TERM_TIMEOUT_S), TERM_TIMEOUT_S)
        links = [Link(dsn, store_settings(TIMEOUT_S), TIMEOUT_S) for _ in range(POOL_SIZE)]
        self._pool = LinkPool(links, TIMEOUT_S)

    async def close(self) -> None:
        """Close every connection. The store cannot be used again."""
        await asyncio.gather(self._term_link.close(), self._pool.close())

    # -- the leader's row ------------------------------------------------------------------------

    async def leadership(self) -> Leadership:
        [record] = await self._ask_term("leadership", {})
        return Leadership(**dict(record))

    async def raise_term(
        self, holder: str, via: Via, lease_s: float, seen: Leadership
    ) -> int | None:
        values = {"holder": holder, "via": via, "lease_s": lease_s}
        values |= {"term": seen.term, "expires_at": seen.expires_at}
        raised = await self._ask_term("raise_term", values)
        return raised[0]["term"] if raised else None

    async def renew_term(self, term: int, via: Via, lease_s: float) -> bool:
        values = {"term": term, "via": via, "lease_s": lease_s}
        return bool(await self._ask_term("renew_term", values))

    async def yield_term(self, term: int) -> None:
        await self._ask_term("yield_term", {"term": term})

    # -- where the shards ought to be --------------------------------------------------------------

    async def shards(self) -> list[PlacedShard]:
        return [PlacedShard(**dict(record)) for record in await self._ask("placed", {})]

    async def write_desired(self, term: int, desired: Mapping[int, tuple[int, str]]) -> Written:
        return await self._write_desired("term_here", term, desired)

    async def write_desired_following(
        self, term: int, desired: Mapping[int, tuple[int, str]]
    ) -> Written:
        """The same in a database that does not hold the leader's row
        (:class:`actors.placement.stores.partitioned.ShardedPlacement`): a term is current there
        until a later one has written."""
        return await self._write_desired("term_elsewhere", term, desired)

    async def _write_desired(
        self, current: str, term: int, desired: Mapping[int, tuple[int, str]]
    ) -> Written:
        values = {
            "term": term,
            "shards": list(desired),
            "epochs": [epoch for epoch, _ in desired.values()],
            "desired": [instance for _, instance in desired.values()],
        }
        records = await self._pool.fetch(_plan_writer(current), values)
        accepted = frozenset(r["shard"] for r in records if r["shard"] is not None)
        return Written(records[0]["term"] is not None, accepted)

    async def claim(
        self, wanted: Sequence[tuple[int, int]], owner: str, incarnation: str
    ) -> list[Lease]:
        values = {
            "shards": [shard for shard, _ in wanted],
            "seen": [epoch for _, epoch in wanted],
            "owner": owner,
            "incarnation": incarnation,
        }
        claimed = await self._ask("claim_desired", values)
        epochs = {record["shard"]: record["epoch"] for record in claimed}
        # In a statement of its own, after the claim is true: see the statement.
        last = statement("journal/journal", "last_seqs")
        found = await self._pool.fetch(last, {"shards": list(epochs)})
        last_seqs = {record["shard"]: record["seq"] for record in found}
        return [
            Lease(shard, epochs[shard], last_seqs.get(shard, 0))
            for shard in dict.fromkeys(shard for shard, _ in wanted)
            if shard in epochs
        ]

    # -- operators ---------------------------------------------------------------------------------

    async def pin(self, shard: int, instance: str, who: str) -> None:
        await self._set("set_pin", shard, who, "pin", pinned_to=instance)

    async def unpin(self, shard: int, who: str) -> None:
        await self._set("set_pin", shard, who, "unpin", pinned_to=None)

    async def freeze(self, shard: int, reason: str, who: str) -> None:
        assert reason, "a freeze needs a reason"
        await self._set("set_frozen", shard, who, "freeze", frozen=reason)

    async def unfreeze(self, shard: int, who: str) -> None:
        await self._set("set_frozen", shard, who, "unfreeze", frozen=None)

    async def change(self, shard: int, **change: str | None) -> None:
        """Set ``pinned_to`` or ``frozen`` of a shard without a line in the log, which is in another
        database."""
        [name] = change
        changed = await self._ask(_CHANGES[name], {"shard": shard} | change)
        assert changed, f"there is no shard {shard}"

    async def _set(self, name: str, shard: int, who: str, what: str, **change: str | None) -> None:
        told = {"shard": shard} | {key: value for key, value in change.items() if value}
        values = {"shard": shard, "who": who, "what": what, "detail": _json(told)} | change
        changed = await self._ask(name, values)
        assert changed, f"there is no shard {shard}"

    async def log(self, who: str, what: str, detail: Mapping[str, Any]) -> int:
        values = {"who": who, "what": what, "detail": _json(detail)}
        [record] = await self._ask("log", values)
        number: int = record["id"]
        return number

    async def logged(self, limit: int, before_id: int | None = None) -> list[LogLine]:
        values = {"limit": limit, "before_id": ID_MAX if before_id is None else before_id}
        records = await self._ask("logged", values)
        return [
            LogLine(r["id"], r["at_ms"], r["who"], r["what"], msgspec.json.decode(r["detail"]))
            for r in records
        ]

    # -- asking ------------------------------------------------------------------------------------

    async def _ask(self, name: str, values: Mapping[str, Any]) -> Sequence[asyncpg.Record]:
        return await self._pool.fetch(statement("placement/stores/placement", name), values)

    async def _ask_term(self, name: str, values: Mapping[str, Any]) -> Sequence[asyncpg.Record]:
        return await self._term_link.fetch(statement("placement/stores/placement", name), values)


_CHANGES = {"pinned_to": "change_pin", "frozen": "change_frozen"}


@cache
def _plan_writer(current: str) -> Statement:
    """The statement that writes a plan if the part ``current`` gives its term."""
    texts = parts_of("placement/stores/placement")
    ctes = f"current AS (\n{texts[current]}\n), {texts['write_desired']}"
    return numbered(f"WITH {ctes}")


def _json(value: Mapping[str, Any]) -> str:
    return msgspec.json.encode(value).decode()
