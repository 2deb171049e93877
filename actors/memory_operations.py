"""The store of operators' wishes and plans: its in-memory twin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec.structs import replace

from actors.cluster.operation_store import PlanKind, StoredPlan, Wish
from actors.journal import JournalError
from actors.memory_placement import MemoryTables
from actors.placement.plan import Plan
from actors.placement_store import LogLine


class MemoryOperations:
    """All instances of a test may share one. Away when the tables' database is."""

    def __init__(self, tables: MemoryTables) -> None:
        self._tables = tables
        self._wishes: dict[str, Wish] = {}
        self._plans: dict[str, StoredPlan] = {}

    async def close(self) -> None:
        """Nothing to close."""

    def _reach(self) -> None:
        if self._tables.away:
            raise JournalError("the database is out of reach")

    def _log(self, who: str, what: str, **detail: object) -> None:
        lines = self._tables.lines
        lines.append(LogLine(len(lines) + 1, self._tables.clock.now_ms(), who, what, detail))

    async def wishes(self) -> Mapping[str, Wish]:
        self._reach()
        return {name: wish for name, wish in self._wishes.items() if wish != Wish()}

    async def wish(self, instance: str, wish: Wish, who: str, what: str) -> None:
        self._reach()
        self._wishes[instance] = wish
        self._log(who, what, instance=instance)

    async def show(self, plan: Plan, kind: PlanKind) -> None:
        self._reach()
        self._plans.setdefault(plan.plan_id, StoredPlan(plan, kind, "shown"))

    async def begin(self, plan_id: str, who: str) -> bool:
        self._reach()
        stored = self._plans.get(plan_id)
        if stored is None or stored.state != "shown":
            return False
        now_ms = self._tables.clock.now_ms()
        self._plans[plan_id] = replace(stored, state="running", begun_by=who, begun_at_ms=now_ms)
        self._log(who, stored.kind, planId=plan_id)
        return True

    async def end(self, plan_id: str, state: Literal["done", "aborted"], who: str) -> bool:
        self._reach()
        stored = self._plans.get(plan_id)
        if stored is None or stored.state != "running":
            return False
        self._plans[plan_id] = replace(stored, state=state)
        self._log(who, f"rebalance_{state}", planId=plan_id)
        return True

    async def plan(self, plan_id: str) -> StoredPlan | None:
        self._reach()
        return self._plans.get(plan_id)

    async def running(self) -> list[StoredPlan]:
        self._reach()
        begun = [stored for stored in self._plans.values() if stored.state == "running"]
        return sorted(begun, key=lambda stored: stored.begun_at_ms)

    async def latest(self) -> StoredPlan | None:
        self._reach()
        begun = [s for s in self._plans.values() if s.kind == "rebalance" and s.begun_at_ms]
        return max(begun, key=lambda stored: stored.begun_at_ms, default=None)
