"""The cluster as it is, and plans to make it even."""

from __future__ import annotations

from msgspec import UNSET

from actors.cluster.operations import ClusterView, Rebalance
from booking_http.admin.desk import Desk
from booking_http.admin.rows import row
from booking_http.admin.schemas import PlanData, RebalanceBody
from booking_http.bodies import BodyReader
from booking_http.dispatch import data_reply
from booking_http.problems import RefusedError, malformed
from booking_http.reply import Reply
from booking_http.routes import Answer, Call, Route


class ClusterCalls:
    def __init__(self, desk: Desk, body_timeout_s: float) -> None:
        self._desk = desk
        self._body = BodyReader(RebalanceBody, body_timeout_s)

    async def view(self, call: Call) -> Reply:
        return data_reply(await self._desk.operations.view())

    async def rebalance(self, call: Call) -> Reply:
        body = await self._body.read(call.request)
        if body.planId is not UNSET:
            if body.dryRun is not UNSET and body.dryRun:
                raise malformed("dryRun: a plan that has an id is there already")
            return data_reply(await self._desk.operations.apply(body.planId, call.who))
        if body.dryRun is UNSET or not body.dryRun:
            raise malformed("planId: is needed, of a plan made with dryRun: true")
        return data_reply(PlanData.of(await self._desk.operations.plan()))

    async def progress(self, call: Call) -> Reply:
        rebalance = (await self._desk.operations.view()).rebalance
        if rebalance is None:
            raise RefusedError("no_rebalance", "No plan was begun yet.")
        return data_reply(rebalance)

    async def abort(self, call: Call) -> Reply:
        return data_reply(await self._desk.operations.abort(call.who))

    def routes(self) -> tuple[Route, ...]:
        desk = self._desk
        return (
            row(
                desk, "GET", "/admin/cluster", self.view, "cluster",
                "Instances, shards, leader, hand-overs",
                Answer(200, ClusterView, "The cluster at a moment."),
            ),
            row(
                desk, "POST", "/admin/rebalance", self.rebalance, "rebalance",
                "Make a plan, or begin one that was made",
                Answer(200, (PlanData, Rebalance), "The plan, or how far it is."),
                body=RebalanceBody, problems=("unknown_plan", "plan_stale", "conflict"),
            ),
            row(
                desk, "GET", "/admin/rebalance", self.progress, "rebalanceProgress",
                "How far the plan is that was begun last",
                Answer(200, Rebalance, "Its progress."), problems=("no_rebalance",),
            ),
            row(
                desk, "DELETE", "/admin/rebalance", self.abort, "abortRebalance",
                "Begin no more moves of the plan; what moved stays",
                Answer(200, Rebalance, "Where it stopped."), problems=("no_rebalance",),
            ),
        )  # fmt: skip
