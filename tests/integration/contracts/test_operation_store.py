"""What operators want of instances, and their plans: the twin and the real thing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Literal

import pytest

from actors.clock import SystemClock
from actors.journal.contract import JournalError
from actors.journal.memory import MemoryStore
from actors.placement.contract import (
    DesiredState,
    OperationStore,
    OperatorLogEntry,
    PlacementStore,
    PlanKind,
    PlanOutcome,
)
from actors.placement.plan import Plan, make_plan
from actors.placement.postgres import PostgresOperations, PostgresPlacement
from tests.support.faulty import FaultyOperations, FaultyTables
from tests.support.placements import equal_nodes, unowned
from tests.support.twins.placement import MemoryOperations, MemoryPlacement, MemoryTables

OUTCOME = PlanOutcome(done=5, open=2, broken=("shard 7: frozen: a look at it",))


class Tables:
    """One database, and connections to it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._tables = MemoryTables(MemoryStore(), SystemClock())
        self._opened: list[OperationStore | PlacementStore] = []

    def operations(self) -> OperationStore:
        store: OperationStore
        store = PostgresOperations(self._url) if self._url else MemoryOperations(self._tables)
        self._opened.append(store)
        return store

    async def log(self) -> Sequence[OperatorLogEntry]:
        """Everything in the operators' log, oldest first."""
        placement: PlacementStore
        placement = PostgresPlacement(self._url) if self._url else MemoryPlacement(self._tables)
        self._opened.append(placement)
        return (await placement.logged(100))[::-1]

    async def close(self) -> None:
        for one in self._opened:
            await one.close()


@pytest.fixture(params=["memory", "postgres"])
def operations_url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue("database_url") if request.param == "postgres" else ""
    return url


@pytest.fixture
async def tables(operations_url: str) -> AsyncIterator[Tables]:
    tables = Tables(operations_url)
    yield tables
    await tables.close()


@pytest.fixture
def store(tables: Tables) -> OperationStore:
    return tables.operations()


def plan_for(count: int) -> Plan:
    """Shards that nobody ever had, to be shared by so many instances: another plan for each."""
    return make_plan(equal_nodes(count), unowned(8))


async def begun(store: OperationStore, plan: Plan, kind: PlanKind = "rebalance") -> None:
    await store.show(plan, kind)
    assert await store.begin(plan.plan_id, "ops")


# -- wishes ------------------------------------------------------------------------------------


async def test_at_first_nothing_is_wanted_and_nothing_runs(store: OperationStore) -> None:
    assert await store.desired_states() == {}
    assert await store.running() == []
    assert await store.latest() is None
    assert await store.plan("no such plan") is None


async def test_a_desired_state_is_seen_by_all_until_it_is_taken_back(tables: Tables) -> None:
    anna, bert = tables.operations(), tables.operations()
    await anna.desire("i1", DesiredState(draining=True), "ops", "drain")
    await anna.desire("i2", DesiredState(evicted=True), "ops", "evict")
    assert await bert.desired_states() == {
        "i1": DesiredState(draining=True),
        "i2": DesiredState(evicted=True),
    }
    await bert.desire("i1", DesiredState(evicted=True), "night shift", "evict")
    assert (await anna.desired_states())["i1"] == DesiredState(evicted=True), "the last one counts"
    await bert.desire("i1", DesiredState(), "night shift", "undrain")
    assert await anna.desired_states() == {"i2": DesiredState(evicted=True)}


async def test_who_wanted_what_is_in_the_log(tables: Tables) -> None:
    store = tables.operations()
    await store.desire("i1", DesiredState(draining=True), "ops", "drain")
    await store.desire("i1", DesiredState(), "night shift", "undrain")
    assert [(line.who, line.what, line.detail) for line in await tables.log()] == [
        ("ops", "drain", {"instance": "i1"}),
        ("night shift", "undrain", {"instance": "i1"}),
    ]


# -- plans -------------------------------------------------------------------------------------


async def test_a_plan_comes_back_as_it_was_shown(tables: Tables) -> None:
    plan = plan_for(3)
    await tables.operations().show(plan, "rebalance")
    stored = await tables.operations().plan(plan.plan_id)
    assert stored is not None
    assert stored.plan == plan
    assert (stored.kind, stored.state, stored.begun_by, stored.begun_at_ms) == (
        "rebalance", "shown", "", 0,
    )  # fmt: skip
    assert await tables.log() == [], "a plan that is only shown is no change"


