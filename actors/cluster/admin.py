"""What operators see and do, on every instance.

All of it is read from the stored table and written to it, with who asked; the leader acts on what
is written. So every instance gives the same answers, and the loss of a leader loses no request.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from attrs import define

from actors.address import SLOT_COUNT
from actors.clock import Clock
from actors.cluster.admin_views import (
    ClusterView,
    InstanceView,
    LossView,
    OperationRefusedError,
    Rebalance,
    ShardView,
)
from actors.cluster.application import Stores
from actors.cluster.coordinator import ClusterPlanner, ClusterSnapshot, outcome_of
from actors.cluster.handoff import HandoffRequests
from actors.election.leadership import LeaderView
from actors.placement.contract import DesiredState, OperatorLogEntry, StoredPlan
from actors.placement.inputs import Node, Rules, ShardState
from actors.placement.plan import Move, Plan, digest_of, load_of, observe, owners, stale_reason

HANDOVERS_SHOWN = 50
"""As many as fit on a screen."""


@define(eq=False)
class ClusterAdmin:
    """Every method may raise :class:`~actors.cluster.admin_views.OperationRefusedError` and
    :class:`~actors.journal.contract.JournalError`. ``who`` is logged. ``announce`` tells every
    instance that the stored placement has changed."""

    _planner: ClusterPlanner
    _stores: Stores
    _clock: Clock
    _leader: Callable[[], LeaderView]
    _handoffs: HandoffRequests
    _announce: Callable[[], None]

    # -- views ---------------------------------------------------------------------------------

    async def view(self) -> ClusterView:
        """Return the cluster as the stored table and the heartbeats have it."""
        snapshot = await self._planner.snapshot()
        leader = self._leader()
        latest = await self._stores.operations.latest()
        heard_s = self._planner.members.heard_s
        now_s = self._clock.monotonic()
        return ClusterView(
            instances=[self._instance(node, snapshot) for node in snapshot.nodes],
            shards=[_shard(state) for state in snapshot.shards],
            leader=leader.holder.partition("@")[0],
            term=leader.term,
            age_ms=0 if heard_s is None else round((now_s - heard_s) * 1000),
            answered_by=self._planner.members.me.instance,
            rebalance=None if latest is None else _rebalance(latest, snapshot),
            handovers=list(self._handoffs.history)[:HANDOVERS_SHOWN],
        )

    def _instance(self, node: Node, snapshot: ClusterSnapshot) -> InstanceView:
        member = self._planner.members.member(node.instance)
        assert member is not None, "nodes are made from members"
        mine = [state for state in snapshot.shards if state.owner == node.instance]
        health = member.health
        return InstanceView(
            instance=node.instance,
            incarnation=node.incarnation,
            url=member.url,
            since_ms=member.since_ms,
            state=node.state,  # type: ignore[arg-type]  # one of the five words
            heard_ms_ago=round(self._planner.members.silent_s(node.instance) * 1000),
            shards=len(mine),
            rate=round(sum(state.rate for state in mine), 1),
            entities=sum(state.entities for state in mine),
            loop_lag_ms=round(health.loop_lag_ms, 1),
            commit_age_ms=health.commit_age_ms,
        )

    async def note(self, who: str, what: str, detail: Mapping[str, Any]) -> None:
        """Write a line of the audit trail about a change that is made elsewhere."""
        await self._stores.placement.log(who, what, detail)

    async def log(self, limit: int, before_id: int | None) -> Sequence[OperatorLogEntry]:
        """Return the newest lines of the audit trail, newest first."""
        return await self._stores.placement.logged(limit, before_id)

    # -- plans ---------------------------------------------------------------------------------

    async def plan(self) -> Plan:
        """Make a plan that evens the shards out, and keep it to be applied by its id."""
        snapshot = await self._planner.snapshot()
        plan = self._planner.plan(snapshot, exact=True)
        await self._stores.operations.show(plan, "rebalance")
        return plan

    async def apply(self, plan_id: str, who: str) -> Rebalance:
        """Begin a stored plan; for one that runs, return its progress. Refused as
        ``unknown_plan``, or as ``plan_stale`` if the cluster has changed since."""
        stored = await self._stores.operations.plan(plan_id)
        if stored is None:
            raise OperationRefusedError("unknown_plan", f"there is no plan {plan_id}; make one")
        snapshot = await self._planner.snapshot()
        if stored.state == "shown":
            if (why := stale_reason(stored.plan, snapshot.nodes, snapshot.shards)) is not None:
                raise OperationRefusedError("plan_stale", f"the cluster has changed: {why}")
            if any(one.kind == "rebalance" for one in await self._stores.operations.running()):
                raise OperationRefusedError("conflict", "another plan runs; abort it first")
            await self._stores.operations.begin(plan_id, who)
            self._announce()
            stored = await self._stores.operations.plan(plan_id)
            assert stored is not None, "it was there"
        return _rebalance(stored, snapshot)

    async def abort(self, who: str) -> Rebalance:
        """End the running plan. Shards that have moved stay. Refused as ``no_rebalance``."""
        snapshot = await self._planner.snapshot()
        for stored in await self._stores.operations.running():
            if stored.kind != "rebalance":
                continue
            now = snapshot.progress(stored.plan)
            if await self._stores.operations.end(
                stored.plan.plan_id, "aborted", who, outcome_of(now)
            ):
                after = await self._stores.operations.plan(stored.plan.plan_id)
                return _rebalance(after or stored, snapshot)
        raise OperationRefusedError("no_rebalance", "no plan runs")

    # -- one shard -----------------------------------------------------------------------------

    async def move(self, shard: int, to: str, who: str) -> None:
        """Begin to move one shard, once. Refused as ``unknown_shard``, ``unknown_instance``,
        ``shard_frozen`` or ``conflict``."""
        snapshot = await self._planner.snapshot()
        state = snapshot.shards[_known(shard)]
        node = self._usable(to, snapshot.nodes)
        if state.frozen:
            raise OperationRefusedError("shard_frozen", f"shard {shard} is frozen: {state.frozen}")
        if state.owner == node.instance:
            return
        plan = _plan_of_one(snapshot, shard, to)
        await self._stores.operations.show(plan, "move")
        if not await self._stores.operations.begin(plan.plan_id, who):
            raise OperationRefusedError("conflict", f"shard {shard} is on its way already")
        self._announce()

    async def pin(self, shard: int, instance: str, who: str) -> None:
        """Move a shard to an instance and keep it there."""
        self._usable(instance, (await self._planner.snapshot()).nodes)
        await self._stores.placement.pin(_known(shard), instance, who)
        self._announce()

    async def unpin(self, shard: int, who: str) -> None:
        """Let balancing place the shard again."""
        await self._stores.placement.pin(_known(shard), None, who)
        self._announce()

    async def freeze(self, shard: int, reason: str, who: str) -> None:
        """Keep a shard where it is, whatever the plan."""
        await self._stores.placement.freeze(_known(shard), reason, who)

    async def unfreeze(self, shard: int, who: str) -> None:
        """Let the shard move again."""
        await self._stores.placement.freeze(_known(shard), None, who)
        self._announce()

    # -- what the journal has lost -------------------------------------------------------------

    async def losses(self) -> Sequence[LossView]:
        """Return everything that was found lost, newest first."""
        return [
            LossView(
                shard=loss.shard,
                first_seq=loss.kept_seq + 1,
                last_seq=loss.seq,
                entities=loss.entities,
                noticed_by=loss.instance,
                noticed_at_ms=loss.noticed_at_ms,
                accepted_at_ms=loss.accepted_at_ms,
                accepted_by=loss.accepted_by,
            )
            for loss in await self._stores.placement.losses()
        ]

    async def accept_losses(self, shards: Collection[int] | None, who: str) -> Sequence[int]:
        """Let these shards, or all that wait, be served again without what they have lost; returns
        which. Refused as ``unknown_shard``, or as ``no_loss`` if one of them does not wait."""
        waiting = {loss.shard for loss in await self.losses() if loss.accepted_at_ms is None}
        wanted = waiting if shards is None else {_known(shard) for shard in shards}
        if not wanted <= waiting or not wanted:
            numbers = ", ".join(str(shard) for shard in sorted(wanted - waiting)) or "no shard"
            raise OperationRefusedError("no_loss", f"{numbers} waits for nobody to accept a loss")
        await self._stores.placement.accept_losses(wanted, who)
        self._announce()
        return sorted(wanted)

    # -- one instance --------------------------------------------------------------------------

    async def drain(self, instance: str, who: str) -> None:
        """Move all shards away from an instance, and give it none."""
        await self._desire(instance, DesiredState(draining=True), who, "drain")

    async def undrain(self, instance: str, who: str) -> None:
        """Give an instance shards again, also after an eviction."""
        await self._desire(instance, DesiredState(), who, "undrain")

    async def evict(self, instance: str, who: str) -> None:
        """Take an instance's shards over without asking it."""
        nodes = (await self._planner.snapshot()).nodes
        if not any(node.usable for node in nodes if node.instance != instance):
            raise OperationRefusedError("conflict", "nobody else could take its shards")
        await self._desire(instance, DesiredState(evicted=True), who, "evict")

    async def _desire(self, instance: str, state: DesiredState, who: str, what: str) -> None:
        await self._planner.snapshot()
        if (
            self._planner.members.member(instance) is None
            and instance not in self._planner.members.desired
        ):
            raise OperationRefusedError("unknown_instance", f"there is no instance {instance}")
        await self._stores.operations.desire(instance, state, who, what)
        self._announce()

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


def _rebalance(stored: StoredPlan, snapshot: ClusterSnapshot) -> Rebalance:
    """A plan that has ended is as it was then: what moved since was not its doing."""
    outcome = stored.outcome
    if outcome is None:
        outcome = outcome_of(snapshot.progress(stored.plan))
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


def _plan_of_one(snapshot: ClusterSnapshot, shard: int, to: str) -> Plan:
    """A plan with one move, which is carried out as any other."""
    state = snapshot.shards[shard]
    basis = observe(snapshot.nodes, snapshot.shards)
    move = Move(
        shard=shard,
        epoch=state.epoch,
        from_=state.owner,
        to=to,
        reason="pinned",
        expected_pause_ms=Rules().pause_guess_ms,
    )
    after = dict(owners(snapshot.shards)) | {shard: to}
    return Plan(
        plan_id=digest_of((basis.digest, "move", shard, to)),
        based_on=basis.digest,
        moves=(move,),
        withdrawals=(),
        held=(),
        load_before=load_of(snapshot.nodes, snapshot.shards, owners(snapshot.shards)),
        load_after=load_of(snapshot.nodes, snapshot.shards, after),
        basis=basis,
    )
