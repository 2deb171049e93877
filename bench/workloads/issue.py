"""New users lining up."""

from __future__ import annotations

from bench.scenario import Scenario
from bench.workloads.base import Workload, single
from bench.world import World, issue


class Issue(Workload):
    name = "issue"
    title = "POST /queue/issue, a fresh user each time"

    async def prepare(self, world: World) -> None:
        self._users = world.users

    def scenario(self) -> Scenario:
        return single("issue", issue(self._users.fresh()), 201)
