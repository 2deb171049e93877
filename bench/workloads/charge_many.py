"""Charges spread over many accounts."""

from __future__ import annotations

from itertools import cycle

from bench.scenario import Scenario
from bench.workloads.base import Workload, single
from bench.world import World, charge

ACCOUNTS = 10_000


class ChargeMany(Workload):
    name = "charge-many"
    title = "POST /user/charge over 10,000 users in turn"

    async def prepare(self, world: World) -> None:
        self._requests = cycle([charge(user, 1_000) for user in world.users.take(ACCOUNTS)])

    def scenario(self) -> Scenario:
        return single("charge", next(self._requests), 200)
