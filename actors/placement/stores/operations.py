"""What operators asked for, as it is stored: wishes about instances, and plans.

Two implementations pass the same tests:
:class:`actors.placement.stores.memory_operations.MemoryOperations` and
:class:`actors.placement.stores.postgres_operations.PostgresOperations`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

import msgspec

from actors.placement.plan import Plan

PlanState = Literal["shown", "running", "done", "aborted"]
PlanKind = Literal["rebalance", "move"]


class Wish(msgspec.Struct, frozen=True):
    """What an operator wants of an instance, whichever run of it."""

    draining: bool = False
    evicted: bool = False


class Outcome(msgspec.Struct, frozen=True):
    """How far a plan had got when it ended. Later the cluster says nothing of it any more."""

    done: int
    open: int
    """Moves that were not made any more."""
    broken: tuple[str, ...]
    """Moves that could not be made, and why, for people."""


class StoredPlan(msgspec.Struct, frozen=True):
    """A plan, and what became of it."""

    plan: Plan
    kind: PlanKind
    state: PlanState
    begun_by: str = ""
    begun_at_ms: int = 0
    outcome: Outcome | None = None
    """``None`` until it has ended, and of plans that ended under releases that kept none."""


class OperationStore(Protocol):
    """Every method may raise :class:`~actors.journal.contract.JournalError`; none retries by
    itself. Who asked is written to the operators' log in the statement that makes the change."""

    async def wishes(self) -> Mapping[str, Wish]:
        """By instance; those of whom nothing is wanted are left out."""

    async def wish(self, instance: str, wish: Wish, who: str, what: str) -> None:
        """Want this of an instance from now on; ``what`` is the word for the log."""

    async def show(self, plan: Plan, kind: PlanKind) -> None:
        """Keep a plan under its id, to be begun, unless it runs. Old ones nobody began go."""

    async def begin(self, plan_id: str, who: str) -> bool:
        """Let a plan run that was shown; false if it is not there or was begun before."""

    async def end(
        self, plan_id: str, state: Literal["done", "aborted"], who: str, outcome: Outcome
    ) -> bool:
        """Let it run no longer; false if it did not."""

    async def plan(self, plan_id: str) -> StoredPlan | None: ...

    async def running(self) -> list[StoredPlan]:
        """The plans that run, oldest first."""

    async def latest(self) -> StoredPlan | None:
        """The rebalance that was begun last, whatever its state."""

    async def close(self) -> None: ...
