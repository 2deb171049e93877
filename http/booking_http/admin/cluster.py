"""The state of the cluster, and plans to balance it."""
# ruff: noqa: N815  -- the field names are the public ones

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from actors.cluster.admin_views import ClusterView, Rebalance
from actors.placement.assignment import Held
from actors.placement.plan import Load, Move, Withdrawal
from booking_http.admin.service import AdminCalls
from booking_http.problems import RefusedError, malformed
from booking_http.reply import Reply, data_reply
from booking_http.routes import Answer, Call, Route


class RebalanceBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``{"dryRun": true}`` asks for a plan, ``{"planId": ...}`` begins that one."""

    dryRun: bool | UnsetType = UNSET
    planId: Annotated[str, Meta(min_length=1, max_length=64)] | UnsetType = UNSET


class PlanData(msgspec.Struct, frozen=True, rename="camel"):
    """A plan, without the state that it was computed from."""

    plan_id: str
    moves: tuple[Move, ...]
    withdrawals: tuple[Withdrawal, ...]
    held: tuple[Held, ...]
    load_before: Load
    load_after: Load


class ClusterCalls(AdminCalls):
    """The calls about the cluster as a whole."""

    @Route("GET", "/admin/cluster", Answer(200, ClusterView, "The cluster at a moment."))
    async def cluster(self, call: Call) -> Reply:
        """Instances, shards, leader, hand-overs."""
        return data_reply(await self.admin.operations.view())

    @Route(
        "POST", "/admin/rebalance",
        Answer(200, (PlanData, Rebalance), "The plan, or how far it is."),
        body=RebalanceBody, problems=("unknown_plan", "plan_stale", "conflict"),
    )  # fmt: skip
    async def rebalance(self, call: Call) -> Reply:
        """Make a plan, or begin one that was made."""
        body: RebalanceBody = call.body
        if body.planId is not UNSET:
            if body.dryRun is not UNSET and body.dryRun:
                raise malformed("dryRun: a plan that has an id is there already")
            return data_reply(await self.admin.operations.apply(body.planId, call.who))
        if body.dryRun is UNSET or not body.dryRun:
            raise malformed("planId: is needed, of a plan made with dryRun: true")
        plan = await self.admin.operations.plan()
        return data_reply(msgspec.convert(plan, PlanData, from_attributes=True))

    @Route(
        "GET", "/admin/rebalance", Answer(200, Rebalance, "Its progress."),
        problems=("no_rebalance",),
    )  # fmt: skip
    async def rebalance_progress(self, call: Call) -> Reply:
        """How far the plan is that was begun last."""
        rebalance = (await self.admin.operations.view()).rebalance
        if rebalance is None:
            raise RefusedError("no_rebalance", "No plan was begun yet.")
        return data_reply(rebalance)

    @Route(
        "DELETE", "/admin/rebalance", Answer(200, Rebalance, "Where it stopped."),
        problems=("no_rebalance",),
    )  # fmt: skip
    async def abort_rebalance(self, call: Call) -> Reply:
        """Begin no more moves of the plan; what moved stays."""
        return data_reply(await self.admin.operations.abort(call.who))
