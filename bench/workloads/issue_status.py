"""New users lining up and asking once where they stand."""

from __future__ import annotations

from bench.scenario import Scenario
from bench.target import get
from bench.workloads.base import Workload
from bench.world import World, issue, token_of


class IssueStatus(Workload):
    name = "issue-status"
    title = "POST /queue/issue, then GET /queue/status, a fresh user each time"
    unit = "user"

    async def prepare(self, world: World) -> None:
        self._users = world.users

    def scenario(self) -> Scenario:
        response = yield "issue", issue(self._users.fresh())
        if response.status != 201:
            return f"issue:{response.status}"
        response = yield "status", get("/queue/status", token_of(response))
        return None if response.status == 200 else f"status:{response.status}"
