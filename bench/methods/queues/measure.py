"""The load on one queue, and the deaths of its promoter."""

import asyncio
import random
import secrets
import signal
import time
import uuid
from collections import Counter
from collections.abc import Sequence

import aiohttp
import msgspec

from bench.load import Pool, arrivals
from bench.methods.queues.sites import Site
from bench.processes import ProcessFailedError
from bench.record import Latencies, latencies
from bench.run import OPEN_LOOP_SEED, say
from bench.scenario import Scenario, UnmetError, data_of, expect, get, issue
from bench.world import Users, World

CONNECTIONS = 128
WARMUP_S = 0.5
REACHED = 0.95
"""Of the rate that was asked for. Below is the limit, and higher rates are left out."""
JOINS_PER_S = 200.0
"""Around a death."""
OUTSIDE = "from outside"
"""Killed by somebody else, while it is busy with whatever it is."""
WITHIN_S = 30.0
"""For a death, and for everybody to be acknowledged: far more than either takes."""
QUIET_S = 1.5
"""Nobody is let in any more: longer than a message is kept from others."""


class Plan(msgspec.Struct, frozen=True):
    """How much to ask for."""

    rates: tuple[float, ...] = (100, 500, 1_000, 3_000)
    """Pairs a second."""
    seconds: float = 4.0
    waiting: int = 5_000
    """In the line before the first pair, so that there is something to count."""
    people: int = 60
    """Who line up around a death."""


SMALLEST_PLAN = Plan((20,), seconds=0.5, waiting=5, people=30)
"""For tests."""


class Load(msgspec.Struct, frozen=True):
    """One rate, asked for in an open loop."""

    rate: float
    kept_up: bool
    reached: float
    """If it did not keep up, what a closed loop did as fast as it could."""
    pair: Latencies
    """From the moment that it was meant to begin until the second answer."""
    failed: dict[str, int]
    cpu_us: dict[str, float]
    """CPU time of a pair: ``edge``, ``promoter``, ``servers`` and ``client``."""


class Death(msgspec.Struct, frozen=True):
    """One death, and what became of those who had been promised a place."""

    point: str
    people: int
    lost: int
    """Not let in, however long one waits."""
    doubled: int
    """Let in once more."""
    out_of_order: int
    """Let in after somebody who was behind."""


async def load(site: Site, plan: Plan) -> tuple[list[Load], list[str]]:
    """The rates one after the other, up to the first that is not reached; what was wrong."""
    loads: list[Load] = []
    async with Pool(site.target, CONNECTIONS) as pool:
        world = World(pool)
        calls = (("issue", issue(user)) for user in world.users.take(plan.waiting))
        answers = await world.ask_all(calls, 201)
        numbers = [data_of(answer)["number"] for answer in answers]

        def supply() -> Scenario:
            return _pair(world.users, numbers)

        for rate in plan.rates:
            say(f"{site.title}: {rate:,.0f} pairs a second")
            offsets = list(arrivals(rate, WARMUP_S + plan.seconds, "poisson", _rng()))
            before, own_before, line = site.cpu_s(), time.process_time(), len(numbers)
            open_loop = await pool.open_loop(supply, iter(offsets), WARMUP_S, plan.seconds, rate)
            used = {part: after_s - before[part] for part, after_s in site.cpu_s().items()}
            used["client"] = time.process_time() - own_before
            done = len(numbers) - line
            reached = rate * done / len(offsets)
            if not (kept_up := reached >= rate * REACHED):
                closed = await pool.closed_loop(supply, WARMUP_S, plan.seconds)
                reached = len(closed.units) / plan.seconds
            cpu_us = {part: used_s / (done or 1) * 1e6 for part, used_s in used.items()}
            pair = latencies(open_loop.units)
            loads.append(Load(rate, kept_up, reached, pair, dict(open_loop.failures), cpu_us))
            if not kept_up:
                break
    twice = len(numbers) - len(set(numbers))
    again = len(admitted := await site.admissions()) - len(set(admitted))
    wrong = [f"{twice} numbers given twice"] if twice else []
    return loads, wrong + ([f"{again} let in twice"] if again else [])


def _rng() -> random.Random:
    return random.Random(OPEN_LOOP_SEED)


def _pair(users: Users, numbers: list[int]) -> Scenario:
    told = data_of((yield from expect("issue", issue(users.fresh()), 201)))
    numbers.append(told["number"])
    answer = yield from expect("ask", get("/queue/status", told["token"]), 200)
    if data_of(answer)["number"] != told["number"]:
        raise UnmetError("ask:another number")


async def die(site: Site, point: str, people: int) -> Death:
    """Have so many line up around a death at this point."""
    say(f"{site.title}: killed {point}")
    numbers: list[int] = []
    earlier = len(await site.admissions())
    await asyncio.to_thread(site.promote, "" if point == OUTSIDE else point)
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        for turn in range(people):
            group.create_task(_join(site, session, turn / JOINS_PER_S, numbers))
        deadline = time.monotonic() + WITHIN_S
        while not site.promoter.ended():
            if point == OUTSIDE and len(numbers) >= people // 2:
                site.promoter.stop(signal.SIGKILL)
            if time.monotonic() > deadline:
                raise ProcessFailedError(f"{site.title}: never {point}")
            await asyncio.sleep(0.002)
        await asyncio.to_thread(site.promote)
    admitted = await _settled(site, numbers, earlier)
    await asyncio.to_thread(site.promoter.stop)
    return count(point, numbers, admitted)


async def _join(
    site: Site, session: aiohttp.ClientSession, turn_s: float, numbers: list[int]
) -> None:
    """Line up in one's turn, as often as it takes: the same request, with the same key."""
    await asyncio.sleep(turn_s)
    body, key = {"userId": str(uuid.uuid4())}, {"Idempotency-Key": secrets.token_hex(16)}
    async with asyncio.timeout(WITHIN_S):
        while True:
            try:
                url = f"http://127.0.0.1:{site.target.port}/queue/issue"
                async with session.post(url, json=body, headers=key) as response:
                    if response.status == 201:
                        numbers.append((await response.json())["data"]["number"])
                        return
            except aiohttp.ClientError:
                pass  # its process is dead; the next one will answer
            await asyncio.sleep(0.05)


async def _settled(site: Site, numbers: Sequence[int], earlier: int) -> list[int]:
    """Who was let in, once everybody is, or nobody is any more."""
    admitted: list[int] = []
    since = time.monotonic()
    while time.monotonic() - since < QUIET_S * (1 if set(numbers) <= set(admitted) else 2):
        now = (await site.admissions())[earlier:]
        if now != admitted:
            admitted, since = now, time.monotonic()
        await asyncio.sleep(0.1)
    return admitted


def count(point: str, numbers: Sequence[int], admitted: Sequence[int]) -> Death:
    """What became of the people with these numbers."""
    times = Counter(admitted)
    highest = behind = 0
    for number in times:  # in the order of the first time
        behind += number < highest
        highest = max(highest, number)
    lost = sum(number not in times for number in numbers)
    return Death(point, len(numbers), lost, len(admitted) - len(times), behind)
