"""The stored placement in PostgreSQL. The statements are in ``placement.sql`` and
``operations.sql``, the tables in the migrations ``0001_journal.sql``, ``0003_placement.sql``,
``0004_operations.sql`` and ``0007_cluster.sql``."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any, Literal

import asyncpg
import msgspec

from actors.connections.postgres import Link, LinkPool, Statement, numbered, statements, texts
from actors.journal.contract import Lease
from actors.journal.postgres import claim_shards
from actors.placement.contract import (
    DesiredState,
    Leadership,
    OperatorLogEntry,
    PlacedShard,
    PlanKind,
    PlanOutcome,
    StoredLoss,
    StoredPlan,
    Via,
    WriteResult,
)
from actors.placement.plan import Plan

TERM_TIMEOUT_S = 0.8
"""For statements on the leader's row: half a renewal, as for the election."""
TIMEOUT_S = 2.0
"""For everything else: a plan's write must end well before the leader gives up (4 s)."""
POOL_SIZE = 2
"""A plan or a claim is written while an operator looks at the table."""
ID_MAX = 2**63 - 1
SHOWN_KEPT_S = 3_600.0
"""A plan that nobody began within an hour is stale: the cluster has changed by then."""

_SQL = statements("actors.placement", "placement.sql")
_OPERATIONS = statements("actors.placement", "operations.sql")


class PostgresPlacement:
    """One instance's connections: one for the leader's row, so that its renewal waits for nothing
    of ours, and a few for the rest. Opened when first needed and again after each failure.

    ``first`` is the database that holds the leader's row and the operators' log, if this one does
    not (see :mod:`actors.placement.partitioned`).
    """

    def __init__(self, dsn: str, first: PostgresPlacement | None = None) -> None:
        self._first = first
        self._term_link = Link(dsn, TERM_TIMEOUT_S)
        self._pool = LinkPool(dsn, TIMEOUT_S, POOL_SIZE)

    async def close(self) -> None:
        await asyncio.gather(self._term_link.close(), self._pool.close())

    async def leadership(self) -> Leadership:
        [record] = await self._term_link.fetch(_SQL["leadership"])
        return Leadership(**dict(record))

    async def raise_term(
        self, holder: str, via: Via, lease_s: float, seen: Leadership
    ) -> int | None:
        new = {"holder": holder, "via": via, "lease_s": lease_s}
        raised = await self._term_link.fetch(
            _SQL["raise_term"], term=seen.term, expires_at=seen.expires_at, **new
        )
        return raised[0]["term"] if raised else None

    async def renew_term(self, term: int, via: Via, lease_s: float) -> bool:
        renew = _SQL["renew_term"]
        return bool(await self._term_link.fetch(renew, term=term, via=via, lease_s=lease_s))

    async def yield_term(self, term: int) -> None:
        await self._term_link.fetch(_SQL["yield_term"], term=term)

    async def shards(self) -> list[PlacedShard]:
        return [PlacedShard(**dict(record)) for record in await self._pool.fetch(_SQL["placed"])]

    async def write_desired(self, term: int, desired: Mapping[int, tuple[int, str]]) -> WriteResult:
        """As the contract says. A database without the leader's row takes a term for current until
        a later one has written there."""
        records = await self._pool.fetch(
            _plan_writer("term_here" if self._first is None else "term_elsewhere"),
            term=term,
            shards=list(desired),
            epochs=[epoch for epoch, _ in desired.values()],
            desired=[instance for _, instance in desired.values()],
        )
        accepted = frozenset(r["shard"] for r in records if r["shard"] is not None)
        return WriteResult(records[0]["term"] is not None, accepted)

    async def claim(
        self, wanted: Sequence[tuple[int, int]], owner: str, incarnation: str
    ) -> list[Lease]:
        return await claim_shards(self._pool, wanted, owner, incarnation, only_desired=True)

    async def pin(self, shard: int, instance: str | None, who: str) -> None:
        await self._set(shard, "pinned_to", instance, "pin" if instance else "unpin", who)

    async def freeze(self, shard: int, reason: str | None, who: str) -> None:
        assert reason != "", "a freeze needs a reason"
        await self._set(shard, "frozen", reason, "freeze" if reason else "unfreeze", who)

    async def _set(self, shard: int, column: str, value: str | None, what: str, who: str) -> None:
        detail = {"shard": shard} | ({column: value} if value else {})
        if self._first is None:
            logged = {"who": who, "what": what, "detail": _json(detail)}
            changed = await self._pool.fetch(
                _SQL[f"set_{column}"], shard=shard, value=value, **logged
            )
        else:
            # In this order, so that no change is without its entry: after a failure between the
            # two there is an entry about a change that was only tried.
            await self._first.log(who, what, detail)
            changed = await self._pool.fetch(_SQL[f"change_{column}"], shard=shard, value=value)
        assert changed, f"there is no shard {shard}"

    async def losses(self) -> list[StoredLoss]:
        return [
            StoredLoss(**dict(r) | {"entities": tuple(msgspec.json.decode(r["entities"]))})
            for r in await self._pool.fetch(_SQL["losses"])
        ]

    async def accept_losses(self, shards: Collection[int], who: str) -> None:
        """As the contract says, the log first: no change is without its entry."""
        await self.log(who, "accept_loss", {"shards": sorted(shards)})
        await self.accept_losses_here(shards, who)

    async def accept_losses_here(self, shards: Collection[int], who: str) -> None:
        """The same without the log, which may be in another database."""
        await self._pool.fetch(_SQL["accept_losses"], shards=sorted(shards), who=who)

    async def log(self, who: str, what: str, detail: Mapping[str, Any]) -> int:
        [record] = await self._pool.fetch(_SQL["log"], who=who, what=what, detail=_json(detail))
        number: int = record["id"]
        return number

    async def logged(self, limit: int, before_id: int | None = None) -> list[OperatorLogEntry]:
        below = ID_MAX if before_id is None else before_id
        records = await self._pool.fetch(_SQL["logged"], limit=limit, before_id=below)
        return [
            OperatorLogEntry(
                r["id"], r["at_ms"], r["who"], r["what"], msgspec.json.decode(r["detail"])
            )
            for r in records
        ]


