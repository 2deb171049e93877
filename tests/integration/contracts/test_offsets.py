"""How far a consumer is: in memory, in the service's database, and in one of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import asyncpg
import pytest

from actors.connections.postgres import TROUBLE
from actors.consumers.contract import Consumer, Offset, Offsets, Skip, Step
from actors.consumers.postgres import PostgresOffsets
from actors.consumers.runner import passes
from tests.support.consumers import note
from tests.support.twins.offsets import MemoryOffsets

Open = Callable[[], Offsets]


@pytest.fixture(params=["memory", "postgres", "a database of its own"])
def where(request: pytest.FixtureRequest) -> tuple[str, str]:
    """The service's database, and the consumer's own."""
    if request.param == "postgres":
        return request.getfixturevalue("database_url"), ""
    return "", "" if request.param == "memory" else request.getfixturevalue("empty_database_url")


@pytest.fixture
async def another(where: tuple[str, str]) -> AsyncIterator[Open]:
    """Opens the offsets of one consumer, as several instances do."""
    memory, opened = MemoryOffsets(), list[Offsets]()
    dsn, own = where

    def open_one() -> Offsets:
        if not (dsn or own):
            return memory
        opened.append(PostgresOffsets(Consumer(name="notes", handle=note, dsn=own), dsn))
        return opened[-1]

    yield open_one
    for offsets in opened:
        await offsets.close()


@pytest.fixture
def offsets(another: Open) -> Offsets:
    return another()


async def test_one_that_was_never_opened_begins_where_it_is_told(
    offsets: Offsets, another: Open
) -> None:
    assert await offsets.open({1: 0, 3: 7}) == [Offset(1), Offset(3, 7)]
    assert await another().open({3: 0, 4: 0}) == [Offset(3, 7), Offset(4)]
    assert [one.shard for one in await offsets.all()] == [1, 3, 4]


async def test_a_step_is_taken_from_where_it_begins_and_from_nowhere_else(
    offsets: Offsets,
) -> None:
    await offsets.open({1: 0, 2: 0})
    async with offsets.moving({1: Step(0, 5, 2), 2: Step(4, 6, 2)}) as (live, _):
        assert set(live) == {1}
    assert await offsets.all() == [Offset(1, 5, 2), Offset(2)]


async def test_a_step_that_fails_is_not_taken(offsets: Offsets) -> None:
    await offsets.open({1: 0})
    with pytest.raises(ZeroDivisionError):
        async with offsets.moving({1: Step(0, 5, 2)}):
            raise ZeroDivisionError
    assert await offsets.all() == [Offset(1)]


async def test_a_halted_shard_takes_no_step(offsets: Offsets) -> None:
    await offsets.open({1: 0, 2: 0, 3: 0})
    await offsets.stop(1, 0, "poison", 1)
    await offsets.stop(2, 9, "of a stale owner", 10)
    steps = {n: Step(0, 1, 1) for n in (1, 2, 3)}
    async with offsets.moving(steps) as (live, _):
        assert set(live) == {2, 3}
    await offsets.pause(True)
    async with offsets.moving({n: Step(1, 2, 1) for n in (2, 3)}) as (live, _):
        assert not live
    assert await offsets.open({9: 0}) == [Offset(9, paused=True)]
    await offsets.pause(False)
    assert [one.halted for one in await offsets.all()] == [False] * 4


async def test_what_an_operator_skips_is_kept(offsets: Offsets) -> None:
    await offsets.open({1: 3, 2: 0})
    await offsets.stop(1, 3, "poison", 4)
    skip = Skip(4, "poison", "its user is gone", "ann")
    assert await offsets.skip(1, "its user is gone", "ann") == Offset(1, 4, skipped=[skip])
    assert await offsets.skip(1, "", "") is None
    assert await offsets.skip(7, "", "") is None
    assert await offsets.all() == [Offset(1, 4, skipped=[skip]), Offset(2)]


async def test_rewinding_goes_back_and_never_forward(offsets: Offsets) -> None:
    await offsets.open({1: 5, 2: 1, 3: 9})
    await offsets.stop(1, 5, "lost", 0)
    moved = await offsets.rewind(2, [1, 2])
    assert [(one.shard, one.seq, one.trouble) for one in moved] == [(1, 2, "")]
    assert [one.seq for one in await offsets.all()] == [2, 1, 9]


async def test_a_stale_owner_waits_for_the_other_one_and_then_has_no_effect(
    another: Open, request: pytest.FixtureRequest
) -> None:
    """Given an owner whose transaction with an effect is open, when a stale one takes the same
    step, then it waits, is told that nothing is its own to do, and the effect is there once."""
    if "memory" in request.node.callspec.id:
        pytest.skip("has no transactions")
    one, stale = another(), another()
    await one.open({1: 0})

    async def step(offsets: Offsets, entered: asyncio.Event, ends: asyncio.Event) -> bool:
        async with offsets.moving({1: Step(0, 5, 1)}) as (live, connection):
            if live:
                await connection.execute("CREATE TABLE IF NOT EXISTS effects (seq bigint)")
                await connection.execute("INSERT INTO effects VALUES (5)")
            entered.set()
            await ends.wait()
        return bool(live)

    entered, ends, entered_too = asyncio.Event(), asyncio.Event(), asyncio.Event()
    first = asyncio.create_task(step(one, entered, ends))
    await entered.wait()
    second = asyncio.create_task(step(stale, entered_too, ends))
    await asyncio.sleep(0.05)
    assert not entered_too.is_set()
    ends.set()
    assert (await first, await second) == (True, False)
    async with stale.moving({1: Step(5, 6, 1)}) as (live, connection):
        assert set(live) == {1}
        assert await connection.fetchval("SELECT count(*) FROM effects") == 1


async def test_a_failed_statement_that_nobody_noticed_fails_the_step(
    another: Open, request: pytest.FixtureRequest
) -> None:
    """Given a function that swallows an error of the database, when its transaction ends, then the
    step fails: the server would undo it without a word."""
    if "memory" in request.node.callspec.id:
        pytest.skip("has no transactions")
    offsets = another()
    await offsets.open({1: 0})

    async def careless() -> None:
        async with offsets.moving({1: Step(0, 5, 1)}) as (_, connection):
            with pytest.raises(asyncpg.UndefinedTableError):
                await connection.execute("INSERT INTO nothing VALUES (1)")

    with pytest.raises(AssertionError):
        await careless()
    assert await offsets.all() == [Offset(1)]


async def test_an_owner_that_stands_still_in_its_transaction_is_not_waited_for(
    database_url: str,
) -> None:
    """Given an owner that stands still with its effects not committed, when another takes the same
    step, then the server ends the first one's transaction, and only the second one's counts."""
    still, other = (
        PostgresOffsets(Consumer(name="notes", handle=note, limit_s=limit_s), database_url)
        for limit_s in (5.0, 60.0)
    )
    await still.open({1: 0})
    await other.open({1: 0})

    async def stand_still() -> None:
        async with still.moving({1: Step(0, 5, 1)}) as (_, connection):
            await connection.execute("CREATE TABLE effects (seq bigint)")
            async with other.moving({1: Step(0, 7, 2)}) as (live, _):
                assert set(live) == {1}

    with pytest.raises(TROUBLE) as raised:
        await stand_still()
    assert passes(raised.value)
    assert await other.all() == [Offset(1, 7, 2)]
    async with other.moving({1: Step(7, 8, 2)}) as (_, connection):
        assert await connection.fetchval("SELECT to_regclass('effects')") is None
    await still.close()
    await other.close()
