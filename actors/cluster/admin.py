"""The operators' desk of one instance: what :class:`actors.cluster.operations.Operations` asks for.

Everything is read from the stored table and written to it, so every instance has the same desk.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from actors.address import SLOT_COUNT
from actors.clock import Clock
from actors.cluster.coordinator import Sight, outcome_of, sight_of
from actors.cluster.operations import (
    ClusterView,
    Handover,
    InstanceView,
    OperationRefusedError,
    Rebalance,
    ShardView,
)
from actors.cluster.roster import Roster
from actors.cluster.stores import Stores
from actors.election.leadership import LeaderView
from actors.membership.contract import Member
from actors.placement.basis import basis_of, digest_of
from actors.placement.inputs import Node, Pause, Rules, ShardState
from actors.placement.load import load_of, owners
from actors.placement.pace import progress
from actors.placement.plan import Move, Plan, make_plan, stale_reason
from actors.placement.stores.contract import LogLine
from actors.placement.stores.operations import StoredPlan, Wish

HANDOVERS_SHOWN = 50
"""As many as fit on a screen."""


class AdminService:
    """Implements :class:`actors.cluster.operations.Operations`. ``nudge`` wakes every instance,
    so that what was asked begins now and not at the next look."""

    def __init__(
        self,
        me: Callable[[], Member],
        stores: Stores,
        roster: Roster,
        clock: Clock,
        *,
        leader: Callable[[], LeaderView],
        handovers: Callable[[], Sequence[Handover]],
        pauses: Callable[[], Sequence[Pause]],
        nudge: Callable[[], None],
        rules: Rules | None = None,
    ) -> None:
        self._me = me
        self._placement = stores.placement
        self._operations = stores.operations
        self._roster = roster
        self._clock = clock
        self._leader = leader
        self._handovers = handovers
        self._pauses = pauses
        self._nudge = nudge
        self._rules = (rules or Rules()).exact()

    async def _sight(self) -> Sight:
        self._roster.wishes = await self._operations.wishes()
        return sight_of(await self._placement.shards(), self._roster)

    # -- seeing --------------------------------------------------------------------------------

    async def view(self) -> ClusterView:
        sight = await self._sight()
        leader = self._leader()
        latest = await self._operations.latest()
        heard_s = self._roster.heard_s
        now_s = self._clock.monotonic()
        return ClusterView(
            instances=[self._instance(node, sight) for node in sight.nodes],
            shards=[_shard(state) for state in sight.shards],
            leader=leader.holder.partition("@")[0],
            term=leader.term,
            age_ms=0 if heard_s is None else round((now_s - heard_s) * 1000),
            answered_by=self._me().instance,
            rebalance=None if latest is None else _rebalance(latest, sight),
            handovers=list(self._handovers())[:HANDOVERS_SHOWN],
        )

    def _instance(self, node: Node, sight: Sight) -> InstanceView:
        member = self._roster.member(node.instance)
        assert member is not None, "nodes are made from members"
        mine = [state for state in sight.shards if state.owner == node.instance]
        health = member.health
        return InstanceView(
            instance=node.instance,
            incarnation=node.incarnation,
            url=member.url,
            since_ms=member.since_ms,
            state=node.state,  # type: ignore[arg-type]  # one of the four words
            heard_ms_ago=round(self._roster.silent_s(node.instance) * 1000),
            shards=len(mine),
            rate=round(sum(state.rate for state in mine), 1),
            entities=sum(state.entities for state in mine),
            loop_lag_ms=round(health.loop_lag_ms, 1),
            commit_age_ms=health.commit_age_ms,
        )

    async def note(self, who: str, what: str, detail: Mapping[str, Any]) -> None:
        await self._placement.log(who, what, detail)

    async def log(self, limit: int, before_id: int | None) -> Sequence[LogLine]:
        return await self._placement.logged(limit, before_id)

    # -- plans ---------------------------------------------------------------------------------

    async def plan(self) -> Plan:
        sight = await self._sight()
        plan = make_plan(sight.nodes, sight.shards, self._rules, self._pauses())
        await self._operations.show(plan, "rebalance")
        return plan

    async def apply(self, plan_id: str, who: str) -> Rebalance:
        stored = await self._operations.plan(plan_id)
        if stored is None:
            raise OperationRefusedError("unknown_plan", f"there is no plan {plan_id}; make one")
        sight = await self._sight()
        if stored.state == "shown":
            if (why := stale_reason(stored.plan, sight.nodes, sight.shards)) is not None:
                raise OperationRefusedError("plan_stale", f"the cluster has changed: {why}")
            if any(one.kind == "rebalance" for one in await self._operations.running()):
                raise OperationRefusedError("conflict", "another plan runs; abort it first")
            await self._operations.begin(plan_id, who)
            self._nudge()
            stored = await self._operations.plan(plan_id)
            assert stored is not None, "it was there"
        return _rebalance(stored, sight)

    async def abort(self, who: str) -> Rebalance:
        sight = await self._sight()
        for stored in await self._operations.running():
            if stored.kind != "rebalance":
                continue
            now = progress(stored.plan, sight.nodes, sight.shards)
            if await self._operations.end(stored.plan.plan_id, "aborted", who, outcome_of(now)):
                after = await self._operations.plan(stored.plan.plan_id)
                return _rebalance(after or stored, sight)
        raise OperationRefusedError("no_rebalance", "no plan runs")

    # -- one shard -----------------------------------------------------------------------------

    async def move(self, shard: int, to: str, who: str) -> None:
        sight = await self._sight()
        state = sight.shards[_known(shard)]
        node = self._usable(to, sight.nodes)
        if state.frozen:
            raise OperationRefusedError("shard_frozen", f"shard {shard} is frozen: {state.frozen}")
        if state.owner == node.instance:
            return
        plan = _plan_of_one(sight, shard, to)
        await self._operations.show(plan, "move")
        if not await self._operations.begin(plan.plan_id, who):
            raise OperationRefusedError("conflict", f"shard {shard} is on its way already")
        self._nudge()

    async def pin(self, shard: int, instance: str, who: str) -> None:
        self._usable(instance, (await self._sight()).nodes)
        await self._placement.pin(_known(shard), instance, who)
        self._nudge()

    async def unpin(self, shard: int, who: str) -> None:
        await self._placement.unpin(_known(shard), who)
        self._nudge()

    async def freeze(self, shard: int, reason: str, who: str) -> None:
        await self._placement.freeze(_known(shard), reason, who)

    async def unfreeze(self, shard: int, who: str) -> None:
        await self._placement.unfreeze(_known(shard), who)
        self._nudge()

    # -- one instance --------------------------------------------------------------------------

    async def drain(self, instance: str, who: str) -> None:
        await self._wish(instance, Wish(draining=True), who, "drain")

    async def undrain(self, instance: str, who: str) -> None:
        await self._wish(instance, Wish(), who, "undrain")

    async def evict(self, instance: str, who: str) -> None:
        nodes = (await self._sight()).nodes
        if not any(node.usable for node in nodes if node.instance != instance):
            raise OperationRefusedError("conflict", "nobody else could take its shards")
        await self._wish(instance, Wish(evicted=True), who, "evict")

    async def _wish(self, instance: str, wish: Wish, who: str, what: str) -> None:
        await self._sight()
        if self._roster.member(instance) is None and instance not in self._roster.wishes:
            raise OperationRefusedError("unknown_instance", f"there is no instance {instance}")
        await self._operations.wish(instance, wish, who, what)
        self._nudge()

    @staticmethod
    def _usable(instance: str, nodes: Collection[Node]) -> Node:
        for node in nodes:
            if node.instance == instance:
                if node.usable:
                    return node
                raise OperationRefusedError("conflict", f"{instance} is {node.state}")
        raise OperationRefusedError("unknown_instance", f"there is no instance {instance}")


def _known(shard: int) -> int:
    if not 0 <= shard < SLOT_COUNT:
        raise OperationRefusedError("unknown_shard", f"shards are 0 to {SLOT_COUNT - 1}")
    return shard


def _shard(state: ShardState) -> ShardView:
    return ShardView(
        shard=state.shard,
        epoch=state.epoch,
        owner=state.owner,
        desired=state.desired,
        pinned_to=state.pinned_to,
        frozen=state.frozen,
        rate=round(state.rate, 1),
        entities=state.entities,
    )


def _rebalance(stored: StoredPlan, sight: Sight) -> Rebalance:
    """A plan that has ended is as it was then: what moved since was not its doing."""
    outcome = stored.outcome
    if outcome is None:
        outcome = outcome_of(progress(stored.plan, sight.nodes, sight.shards))
    return Rebalance(
        plan_id=stored.plan.plan_id,
        state="running" if stored.state == "shown" else stored.state,
        begun_by=stored.begun_by,
        begun_at_ms=stored.begun_at_ms,
        moves=len(stored.plan.moves),
        done=outcome.done,
        open=outcome.open,
        broken=outcome.broken,
    )


def _plan_of_one(sight: Sight, shard: int, to: str) -> Plan:
    """A plan with one move, which is carried out as any other."""
    state = sight.shards[shard]
    basis = basis_of(sight.nodes, sight.shards)
    move = Move(
        shard=shard,
        epoch=state.epoch,
        from_=state.owner,
        to=to,
        reason="pinned",
        expected_pause_ms=Rules().pause_guess_ms,
    )
    after = dict(owners(sight.shards)) | {shard: to}
    return Plan(
        plan_id=digest_of((basis.digest, "move", shard, to)),
        based_on=basis.digest,
        moves=(move,),
        withdrawals=(),
        held=(),
        load_before=load_of(sight.nodes, sight.shards, owners(sight.shards)),
        load_after=load_of(sight.nodes, sight.shards, after),
        basis=basis,
    )