async def test_a_plan_is_begun_once_by_whoever_is_first(tables: Tables) -> None:
    plan = plan_for(3)
    stores = [tables.operations() for _ in range(4)]
    await stores[0].show(plan, "rebalance")
    began = await asyncio.gather(
        *(one.begin(plan.plan_id, f"ops-{n}") for n, one in enumerate(stores))
    )
    assert sorted(began) == [False, False, False, True]
    [running] = await stores[0].running()
    assert running.begun_by == f"ops-{began.index(True)}"
    assert abs(running.begun_at_ms - SystemClock().now_ms()) < 60_000
    [line] = await tables.log()
    assert (line.who, line.what) == (running.begun_by, "rebalance")
    assert line.detail["planId"] == plan.plan_id


async def test_a_plan_that_was_not_shown_is_not_begun(store: OperationStore) -> None:
    assert not await store.begin("no such plan", "ops")


async def test_a_plan_that_runs_is_ended_once_and_then_runs_no_more(tables: Tables) -> None:
    store, plan = tables.operations(), plan_for(3)
    await begun(store, plan)
    assert await store.end(plan.plan_id, "aborted", "ops", OUTCOME)
    assert not await store.end(plan.plan_id, "done", "leader", PlanOutcome(9, 0, ()))
    assert await store.running() == []
    stored = await store.plan(plan.plan_id)
    assert stored is not None
    assert (stored.state, stored.outcome) == ("aborted", OUTCOME)
    assert [(line.who, line.what) for line in await tables.log()] == [
        ("ops", "rebalance"),
        ("ops", "rebalance_aborted"),
    ]


async def test_plans_that_run_are_told_oldest_first(store: OperationStore) -> None:
    moves, whole = plan_for(2), plan_for(3)
    await begun(store, moves, "move")
    await asyncio.sleep(0.002)
    await begun(store, whole)
    assert [(one.plan.plan_id, one.kind) for one in await store.running()] == [
        (moves.plan_id, "move"),
        (whole.plan_id, "rebalance"),
    ]


async def test_the_latest_is_the_rebalance_that_was_begun_last(store: OperationStore) -> None:
    first, second, move, shown = (plan_for(count) for count in (2, 3, 4, 5))
    await begun(store, first)
    await store.end(first.plan_id, "done", "leader", OUTCOME)
    await asyncio.sleep(0.002)
    await begun(store, second)
    await asyncio.sleep(0.002)
    await begun(store, move, "move")
    await store.show(shown, "rebalance")
    latest = await store.latest()
    assert latest is not None
    assert (latest.plan.plan_id, latest.state) == (second.plan_id, "running")


async def test_a_plan_that_runs_is_not_shown_anew(store: OperationStore) -> None:
    plan = plan_for(3)
    await begun(store, plan)
    await store.show(plan, "rebalance")
    assert [one.plan.plan_id for one in await store.running()] == [plan.plan_id]


@pytest.mark.parametrize("state", ["done", "aborted"])
async def test_a_plan_that_ended_may_be_shown_and_begun_again(
    store: OperationStore, state: str
) -> None:
    """The cluster is as it was, so the plan has the same id."""
    plan = plan_for(3)
    await begun(store, plan)
    ended: Literal["done", "aborted"] = state  # type: ignore[assignment]  # one of the two
    await store.end(plan.plan_id, ended, "ops", OUTCOME)
    await store.show(plan, "rebalance")
    stored = await store.plan(plan.plan_id)
    assert stored is not None
    assert (stored.state, stored.begun_by, stored.begun_at_ms) == ("shown", "", 0)
    assert stored.outcome is None
    assert await store.begin(plan.plan_id, "night shift")
    assert [one.begun_by for one in await store.running()] == ["night shift"]


# -- without a database ------------------------------------------------------------------------


async def test_a_database_that_is_not_there_is_an_error() -> None:
    tables = FaultyTables(MemoryStore(), SystemClock())
    tables.away = True
    lost: list[OperationStore] = [
        PostgresOperations("postgresql://nobody@127.0.0.1:1/nothing"),
        FaultyOperations(tables),
    ]
    for store in lost:
        for call in (store.desired_states(), store.running(), store.begin("p", "ops")):
            with pytest.raises(JournalError):
                await call
        await store.close()
