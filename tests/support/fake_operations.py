"""A cluster as dictionaries: real plans (the planner's own), moves that happen when they are told.

For tests of the operators' side, and for looking at the console without a cluster. ``trouble``
makes the next calls fail, ``moves_per_view`` lets some moves happen each time somebody looks.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

import msgspec

from actors.clock import Clock
from actors.cluster.admin import ClusterAdmin
from actors.cluster.admin_views import (
    ClusterView,
    Handover,
    InstanceView,
    LossView,
    OperationRefusedError,
    Rebalance,
    ShardView,
)
from actors.placement.contract import OperatorLogEntry
from actors.placement.inputs import Node, Pause, Rules, ShardState
from actors.placement.plan import Plan, make_plan, stale_reason
from tests.support.manual_clock import ManualClock

HANDOVERS_MAX = 50


class FakeInstance(msgspec.Struct):
    name: str
    run: int = 1
    draining: bool = False
    evicted: bool = False
    alive: bool = True

    @property
    def state(self) -> Literal["serving", "draining", "evicted", "dead"]:
        if self.evicted:
            return "evicted"
        if not self.alive:
            return "dead"
        return "draining" if self.draining else "serving"


class FakeOperations(ClusterAdmin):
    """Does what the service of a real cluster does, in memory."""

    def __init__(
        self,
        instances: Sequence[str] = ("a", "b", "c"),
        shards: int = 256,
        clock: Clock | None = None,
        moves_per_view: int = 0,
    ) -> None:
        self.clock = clock or ManualClock()
        self.moves_per_view = moves_per_view
        self.instances = {name: FakeInstance(name) for name in instances}
        self.shards = [
            ShardState(
                shard=number,
                epoch=1,
                owner=instances[number % len(instances)],
                desired=instances[number % len(instances)],
                rate=float(number % 7),
                entities=number % 11,
            )
            for number in range(shards)
        ]
        self.lines: list[OperatorLogEntry] = []
        self.lost: list[LossView] = []
        self.handovers: list[Handover] = []
        self.plans: dict[str, Plan] = {}
        self.rebalance: Rebalance | None = None
        self.trouble: Exception | None = None

    # -- what a test does to it --------------------------------------------------------------------

    def step(self, moves: int = 1) -> int:
        """So many of the moves under way come to their end; how many did."""
        made = 0
        for state in self.shards:
            if made == moves:
                break
            if state.desired not in ("", state.owner):
                self._hand_over(state)
                made += 1
        self._progress(made)
        return made

    def join(self, name: str) -> None:
        self.instances[name] = FakeInstance(name)

    # -- what operators ask ------------------------------------------------------------------------

    async def view(self) -> ClusterView:
        self._fail()
        if self.moves_per_view:
            self.step(self.moves_per_view)
        return ClusterView(
            instances=[self._view_of(each) for each in self.instances.values()],
            shards=[
                ShardView(
                    shard=s.shard,
                    epoch=s.epoch,
                    owner=s.owner,
                    desired=s.desired,
                    pinned_to=s.pinned_to,
                    frozen=s.frozen,
                    rate=s.rate,
                    entities=s.entities,
                )
                for s in self.shards
            ],
            leader=next(iter(self.instances), ""),
            term=3,
            age_ms=120,
            answered_by=next(iter(self.instances), ""),
            rebalance=self.rebalance,
            handovers=list(self.handovers),
        )

    async def plan(self) -> Plan:
        self._fail()
        plan = make_plan(self._nodes(), self.shards, Rules().exact(), self._pauses())
        self.plans[plan.plan_id] = plan
        return plan

    async def apply(self, plan_id: str, who: str) -> Rebalance:
        self._fail()
        running = self.rebalance
        if running is not None and running.plan_id == plan_id and running.state == "running":
            return running
        plan = self.plans.get(plan_id)
        if plan is None:
            raise OperationRefusedError("unknown_plan", "that plan is not kept; make a new one")
        why = stale_reason(plan, self._nodes(), self.shards)
        if why is not None:
            raise OperationRefusedError("plan_stale", why)
        for move in plan.moves:
            self._want(move.shard, move.to)
        self.rebalance = Rebalance(
            plan_id=plan_id,
            state="running" if plan.moves else "done",
            begun_by=who,
            begun_at_ms=self.clock.now_ms(),
            moves=len(plan.moves),
            done=0,
            open=len(plan.moves),
            broken=[],
        )
        self._log(who, "rebalance", {"plan": plan_id, "moves": len(plan.moves)})
        return self.rebalance

    async def abort(self, who: str) -> Rebalance:
        self._fail()
        if self.rebalance is None or self.rebalance.state != "running":
            raise OperationRefusedError("no_rebalance", "no plan is running")
        for state in list(self.shards):
            self._want(state.shard, state.owner)
        self.rebalance = msgspec.structs.replace(self.rebalance, state="aborted", open=0)
        self._log(who, "abort", {"plan": self.rebalance.plan_id})
        return self.rebalance

    async def move(self, shard: int, to: str, who: str) -> None:
        state = self._movable(shard, to)
        self._log(who, "move", {"shard": shard, "from": state.owner, "to": to})
        self._want(shard, to)

    async def pin(self, shard: int, instance: str, who: str) -> None:
        state = self._movable(shard, instance)
        self._log(who, "pin", {"shard": shard, "instance": instance})
        self.shards[shard] = msgspec.structs.replace(state, pinned_to=instance, desired=instance)

    async def unpin(self, shard: int, who: str) -> None:
        state = self._shard(shard)
        self._log(who, "unpin", {"shard": shard})
        self.shards[shard] = msgspec.structs.replace(state, pinned_to=None)

    async def freeze(self, shard: int, reason: str, who: str) -> None:
        state = self._shard(shard)
        self._log(who, "freeze", {"shard": shard, "reason": reason})
        self.shards[shard] = msgspec.structs.replace(state, frozen=reason)

    async def unfreeze(self, shard: int, who: str) -> None:
        state = self._shard(shard)
        self._log(who, "unfreeze", {"shard": shard})
        self.shards[shard] = msgspec.structs.replace(state, frozen="")

    async def drain(self, instance: str, who: str) -> None:
        self._known(instance).draining = True
        self._log(who, "drain", {"instance": instance})
        self._plan_anew()

    async def undrain(self, instance: str, who: str) -> None:
        found = self._known(instance)
        found.draining = found.evicted = False
        self._log(who, "undrain", {"instance": instance})

    async def evict(self, instance: str, who: str) -> None:
        self._known(instance).evicted = True
        self._log(who, "evict", {"instance": instance})
        self._plan_anew()

    async def losses(self) -> Sequence[LossView]:
        self._fail()
        return self.lost

    async def accept_losses(self, shards: Collection[int] | None, who: str) -> Sequence[int]:
        waiting = {loss.shard for loss in await self.losses() if loss.accepted_at_ms is None}
        wanted = waiting if shards is None else set(shards)
        if not wanted or not wanted <= waiting:
            raise OperationRefusedError("no_loss", "nothing waits there")
        self._log(who, "accept_loss", {"shards": sorted(wanted)})
        now_ms = self.clock.now_ms()
        self.lost = [
            msgspec.structs.replace(loss, accepted_at_ms=now_ms, accepted_by=who)
            if loss.shard in wanted
            else loss
            for loss in self.lost
        ]
        return sorted(wanted)

    async def note(self, who: str, what: str, detail: Mapping[str, Any]) -> None:
        self._fail()
        self._log(who, what, detail)

    async def log(self, limit: int, before_id: int | None) -> Sequence[OperatorLogEntry]:
        self._fail()
        below = [line for line in self.lines if before_id is None or line.id < before_id]
        return below[::-1][:limit]

    # -- how ---------------------------------------------------------------------------------------

    def _fail(self) -> None:
        if self.trouble is not None:
            raise self.trouble

    def _shard(self, shard: int) -> ShardState:
        self._fail()
        if not 0 <= shard < len(self.shards):
            raise OperationRefusedError("unknown_shard", f"there is no shard {shard}")
        return self.shards[shard]

    def _movable(self, shard: int, to: str) -> ShardState:
        state = self._shard(shard)
        self._known(to)
        if state.frozen:
            raise OperationRefusedError("shard_frozen", f"shard {shard} is frozen: {state.frozen}")
        return state

    def _known(self, instance: str) -> FakeInstance:
        self._fail()
        if instance not in self.instances:
            raise OperationRefusedError("unknown_instance", f"there is no instance {instance}")
        return self.instances[instance]

    def _want(self, shard: int, instance: str) -> None:
        self.shards[shard] = msgspec.structs.replace(self.shards[shard], desired=instance)

    def _plan_anew(self) -> None:
        for move in make_plan(self._nodes(), self.shards).moves:
            self._want(move.shard, move.to)

    def _hand_over(self, state: ShardState) -> None:
        source, to = state.owner, state.desired
        self.shards[state.shard] = msgspec.structs.replace(state, owner=to, epoch=state.epoch + 1)
        self.handovers.insert(
            0,
            Handover(
                shard=state.shard,
                from_=source,
                to=to,
                at_ms=self.clock.now_ms(),
                pause_ms=20.0 + state.shard % 30,
            ),
        )
        del self.handovers[HANDOVERS_MAX:]

    def _progress(self, made: int) -> None:
        running = self.rebalance
        if running is None or running.state != "running":
            return
        done = min(running.moves, running.done + made)
        self.rebalance = msgspec.structs.replace(
            running,
            done=done,
            open=running.moves - done,
            state="done" if done == running.moves else "running",
        )

    def _log(self, who: str, what: str, detail: Mapping[str, Any]) -> None:
        self.lines.append(
            OperatorLogEntry(len(self.lines) + 1, self.clock.now_ms(), who, what, dict(detail))
        )

    def _pauses(self) -> list[Pause]:
        return [Pause(each.shard, each.pause_ms) for each in self.handovers]

    def _nodes(self) -> list[Node]:
        return [
            Node(
                instance=each.name,
                incarnation=f"{each.name}@{each.run}",
                draining=each.draining,
                alive=each.alive,
                evicted=each.evicted,
            )
            for each in self.instances.values()
        ]

    def _view_of(self, each: FakeInstance) -> InstanceView:
        owned = [state for state in self.shards if state.owner == each.name]
        return InstanceView(
            instance=each.name,
            incarnation=f"{each.name}@{each.run}",
            url=f"http://{each.name}.internal:8080",
            since_ms=self.clock.now_ms() - 3_600_000,
            state=each.state,
            heard_ms_ago=400 if each.alive else 60_000,
            shards=len(owned),
            rate=sum(state.rate for state in owned),
            entities=sum(state.entities for state in owned),
            loop_lag_ms=0.4,
            commit_age_ms=12,
        )
