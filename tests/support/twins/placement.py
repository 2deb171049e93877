"""The in-memory twins of the stored placement, without a database."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from actors.clock import Clock
from actors.journal.contract import Lease
from actors.journal.memory import MemoryStore
from actors.placement.contract import (
    DesiredState,
    Leadership,
    OperatorLogEntry,
    PlacedShard,
    PlanKind,
    PlanOutcome,
    PlanState,
    StoredLoss,
    StoredPlan,
    Via,
    WriteResult,
)
from actors.placement.plan import Plan

_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


class _ShardRow(msgspec.Struct):
    desired: str = ""
    desired_term: int = 0
    pinned_to: str | None = None
    frozen: str = ""


class MemoryTables:
    """The tables beside the journal's: what all instances share. ``clock`` is the database's own,
    its wall clock that is; a test may give it one that jumps."""

    def __init__(self, store: MemoryStore, clock: Clock) -> None:
        self.store = store
        self.clock = clock
        self.leadership = Leadership(0, "", "", _NEVER, True)
        """As last written; :meth:`MemoryPlacement.leadership` says whether it has expired."""
        self.shards = [_ShardRow() for _ in store.leases]
        self.desired_states: dict[str, DesiredState] = {}
        self.plans: dict[str, StoredPlan] = {}
        self.entries: list[OperatorLogEntry] = []

    def end_of(self, lease_s: float) -> datetime:
        """When a lease granted now is over, by the database's clock."""
        return _NEVER + timedelta(milliseconds=self.clock.now_ms(), seconds=lease_s)

    def log(self, who: str, what: str, detail: Mapping[str, Any]) -> int:
        """Add an entry to the operators' log; returns its id."""
        number = len(self.entries) + 1
        self.entries.append(OperatorLogEntry(number, self.clock.now_ms(), who, what, dict(detail)))
        return number


class MemoryPlacement:
    """One instance's connection to :class:`MemoryTables`."""

    def __init__(self, tables: MemoryTables) -> None:
        self.tables = tables

    async def leadership(self) -> Leadership:
        """As the contract says."""
        row = self.tables.leadership
        return replace(row, expired=row.expires_at <= self.tables.end_of(0))

    async def raise_term(
        self, holder: str, via: Via, lease_s: float, seen: Leadership
    ) -> int | None:
        """As the contract says."""
        if not self.tables.leadership.same_as(seen):
            return None
        ends = self.tables.end_of(lease_s)
        self.tables.leadership = Leadership(seen.term + 1, holder, via, ends, False)
        return seen.term + 1

    async def renew_term(self, term: int, via: Via, lease_s: float) -> bool:
        """As the contract says."""
        row = self.tables.leadership
        if row.term == term:
            self.tables.leadership = replace(row, via=via, expires_at=self.tables.end_of(lease_s))
        return row.term == term

    async def yield_term(self, term: int) -> None:
        """As the contract says."""
        if self.tables.leadership.term == term:
            row = self.tables.leadership
            self.tables.leadership = replace(row, expires_at=self.tables.end_of(0))

    async def shards(self) -> list[PlacedShard]:
        """As the contract says."""
        return [
            PlacedShard(
                shard=lease.shard,
                epoch=lease.epoch,
                owner=lease.owner,
                incarnation=lease.incarnation,
                **msgspec.structs.asdict(row),
            )
            for lease, row in zip(self.tables.store.leases, self.tables.shards, strict=True)
        ]

    async def write_desired(self, term: int, desired: Mapping[int, tuple[int, str]]) -> WriteResult:
        """As the contract says."""
        if self.tables.leadership.term != term:
            return WriteResult(current=False)
        leases = self.tables.store.leases
        accepted = [shard for shard, (epoch, _) in desired.items() if leases[shard].epoch == epoch]
        for shard in accepted:
            row = self.tables.shards[shard]
            row.desired, row.desired_term = desired[shard][1], term
        return WriteResult(True, frozenset(accepted))

    async def claim(
        self, wanted: Sequence[tuple[int, int]], owner: str, incarnation: str
    ) -> list[Lease]:
        """As the contract says."""
        rows, store = self.tables.shards, self.tables.store
        runs = list(dict.fromkeys(claim.incarnation for claim in store.claims))
        later = runs[runs.index(incarnation) + 1 :] if incarnation in runs else []
        desired = [
            (shard, seen)
            for shard, seen in wanted
            if rows[shard].desired == owner
            and not (
                store.leases[shard].owner == owner and store.leases[shard].incarnation in later
            )
        ]
        return store.claim(desired, owner, incarnation)

    async def pin(self, shard: int, instance: str | None, who: str) -> None:
        """As the contract says."""
        self.tables.shards[shard].pinned_to = instance
        self._log_change(who, "pin", shard, pinned_to=instance)

    async def freeze(self, shard: int, reason: str | None, who: str) -> None:
        """As the contract says."""
        assert reason != "", "a freeze needs a reason"
        self.tables.shards[shard].frozen = reason or ""
        self._log_change(who, "freeze", shard, frozen=reason)

    def _log_change(self, who: str, what: str, shard: int, **change: str | None) -> None:
        told = {name: value for name, value in change.items() if value}
        self.tables.log(who, what if told else f"un{what}", {"shard": shard, **told})

    async def losses(self) -> list[StoredLoss]:
        """As the contract says."""
        return [
            StoredLoss(
                shard=found.loss.shard,
                seq=found.loss.known.seq,
                kept_seq=found.loss.kept_seq,
                entities=found.loss.entities,
                instance=found.incarnation,
                noticed_at_ms=0,
                accepted_at_ms=0 if found.accepted else None,
                accepted_by=found.accepted,
            )
            for found in reversed(self.tables.store.losses)
        ]

    async def accept_losses(self, shards: Collection[int], who: str) -> None:
        """As the contract says."""
        self.tables.log(who, "accept_loss", {"shards": sorted(shards)})
        self.tables.store.accept_losses(shards, who)

    async def log(self, who: str, what: str, detail: Mapping[str, Any]) -> int:
        """As the contract says."""
        return self.tables.log(who, what, detail)

    async def logged(self, limit: int, before_id: int | None = None) -> list[OperatorLogEntry]:
        """As the contract says."""
        end = len(self.tables.entries) if before_id is None else before_id - 1
        return self.tables.entries[max(0, end - limit) : max(0, end)][::-1]

    async def close(self) -> None:
        """Close nothing."""


