"""Queues that are not ours, over their real components: numbers, places, and a promoter's death."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from bench.methods.components import Components, running
from bench.methods.queues.compare import COMPONENTS, STEPS, wrong
from bench.methods.queues.edge import ALL
from bench.methods.queues.measure import OUTSIDE, Plan, count, die, load
from bench.methods.queues.queue import Queue
from bench.methods.queues.sites import site

PEOPLE = 12


@pytest.fixture(scope="module")
def components() -> Iterator[Components]:
    with running(COMPONENTS) as started:
        yield started


@pytest.fixture(params=ALL, ids=lambda queue: queue.name)
def queue(request: pytest.FixtureRequest, components: Components) -> type[Queue]:
    kind: type[Queue] = request.param
    if kind.component not in components:
        pytest.skip(f"without {kind.component}: {components.missing}")
    return kind


@asynccontextmanager
async def opened(kind: type[Queue], components: Components, run: str) -> AsyncIterator[Queue]:
    queue = kind(components[kind.component].url, run)
    await queue.open()
    try:
        yield queue
    finally:
        await queue.close()


def unnoticed(point: str) -> None:
    """Nobody dies."""


def name() -> str:
    return f"line_{secrets.token_hex(4)}"


async def test_numbers_are_places_in_the_line(queue: type[Queue], components: Components) -> None:
    async with opened(queue, components, name()) as line:
        users = [f"{n:036}" for n in range(PEOPLE)]
        numbers = [await line.join(user) for user in users]
        assert numbers == sorted(set(numbers))
        if queue.name != "kafka":  # it knows no users
            assert await line.join(users[3]) == numbers[3]
        place = await line.ask(users[-1], numbers[-1])
        assert place is not None
        assert (place.number, place.ahead, place.inside) == (numbers[-1], PEOPLE - 1, False)
        await line.admit(4, unnoticed)
        assert await line.admissions() == numbers[:4]
        for _ in range(1_000):  # an edge that answers from memory is told a moment later
            place = await line.ask(users[-1], numbers[-1])
            if place is not None and place.ahead == PEOPLE - 5:
                break
            await asyncio.sleep(0.01)
        else:
            pytest.fail(f"still {place}")
        first = await line.ask(users[0], numbers[0])
        assert first is not None
        assert first.inside


class DiedError(Exception):
    pass


async def test_only_a_promotion_in_steps_loses_or_doubles_people_when_it_dies(
    queue: type[Queue], components: Components
) -> None:
    """Given people in a line, when the promoter dies at each point in turn and another one goes on,
    then everybody comes in once, unless the point is between two effects."""
    for point in queue.points:

        def die_there(reached: str, point: str = point) -> None:
            if reached == point:
                raise DiedError

        run = name()
        async with opened(queue, components, run) as line:
            numbers = [await line.join(f"{n:036}") for n in range(PEOPLE)]
            with pytest.raises(DiedError):
                await line.admit(4, die_there)
        unsafe = (queue.name, point) in STEPS
        async with opened(queue, components, run) as line:
            for _ in range(50):  # a consumer waits in each for what another has left
                await line.admit(4, unnoticed)
                admitted = await line.admissions()
                if len(admitted) > PEOPLE or (set(admitted) == set(numbers) and not unsafe):
                    break
        death = count(point, numbers, admitted)
        assert not wrong(queue.name, death), death


async def test_the_smallest_load_and_a_real_death(components: Components) -> None:
    """Given an edge and a promoter in processes of their own, when some line up and the promoter is
    killed with people let in and still in the line, then the report tells that they came twice."""
    with site("redis-steps", components, 100.0) as small:
        await asyncio.to_thread(small.promote)
        loads, wrong = await load(small, Plan(rates=(20,), seconds=0.5, waiting=5))
        assert not wrong
        assert loads[0].pair.count > 0
        assert not loads[0].failed
        await asyncio.to_thread(small.promoter.stop)
        death = await die(small, "let in", 30)
        assert (death.people, death.lost) == (30, 0)
        assert death.doubled > 0


@pytest.mark.slow
async def test_ours_loses_nobody_wherever_it_is_killed(components: Components) -> None:
    def started() -> None:
        with site("ours", components, 100.0) as mortal:
            for point in (*mortal.points, OUTSIDE):
                death = asyncio.run(die(mortal, point, 30))
                assert (death.people, death.lost, death.doubled, death.out_of_order) == (
                    30,
                    0,
                    0,
                    0,
                )
            assert not mortal.problems()

    await asyncio.to_thread(started)
