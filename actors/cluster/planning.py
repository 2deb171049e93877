"""The cluster as it is at a moment, and the plans made from that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from actors.cluster.application import Stores
from actors.cluster.membership_view import MembershipView
from actors.placement.contract import PlanOutcome
from actors.placement.inputs import Node, Pause, Rules, ShardState
from actors.placement.plan import Plan, make_plan
from actors.placement.progress import Progress, progress


class ClusterSnapshot(NamedTuple):
    """Instances and shards at a moment."""

    nodes: Sequence[Node]
    shards: Sequence[ShardState]
    pauses: Sequence[Pause]
    """How long callers were held back by recent hand-overs."""

    def progress(self, plan: Plan) -> Progress:
        """How far the cluster has got with a plan."""
        return progress(plan, self.nodes, self.shards)


class ClusterPlanner:
    """``pauses`` gives how long recent hand-overs took."""

    def __init__(
        self,
        stores: Stores,
        members: MembershipView,
        rules: Rules,
        pauses: Callable[[], Sequence[Pause]],
    ) -> None:
        self._placement = stores.placement
        self._operations = stores.operations
        self.members = members
        self.rules = rules
        self._pauses = pauses

    async def snapshot(self) -> ClusterSnapshot:
        """Read the stored table, and add the load that owners report in their heartbeats. Raises
        :class:`~actors.journal.contract.JournalError`."""
        self.members.desired = await self._operations.desired_states()
        table = await self._placement.shards()
        loads = {
            shard: {"rate": rate, "entities": entities}
            for member in self.members.members()
            if self.members.alive(member.instance)
            for shard, rate, entities in member.health.loads
        }
        states = [
            replace(placed, **loads[placed.shard]) if placed.shard in loads else placed
            for placed in table
        ]
        return ClusterSnapshot(self.members.nodes(), states, self._pauses())

    def plan(self, snapshot: ClusterSnapshot, *, exact: bool = False) -> Plan:
        """The moves that balance the cluster; with ``exact`` as evenly as whole shards allow."""
        rules = self.rules.exact() if exact else self.rules
        return make_plan(snapshot.nodes, snapshot.shards, rules, snapshot.pauses)


def outcome_of(now: Progress) -> PlanOutcome:
    """What is stored of a plan's progress when it ends."""
    broken = tuple(f"shard {one.move.shard}: {one.why}" for one in now.broken)
    return PlanOutcome(len(now.done), len(now.open), broken)
