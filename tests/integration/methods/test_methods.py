"""Every way to change one thing that can be had here, at the smallest size, is exact."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bench.methods import components as components_module
from bench.methods import report
from bench.methods.components import Components, running
from bench.methods.faults import find_faults
from bench.methods.queues.measure import SMALLEST_PLAN
from bench.methods.run import SMALLEST, WORKS, Progress, differences, measure
from bench.methods.way import Way
from bench.methods.ways import NAMES, chosen, redlock, way_named
from bench.methods.worker import Order, perform

WAYS = [name for name in NAMES if name != "single writer, HTTP"]
"""The service itself races and charges in tests of its own."""
MONEY = Order("money", users=3, seats=6, count=60, callers=8, limit_s=30.0)
RACE = Order("race", users=3, seats=6, count=60, callers=8, limit_s=30.0)


@pytest.fixture(scope="module")
def components() -> Iterator[Components]:
    with running() as started:
        yield started


@asynccontextmanager
async def instances(
    components: Components, name: str, count: int | None = None
) -> AsyncIterator[list[Way]]:
    """As many as the way is exact in, each with locks and connections of its own, as a process
    has; and rows to work on."""
    kind = way_named(name)
    if not set(kind.needs) <= set(components):
        pytest.skip(f"without {kind.needs}: {components.missing}")
    count = count or kind.exact_in
    with ExitStack() as stack:
        urls = await asyncio.to_thread(kind.serve, components, stack)
        ways = [kind(urls, index, count) for index in range(count)]
        async with AsyncExitStack() as ends:
            for way in ways:
                await way.start()
                ends.push_async_callback(way.stop)
            await ways[0].prepare(MONEY.users, MONEY.seats)
            yield ways


async def off(ways: list[Way], order: Order) -> tuple[int, ...]:
    """Confirmed changes that are not there, after all have done the order at once."""
    before = await ways[0].totals(order.users, range(order.seats))
    tallies = await asyncio.gather(*(perform(way, order) for way in ways))
    assert [tally.errors for tally in tallies] == [{} for _ in ways]
    done = sum(len(tally.seconds) for tally in tallies)
    assert done == order.count * (2 if order.work == "money" else 1)
    return differences(tallies, before, await ways[0].totals(order.users, range(order.seats)))


@pytest.mark.parametrize("name", WAYS)
async def test_a_way_is_exact_where_it_is_made_for(components: Components, name: str) -> None:
    async with instances(components, name) as ways:
        assert await off(ways, MONEY) == (0, 0, 0)
        assert await off(ways, RACE) == (0, 0, 0)
        totals = await ways[0].totals(RACE.users, range(RACE.seats))
        assert totals.taken == RACE.seats


async def test_locks_of_two_processes_lose_updates(components: Components) -> None:
    """Else the measure of what is lost would be one that cannot fail."""
    async with instances(components, "simple lock", 2) as ways:
        charges, uses, _ = await off(ways, Order("money", 1, 0, 1, 100, 8, 30.0))
    assert charges + uses > 0


@pytest.mark.parametrize(
    ("name", "lost"), [("Redlock, five Redis", 1), ("Redlock with a fence", 0)]
)
async def test_a_stale_holder_writes_unless_there_is_a_fence(
    components: Components, name: str, lost: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redlock, "LEASE_S", 0.2)
    async with instances(components, name) as ways:
        stale, other = ways
        database: Any = stale.database  # type: ignore[attr-defined]
        reads, resumes, read = asyncio.Event(), asyncio.Event(), database.read

        async def read_and_stand_still(*arguments: Any) -> Any:
            found = await read(*arguments)
            reads.set()
            await resumes.wait()
            return found

        monkeypatch.setattr(database, "read", read_and_stand_still)
        charging = asyncio.create_task(stale.charge(0, 5))
        await reads.wait()
        balance = await other.charge(0, 70)
        resumes.set()
        await charging
        after = await other.charge(0, 0)
    assert after == (balance + 5 if not lost else balance + 5 - 70)


def test_a_run_makes_both_pages(components: Components, tmp_path: Path) -> None:
    size = SMALLEST
    results = measure(components, size, Progress(), ["simple lock"])
    assert {each.cell.work for each in results} == set(WORKS)
    run = report.Run(report.surroundings(), {}, size, SMALLEST_PLAN, {}, results)
    assert not run.problems()
    pages = [path for path in report.write(run, tmp_path) if path.suffix == ".md"]
    assert len(pages) == 2
    for page in pages:
        assert "simple lock" in page.read_text("utf-8")


def test_a_run_without_what_cannot_be_had_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given no program of MariaDB's or NATS', when the servers are started, then the run goes on
    without them and says what is missing."""
    monkeypatch.setattr(components_module, "_find", lambda _: None)
    monkeypatch.setattr(components_module, "_is_installed", lambda _: False)
    monkeypatch.delenv("BOOKING_TEST_KAFKA", raising=False)
    with running(["mariadb", "rabbitmq", "kafka"]) as started:
        assert not started
        assert "apt-get install mariadb-server-core" in started.missing["mariadb"]
        assert "apt-get install rabbitmq-server" in started.missing["rabbitmq"]
        assert "not measured" in started.missing["kafka"]
        assert chosen(started) == []


@pytest.mark.slow
def test_faults_do_what_the_page_says_of_them(components: Components) -> None:
    names = ["pub/sub lock, Redis", "Redlock with a fence", "NATS JetStream", "optimistic, MariaDB"]
    found = find_faults(components, Progress(), names)
    assert {each.fault.partition(",")[0] for each in found} == {"stopped", "killed", "restarted"}
    assert [each.problem(way_named(each.way)) for each in found] == [""] * len(found)
