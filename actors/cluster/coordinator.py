"""The leader's work: says where each shard ought to be, and in which order shards get there.

Only ``desired`` is written, under the leader's term; who ought to own a shard then takes it by
itself. So nothing is lost with a leader: the next one looks at the same table and goes on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

from actors.clock import Clock
from actors.cluster.roster import SILENT_MAX_S, Roster
from actors.cluster.stores import Stores
from actors.journal.contract import JournalError
from actors.placement.inputs import Node, Pause, Rules, ShardState
from actors.placement.pace import Progress, next_moves, progress
from actors.placement.plan import Move, Plan, make_plan
from actors.placement.stores.contract import PlacedShard
from actors.placement.stores.operations import Outcome, StoredPlan

log = logging.getLogger(__name__)

ROUND_EVERY_S = 0.5
"""Between two looks when nothing is said to have changed."""

COALESCE_S = 0.25
"""Between a change among the instances and the plan for it: joins come in groups."""

THREAD_RATE_MIN = 1_000.0
"""Commands a second from which a plan may be worth a thread of its own: uneven rates make it take
up to 150 ms, and this loop serves callers too."""


class Sight(NamedTuple):
    """What a plan is made from."""

    nodes: Sequence[Node]
    shards: Sequence[ShardState]


def sight_of(table: Sequence[PlacedShard], roster: Roster) -> Sight:
    """The stored table, with what the owners' heartbeats say of load."""
    loads = {
        shard: (rate, entities)
        for member in roster.members()
        if roster.alive(member.instance)
        for shard, rate, entities in member.health.loads
    }
    states = [placed.state(*loads.get(placed.shard, (0.0, 0))) for placed in table]
    return Sight(roster.nodes(), states)


def outcome_of(now: Progress) -> Outcome:
    """What is kept of a plan's progress when it ends."""
    broken = tuple(f"shard {one.move.shard}: {one.why}" for one in now.broken)
    return Outcome(len(now.done), len(now.open), broken)


class Coordinator:
    """One instance's; it does nothing but while this instance leads. ``tell`` wakes an instance
    that has something to take."""

    def __init__(
        self,
        stores: Stores,
        roster: Roster,
        clock: Clock,
        *,
        term: Callable[[], int | None],
        pauses: Callable[[], Sequence[Pause]],
        tell: Callable[[Collection[str]], None],
        rules: Rules | None = None,
    ) -> None:
        self._placement = stores.placement
        self._operations = stores.operations
        self._roster = roster
        self._clock = clock
        self._term = term
        self._pauses = pauses
        self._tell = tell
        self._rules = rules or Rules()
        self._kick = asyncio.Event()
        self._settling_until = 0.0
        self.rounds = 0

    def kick(self) -> None:
        """Something has changed in the table."""
        self._kick.set()

    def roster_changed(self) -> None:
        """Somebody came or went."""
        self._settling_until = self._clock.monotonic() + COALESCE_S
        self._kick.set()

    async def run(self) -> None:
        """Plan and act, while this instance leads."""
        while True:
            wait_s = self._settling_until - self._clock.monotonic()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            term = self._term()
            if term is not None:
                try:
                    await self._round(term)
                except JournalError as error:
                    log.info("the leader waits for the journal: %s", error)
            try:
                async with asyncio.timeout(ROUND_EVERY_S):
                    await self._kick.wait()
            except TimeoutError:
                continue
            finally:
                self._kick.clear()

    async def _round(self, term: int) -> None:
        self.rounds += 1
        self._roster.wishes = await self._operations.wishes()
        sight = sight_of(await self._placement.shards(), self._roster)
        if self._too_early(sight):
            return
        plan = await self._plan(sight)
        begun = await self._running(sight)
        moves = _merged(plan, begun)
        desired = {w.shard: (w.epoch, w.owner) for w in plan.withdrawals}
        in_flight = [m for m in moves if _under_way(m, sight.shards)]
        for move in next_moves(moves, in_flight, self._rules):
            desired[move.shard] = (move.epoch, move.to)
        if desired:
            await self._write(term, desired)

    def _too_early(self, sight: Sight) -> bool:
        """Whether shards have owners that this run has not met and may just not have met yet: when
        the membership's store has come back empty, they need a heartbeat to be seen again."""
        known = {node.instance for node in sight.nodes}
        strangers = any(state.owner not in known for state in sight.shards if state.owner)
        return strangers and self._roster.watched_s < SILENT_MAX_S

    async def _plan(self, sight: Sight) -> Plan:
        pauses = self._pauses()
        rate = sum(state.rate for state in sight.shards)
        if rate < THREAD_RATE_MIN:
            return make_plan(sight.nodes, sight.shards, self._rules, pauses)
        return await asyncio.to_thread(make_plan, sight.nodes, sight.shards, self._rules, pauses)

    async def _running(self, sight: Sight) -> list[Move]:
        """The open moves of plans that operators let run; those that are through are ended."""
        moves: list[Move] = []
        for stored in await self._operations.running():
            now = progress(stored.plan, sight.nodes, sight.shards)
            if now.open:
                moves += now.open
            else:
                await self._end(stored, outcome_of(now))
        return moves

    async def _end(self, stored: StoredPlan, outcome: Outcome) -> None:
        await self._operations.end(stored.plan.plan_id, "done", "leader", outcome)

    async def _write(self, term: int, desired: Mapping[int, tuple[int, str]]) -> None:
        written = await self._placement.write_desired(term, desired)
        if not written.current:
            log.warning("term %d is over: nothing was written", term)
            return
        self._tell(sorted({desired[shard][1] for shard in written.shards}))


def _under_way(move: Move, shards: Sequence[ShardState]) -> bool:
    state = shards[move.shard]
    return state.desired == move.to and state.owner != move.to


def _merged(plan: Plan, begun: Sequence[Move]) -> list[Move]:
    """What has to be done for order's sake comes before what operators asked for, and of two moves
    of one shard the operators' counts, unless nobody serves it."""
    asked = {move.shard: move for move in begun}
    first = [m for m in plan.moves if m.takeover or m.shard not in asked]
    taken = {move.shard for move in first}
    return first + [move for move in begun if move.shard not in taken]
