"""Operators' wishes and plans in PostgreSQL. The statements are in ``sql/operations.sql``, the
tables in the migrations ``0004_operations.sql`` and ``0007_cluster.sql``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import asyncpg
import msgspec

from actors.connections.postgres import Link, LinkPool
from actors.connections.statements import statement
from actors.placement.plan import Plan
from actors.placement.stores.operations import Outcome, PlanKind, StoredPlan, Wish
from actors.placement.stores.postgres import TIMEOUT_S, store_settings

SHOWN_KEPT_S = 3_600.0
"""A plan that nobody began within an hour is stale for sure: the cluster looks different."""


class PostgresOperations:
    """One instance's connection, opened when first needed and again after each failure."""

    def __init__(self, dsn: str) -> None:
        self._pool = LinkPool([Link(dsn, store_settings(TIMEOUT_S), TIMEOUT_S)], TIMEOUT_S)

    async def close(self) -> None:
        await self._pool.close()

    async def wishes(self) -> Mapping[str, Wish]:
        records = await self._ask("wishes", {})
        return {r["instance"]: Wish(r["draining"], r["evicted"]) for r in records}

    async def wish(self, instance: str, wish: Wish, who: str, what: str) -> None:
        values = {"instance": instance, "draining": wish.draining, "evicted": wish.evicted}
        await self._ask("wish", values | {"who": who, "what": what})

    async def show(self, plan: Plan, kind: PlanKind) -> None:
        text = msgspec.json.encode(plan).decode()
        values = {"plan_id": plan.plan_id, "kind": kind, "plan": text, "kept_s": SHOWN_KEPT_S}
        await self._ask("show", values)

    async def begin(self, plan_id: str, who: str) -> bool:
        return bool(await self._ask("begin", {"plan_id": plan_id, "who": who}))

    async def end(
        self, plan_id: str, state: Literal["done", "aborted"], who: str, outcome: Outcome
    ) -> bool:
        what = {"done": "rebalance_done", "aborted": "rebalance_aborted"}[state]
        values = {"plan_id": plan_id, "state": state, "who": who, "what": what}
        values["outcome"] = msgspec.json.encode(outcome).decode()
        return bool(await self._ask("end", values))

    async def plan(self, plan_id: str) -> StoredPlan | None:
        found = await self._ask("plan", {"plan_id": plan_id})
        return _stored(found[0]) if found else None

    async def running(self) -> list[StoredPlan]:
        return [_stored(record) for record in await self._ask("running", {})]

    async def latest(self) -> StoredPlan | None:
        found = await self._ask("latest", {})
        return _stored(found[0]) if found else None

    async def _ask(self, name: str, values: Mapping[str, Any]) -> Sequence[asyncpg.Record]:
        return await self._pool.fetch(statement("placement/stores/operations", name), values)


def _stored(record: asyncpg.Record) -> StoredPlan:
    return StoredPlan(
        msgspec.json.decode(record["plan"], type=Plan),
        record["kind"],
        record["state"],
        record["begun_by"],
        record["begun_at_ms"],
        msgspec.json.decode(record["outcome"] or "null", type=Outcome | None),
    )
