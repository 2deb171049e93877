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

    pollers: ClassVar[int] = POLLERS

    async def prepare(self, world: World) -> None:
        tokens = await world.tokens(world.users.take(self.pollers))
        # From the last: the sample for the bare route is then the answer to one who waits.
        self._requests = cycle([get("/queue/status", token) for token in reversed(tokens)])

    def scenario(self) -> Scenario:
        return single("status", next(self._requests), 200)


class StatusCrowd(Status):
    """No token comes again before all others have: the tokens that the service remembers as
    verified are never those that come."""

    name = "status-crowd"
    title = "GET /queue/status by 100,000 users in turn, all but 500 of them waiting"
    settings: ClassVar[Mapping[str, str]] = {
        **Status.settings,
        "BOOKING_QUEUE_IDLE_SECONDS": "3600",  # lining up takes longer than a minute on some
    }
    pollers: ClassVar[int] = 100_000