class MemoryOperations:
    """One instance's connection to :class:`MemoryTables`."""

    def __init__(self, tables: MemoryTables) -> None:
        self._tables = tables

    async def desired_states(self) -> Mapping[str, DesiredState]:
        """As the contract says."""
        known = self._tables.desired_states
        return {name: state for name, state in known.items() if state != DesiredState()}

    async def desire(self, instance: str, state: DesiredState, who: str, what: str) -> None:
        """As the contract says."""
        self._tables.desired_states[instance] = state
        self._tables.log(who, what, {"instance": instance})

    async def show(self, plan: Plan, kind: PlanKind) -> None:
        """As the contract says."""
        known = self._tables.plans.get(plan.plan_id)
        if known is None or known.state != "running":
            self._tables.plans[plan.plan_id] = StoredPlan(plan, kind, "shown")

    async def begin(self, plan_id: str, who: str) -> bool:
        """As the contract says."""
        now_ms = self._tables.clock.now_ms()
        begun = self._move_on(plan_id, "shown", state="running", begun_by=who, begun_at_ms=now_ms)
        if begun is not None:
            self._tables.log(who, begun.kind, {"planId": plan_id})
        return begun is not None

    async def end(
        self, plan_id: str, state: Literal["done", "aborted"], who: str, outcome: PlanOutcome
    ) -> bool:
        """As the contract says."""
        ended = self._move_on(plan_id, "running", state=state, outcome=outcome)
        if ended is not None:
            self._tables.log(who, f"rebalance_{state}", {"planId": plan_id})
        return ended is not None

    def _move_on(self, plan_id: str, since: PlanState, /, **changes: Any) -> StoredPlan | None:
        stored = self._tables.plans.get(plan_id)
        if stored is None or stored.state != since:
            return None
        self._tables.plans[plan_id] = replace(stored, **changes)
        return self._tables.plans[plan_id]

    async def plan(self, plan_id: str) -> StoredPlan | None:
        """As the contract says."""
        return self._tables.plans.get(plan_id)

    async def running(self) -> list[StoredPlan]:
        """As the contract says."""
        begun = [stored for stored in self._tables.plans.values() if stored.state == "running"]
        return sorted(begun, key=lambda stored: stored.begun_at_ms)

    async def latest(self) -> StoredPlan | None:
        """As the contract says."""
        begun = [p for p in self._tables.plans.values() if p.kind == "rebalance" and p.begun_at_ms]
        return max(begun, key=lambda stored: stored.begun_at_ms, default=None)

    async def close(self) -> None:
        """Close nothing."""