class PostgresOperations:
    """One instance's connection, opened when first needed and again after each failure."""

    def __init__(self, dsn: str) -> None:
        self._link = Link(dsn, TIMEOUT_S)

    async def close(self) -> None:
        await self._link.close()

    async def desired_states(self) -> Mapping[str, DesiredState]:
        records = await self._link.fetch(_OPERATIONS["desired_states"])
        return {r["instance"]: DesiredState(r["draining"], r["evicted"]) for r in records}

    async def desire(self, instance: str, state: DesiredState, who: str, what: str) -> None:
        wanted = msgspec.structs.asdict(state)
        await self._link.fetch(
            _OPERATIONS["desire"], instance=instance, who=who, what=what, **wanted
        )

    async def show(self, plan: Plan, kind: PlanKind) -> None:
        shown = {"plan_id": plan.plan_id, "kind": kind, "plan": _json(plan)}
        await self._link.fetch(_OPERATIONS["show"], kept_s=SHOWN_KEPT_S, **shown)

    async def begin(self, plan_id: str, who: str) -> bool:
        return bool(await self._link.fetch(_OPERATIONS["begin"], plan_id=plan_id, who=who))

    async def end(
        self, plan_id: str, state: Literal["done", "aborted"], who: str, outcome: PlanOutcome
    ) -> bool:
        ended = {"plan_id": plan_id, "state": state, "outcome": _json(outcome)}
        what = f"rebalance_{state}"
        return bool(await self._link.fetch(_OPERATIONS["end"], who=who, what=what, **ended))

    async def plan(self, plan_id: str) -> StoredPlan | None:
        found = await self._link.fetch(_OPERATIONS["plan"], plan_id=plan_id)
        return _stored(found[0]) if found else None

    async def running(self) -> list[StoredPlan]:
        return [_stored(record) for record in await self._link.fetch(_OPERATIONS["running"])]

    async def latest(self) -> StoredPlan | None:
        found = await self._link.fetch(_OPERATIONS["latest"])
        return _stored(found[0]) if found else None


def _stored(record: asyncpg.Record) -> StoredPlan:
    plan = msgspec.json.decode(record["plan"], type=Plan)
    outcome = msgspec.json.decode(record["outcome"] or "null", type=PlanOutcome | None)
    begun = (record["begun_by"], record["begun_at_ms"])
    return StoredPlan(plan, record["kind"], record["state"], *begun, outcome)


@cache
def _plan_writer(current: str) -> Statement:
    """The statement that writes a plan if the part ``current`` gives its term."""
    written = texts("actors.placement", "placement.sql")
    ctes = f"current AS (\n{written[current]}\n), {written['write_desired']}"
    return numbered(f"WITH {ctes}")


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
