"""Status polls, of waiting and of active users."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle
from typing import ClassVar

from bench.scenario import Scenario
from bench.target import get
from bench.workloads.base import Workload, single
from bench.world import World

POLLERS = 1_000


class Status(Workload):
    name = "status"
    title = "GET /queue/status by 1,000 users in turn, half of them waiting"
    settings: ClassVar[Mapping[str, str]] = {"BOOKING_QUEUE_MAX_ACTIVE": str(POLLERS // 2)}

    async def prepare(self, world: World) -> None:
        tokens = await world.tokens(world.users.take(POLLERS))
        # From the last: the sample for the bare route is then the answer to one who waits.
        self._requests = cycle([get("/queue/status", token) for token in reversed(tokens)])

    def scenario(self) -> Scenario:
        return single("status", next(self._requests), 200)
