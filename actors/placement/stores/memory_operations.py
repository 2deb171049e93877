"""The store of operators' wishes and plans: its in-memory twin, with faults for tests to order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec.structs import replace

from actors.connections.memory import FaultyConnection
from actors.journal.contract import JournalError
from actors.placement.plan import Plan
from actors.placement.stores.contract import LogLine
from actors.placement.stores.memory import MemoryTables
from actors.placement.stores.operations import Outcome, PlanKind, StoredPlan, Wish


class MemoryOrders:
    """The tables: what all instances share. Their log is that of the other tables."""

    def __init__(self, tables: MemoryTables) -> None:
        self.tables = tables
        self.wishes: dict[str, Wish] = {}
        self.plans: dict[str, StoredPlan] = {}


class MemoryOperations(FaultyConnection):
    """One instance's connection to :class:`MemoryOrders`."""

    def __init__(self, orders: MemoryOrders) -> None:
        super().__init__(
            lambda: orders.tables.away, lambda: JournalError("the database is out of reach")
        )
        self._tables = orders.tables
        self._wishes = orders.wishes
        self._plans = orders.plans

    async def close(self) -> None:
        """Nothing to close."""

    def _log(self, who: str, what: str, **detail: object) -> None:
        lines = self._tables.lines
        lines.append(LogLine(len(lines) + 1, self._tables.clock.now_ms(), who, what, detail))

    async def wishes(self) -> Mapping[str, Wish]:
        await self._reach()
        return {name: wish for name, wish in self._wishes.items() if wish != Wish()}

    async def wish(self, instance: str, wish: Wish, who: str, what: str) -> None:
        await self._reach()
        self._wishes[instance] = wish
        self._log(who, what, instance=instance)

    async def show(self, plan: Plan, kind: PlanKind) -> None:
        await self._reach()
        known = self._plans.get(plan.plan_id)
        if known is None or known.state != "running":
            self._plans[plan.plan_id] = StoredPlan(plan, kind, "shown")

    async def begin(self, plan_id: str, who: str) -> bool:
        await self._reach()
        stored = self._plans.get(plan_id)
        if stored is None or stored.state != "shown":
            return False
        now_ms = self._tables.clock.now_ms()
        self._plans[plan_id] = replace(stored, state="running", begun_by=who, begun_at_ms=now_ms)
        self._log(who, stored.kind, planId=plan_id)
        return True

    async def end(
        self, plan_id: str, state: Literal["done", "aborted"], who: str, outcome: Outcome
    ) -> bool:
        await self._reach()
        stored = self._plans.get(plan_id)
        if stored is None or stored.state != "running":
            return False
        self._plans[plan_id] = replace(stored, state=state, outcome=outcome)
        self._log(who, f"rebalance_{state}", planId=plan_id)
        return True

    async def plan(self, plan_id: str) -> StoredPlan | None:
        await self._reach()
        return self._plans.get(plan_id)

    async def running(self) -> list[StoredPlan]:
        await self._reach()
        begun = [stored for stored in self._plans.values() if stored.state == "running"]
        return sorted(begun, key=lambda stored: stored.begun_at_ms)

    async def latest(self) -> StoredPlan | None:
        await self._reach()
        begun = [s for s in self._plans.values() if s.kind == "rebalance" and s.begun_at_ms]
        return max(begun, key=lambda stored: stored.begun_at_ms, default=None)
