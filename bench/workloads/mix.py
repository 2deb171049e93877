"""Mostly reads, as when many look and few buy."""

from __future__ import annotations

import random

from bench.scenario import Call, Scenario
from bench.target import get
from bench.workloads.base import Workload, single
from bench.world import World, charge

USERS = 1_000
SHARES = {"status": 50, "seats": 25, "dates": 10, "balance": 10, "charge": 5}
"""Percent."""
CHOICES = 10_000
"""Requests made beforehand and drawn from, so that drawing costs the generator nothing else."""


class Mix(Workload):
    name = "mix"
    title = "read-heavy mix: " + ", ".join(f"{step} {share} %" for step, share in SHARES.items())

    def __init__(self, seed: int = 1) -> None:
        self._rng = random.Random(seed)

    async def prepare(self, world: World) -> None:
        users = world.users.take(USERS)
        tokens = await world.tokens(users)
        dates = await world.dates(tokens[0])

        def call(step: str) -> Call:
            number = self._rng.randrange(USERS)
            date = self._rng.choice(dates)
            seats = f"/concert/available-seats?concertScheduleId={date.id}"
            listing = f"/concert/available-dates?concertId={date.concert_id}"
            match step:
                case "status":
                    return step, get("/queue/status", tokens[number])
                case "seats":
                    return step, get(seats, tokens[number])
                case "dates":
                    return step, get(listing, tokens[number])
                case "balance":
                    return step, get(f"/user/check?userId={users[number]}")
                case _:
                    return step, charge(users[number], 1_000)

        steps = self._rng.choices(list(SHARES), list(SHARES.values()), k=CHOICES)
        self._calls = [call(step) for step in steps]
        self._each = [call(step) for step in SHARES]

    def scenario(self) -> Scenario:
        step, request = self._calls[int(self._rng.random() * CHOICES)]
        return single(step, request, 200)

    def sample(self) -> Scenario:
        for call in self._each:
            response = yield call
            if response.status != 200:
                return f"{call[0]}:{response.status}"
        return None
