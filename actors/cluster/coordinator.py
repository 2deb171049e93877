"""The leader's work: decides where each shard ought to be, and in which order shards move.

It writes only ``desired``, under its term; each instance takes its shards by itself.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

from attrs import define, field
from msgspec.structs import replace

from actors.clock import Clock
from actors.cluster.application import Stores
from actors.cluster.membership_view import SILENT_MAX_S, MembershipView
from actors.journal.contract import JournalError
from actors.placement.contract import PlanOutcome
from actors.placement.inputs import Node, Pause, Rules, ShardState
from actors.placement.plan import Move, Plan, make_plan
from actors.placement.progress import Progress, next_moves, progress
from actors.tasks import comes

log = logging.getLogger(__name__)

ROUND_EVERY_S = 0.5
"""Between two rounds while shards are on the move, or could not be told to move."""

QUIET_S = 2.0
"""Between two rounds when nothing has changed but the rates, which are averages over 30 s."""

COALESCE_S = 0.25
"""Between a change of the membership and the plan for it: joins come in groups."""

THREAD_RATE_MIN = 1_000.0
"""Commands a second from which a plan may be worth a thread of its own: uneven rates make it take
up to 150 ms, and this loop serves callers too."""


class ClusterSnapshot(NamedTuple):
    """Instances and shards at a moment."""

    nodes: Sequence[Node]
    shards: Sequence[ShardState]
    pauses: Sequence[Pause]
    """How long callers were held back by recent hand-overs."""

    def progress(self, plan: Plan) -> Progress:
        """How far the cluster has got with a plan."""
        return progress(plan, self.nodes, self.shards)


@define(eq=False)
class ClusterPlanner:
    """Reads the cluster and plans its moves; ``pauses`` gives how long recent hand-overs took."""

    _stores: Stores
    members: MembershipView
    rules: Rules
    _pauses: Callable[[], Sequence[Pause]]

    async def snapshot(self) -> ClusterSnapshot:
        """Read the stored table and the heartbeats' loads. Raises :class:`JournalError`."""
        self.members.desired = await self._stores.operations.desired_states()
        table = await self._stores.placement.shards()
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


@define(eq=False)
class ShardCoordinator:
    """Works only while this instance leads. ``term`` gives its term, ``announce`` tells instances
    that there are shards for them to take."""

    _planner: ClusterPlanner
    _stores: Stores
    _clock: Clock
    _term: Callable[[], int | None]
    _announce: Callable[[Collection[str]], None]
    _kick: asyncio.Event = field(factory=asyncio.Event, init=False)
    _settling_until: float = field(default=0.0, init=False)
    rounds: int = field(default=0, init=False)
    """Rounds so far as the leader."""

    def kick(self) -> None:
        """Begin a round now: the table has changed."""
        self._kick.set()

    def membership_changed(self) -> None:
        """Begin a round as soon as the membership has settled."""
        self._settling_until = self._clock.monotonic() + COALESCE_S
        self._kick.set()

    async def run(self) -> None:
        """Plan and act while this instance leads, until cancelled."""
        while True:
            wait_s = self._settling_until - self._clock.monotonic()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            term, quiet = self._term(), False
            if term is not None:
                try:
                    quiet = await self._round(term)
                except JournalError as error:
                    log.info("the leader waits for the journal: %s", error)
            await comes(self._kick, QUIET_S if quiet else ROUND_EVERY_S)
            self._kick.clear()

    async def _round(self, term: int) -> bool:
        """Plan and write; whether there was nothing to do."""
        self.rounds += 1
        snapshot = await self._planner.snapshot()
        if self._too_early(snapshot):
            return False
        plan = await self._plan(snapshot)
        requested = await self._requested_moves(snapshot)
        moves, asked = _merged(plan, requested), {move.shard for move in requested}
        withdrawn = (one for one in plan.withdrawals if one.shard not in asked)
        desired = {one.shard: (one.epoch, one.owner) for one in withdrawn}
        in_flight = [m for m in moves if _under_way(m, snapshot.shards)]
        for move in next_moves(moves, in_flight, self._planner.rules):
            desired[move.shard] = (move.epoch, move.to)
        if desired:
            await self._write(term, desired)
        return not (moves or desired)

    def _too_early(self, snapshot: ClusterSnapshot) -> bool:
        """Whether shards have owners not seen yet: an emptied store waits for heartbeats."""
        known = {node.instance for node in snapshot.nodes}
        strangers = any(state.owner not in known for state in snapshot.shards if state.owner)
        return strangers and self._planner.members.watched_s < SILENT_MAX_S

    async def _plan(self, snapshot: ClusterSnapshot) -> Plan:
        if sum(state.rate for state in snapshot.shards) < THREAD_RATE_MIN:
            return self._planner.plan(snapshot)
        return await asyncio.to_thread(self._planner.plan, snapshot)

    async def _requested_moves(self, snapshot: ClusterSnapshot) -> list[Move]:
        """The open moves of plans that operators started; plans without open moves are ended."""
        moves: list[Move] = []
        for stored in await self._stores.operations.running():
            now = snapshot.progress(stored.plan)
            moves += now.open
            if not now.open:
                plan_id = stored.plan.plan_id
                await self._stores.operations.end(plan_id, "done", "leader", outcome_of(now))
        return moves

    async def _write(self, term: int, desired: Mapping[int, tuple[int, str]]) -> None:
        written = await self._stores.placement.write_desired(term, desired)
        if written.current:
            self._announce(sorted({desired[shard][1] for shard in written.shards}))
        else:
            log.warning("term %d is over: nothing was written", term)


def _under_way(move: Move, shards: Sequence[ShardState]) -> bool:
    state = shards[move.shard]
    return state.desired == move.to and state.owner != move.to


def _merged(plan: Plan, requested: Sequence[Move]) -> list[Move]:
    """Of two moves of one shard the operator's counts, unless nobody serves the shard."""
    by_shard = {move.shard for move in requested}
    first = [m for m in plan.moves if m.takeover or m.shard not in by_shard]
    taken = {move.shard for move in first}
    return first + [move for move in requested if move.shard not in taken]
