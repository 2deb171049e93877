"""Instances of the service: the whole application but its edge, each in a process that can stand
still or die, on connections that can fail."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextvars import Context
from random import Random
from typing import Any

import msgspec

from actors.address import Address
from actors.behaviour import Behaviour, Decision, Turn
from actors.cluster.application import TIMES
from actors.core.context import Limits
from actors.journal.contract import Loaded
from actors.membership.contract import Member
from actors.peers.link import ServerContext
from actors.subscription import Change
from actors.transport import Answer, Transport
from booking.app import App
from booking.catalogue.domain import Catalogue
from booking.identity import Identity
from booking.instance.stores import Stores
from booking.instance.views import Projections
from booking.queue.domain.events import Entered, Joined
from tests.simulation.database import Databases
from tests.simulation.plan import Rules
from tests.support.faulty import (
    FaultyElection,
    FaultyJournal,
    FaultyMembership,
    FaultyOperations,
    FaultyPlacement,
)
from tests.support.instance import IDENTITY, settings
from tests.support.network import LIMITS, Door, Line, Network
from tests.support.standstill import Process
from tests.support.twins.catalogue import MemoryCatalogue
from tests.support.virtual_time import VirtualClock

JOURNAL_LATENCY_S = 0.002
STOP_MAX_S = 12.0


class SlowFolds(FaultyJournal):
    """Afterwards the process is busy for ``fold_s``: it folds what it has read, in one piece."""

    fold_s = 0.0
    process: Process

    async def load(self, addresses: Sequence[Address], *, whole: bool = False) -> list[Loaded]:
        loaded = await super().load(addresses, whole=whole)
        if self.fold_s and any(each.rows for each in loaded) and not self.process.stopped:
            self.process.stop()
            # Not in the process' own context, where it would wait for itself.
            loop = asyncio.get_running_loop()
            loop.call_later(self.fold_s, self.process.go_on, context=Context())
        return loaded


class Instance:
    """One run of an instance."""

    def __init__(
        self,
        databases: Databases,
        network: Network,
        catalogue: Catalogue,
        rules: Rules,
        random: Random,
        name: str,
        run: int,
        identity: Identity = IDENTITY,
    ) -> None:
        self.name = name
        self.random = random
        self.network = network
        self.process = Process()
        self.clock = VirtualClock()
        self.journal = SlowFolds(databases.store, latency_s=JOURNAL_LATENCY_S)
        self.journal.process = self.process
        self.placement = FaultyPlacement(databases.tables)
        self.operations = FaultyOperations(databases.tables)
        self.standby = FaultyMembership(databases.standby)
        redis = databases.redis(identity.cluster)
        self.membership = FaultyMembership(redis.members)
        self.election = FaultyElection(redis.ballot, ttl_s=TIMES.key_ttl_s)
        self.line: Line
        self.delay: Callable[[], float] = lambda: 0.0
        """For how many seconds a step of a call is held up before and after it is done."""
        self.held_up_s = 0.0
        """For how long a fault held its steps up, all in all."""
        self.unread: list[float] = []
        """When a fault kept it from reading an event."""
        self.crashes_known = 0
        """So many crashes are due to what the store has lost."""
        self.folds_to_fail = [0]
        self.known: dict[Address, Any] = {}
        """What its views know."""
        self.gaps: list[str] = []
        """What its views were not told of."""
        self.calls: set[asyncio.Task[Any]] = set()
        self.alive = False
        self.listening = True
        """Clients still get to it."""
        self.app = App(
            settings(
                instance=name,
                advertise_url=f"http://{name}-{run}:1",
                hold_seconds=rules.hold_s,
                rehold_seconds=1,
                max_holds=2,
                active_seconds=rules.active_s,
                queue_max_active=rules.inside_max,
                queue_admit_per_minute=rules.admit_per_minute,
                queue_idle_seconds=20,
            ),
            Stores(
                journal=self.journal,
                placement=self.placement,
                operations=self.operations,
                membership=self.membership,
                standby=self.standby,
                election=self.election,
                catalogue=MemoryCatalogue(catalogue),
            ),
            self._links_of,
            self.clock,
            identity=identity,
            limits=Limits(
                entities_max=rules.entities_max,
                snapshot_bytes_min=rules.snapshot_bytes_min,
                outcomes_max=rules.outcomes_max,
                batch_rows_max=rules.batch_rows_max,
            ),
            draw=random.random,
            seed=lambda: random.randbytes(8).hex(),
        )
        self.app.node.runtime._context.random.seed(random.random())
        self._hold_up_steps()
        self._follow_views()

    def _links_of(
        self, member: Member
    ) -> Callable[[Callable[[str], str | None], Callable[[str], Behaviour]], Transport]:
        def links(
            url_of: Callable[[str], str | None], behaviour_of: Callable[[str], Behaviour]
        ) -> Transport:
            self.line = Line(self.network, member.url, self.clock, url_of, behaviour_of)
            return self.line

        return links

    def _hold_up_steps(self) -> None:
        router = self.app.node.router
        plain = router.ask

        async def late(*arguments: Any, **options: Any) -> Answer:
            await self._hold_up()
            answer = await plain(*arguments, **options)
            await self._hold_up()
            return answer

        router.ask = late  # type: ignore[method-assign]

    async def _hold_up(self) -> None:
        if late_s := self.delay():
            await asyncio.sleep(late_s)
            self.held_up_s += late_s

    def _follow_views(self) -> None:
        """What views are told has no gap: each change follows on the state that was known."""
        (views,) = (
            each
            for each in self.app.node.runtime._context.subscriptions
            if isinstance(each, Projections)
        )
        known = self.known
        loaded, committed = views.loaded, views.committed

        def follow_load(address: Address, state: Any, seq: int, epoch: int) -> None:
            known[address] = state
            loaded(address, state, seq, epoch)

        def follow(change: Change) -> None:
            address = change.address
            if address in known and change.events:
                state = known[address]
                for event in change.events:
                    state = self.behaviour(address.kind).evolve(state, event)
                known[address] = state
                if change.state is not None and change.state != state:
                    self.gaps.append(f"{address.text} has {state}, and it is {change.state}")
            elif change.state is not None:
                known[address] = change.state
            try:
                committed(change)
            except Exception as error:
                self.gaps.append(f"{address.text}: {error!r}")
                raise

        views.loaded, views.committed = follow_load, follow  # type: ignore[method-assign]
        views.kinds_loaded = None  # type: ignore[misc,assignment]

    # -- life ----------------------------------------------------------------------------------

    @property
    def incarnation(self) -> str:
        return self.app.member.incarnation

    @property
    def taken_s(self) -> float:
        """How much time faults have taken from its calls, all in all."""
        return self.process.stood_s + self.held_up_s

    @property
    def crashes_unexplained(self) -> int:
        """Crashes that no fault has made happen."""
        crashes = self.app.node.runtime.health.statistics().crashes
        return crashes - len(self.unread) - self.crashes_known

    @property
    def databases(self) -> Sequence[Any]:
        """Its connections to PostgreSQL."""
        return self.journal, self.placement, self.operations, self.standby

    @property
    def redis(self) -> Sequence[Any]:
        return self.membership, self.election

    async def start(self) -> None:
        """Join the others; raises what the stores raise."""
        node, url = self.app.node, self.app.member.url
        self.alive = True
        self.network.doors[url] = Door(
            self.name,
            ServerContext(
                node.ask_here,
                node.availability.owner_of,
                self.line.codec,
                self.clock,
                LIMITS,
                None,
                node.replication.streams.hurry,
            ),
            self.process.context,
        )
        await self.process.spawn(self._start())

    async def _start(self) -> None:
        await self.app.load_catalogue()
        await self.app.start()

    async def kill(self) -> None:
        """As kill -9: what is not in the journal is gone, and nobody is told."""
        self._end()
        for store in (*self.databases, *self.redis):
            store.resume()
            store.go_away()
        self.process.go_on()
        await self.process.spawn(self.app.node.stop(timeout_s=0.0))
        await self.process.spawn(self.app.close())

    async def stop(self) -> None:
        """As SIGTERM: everything is handed over first."""
        self.app.readiness.draining = True
        await self.process.spawn(self.app.node.drain(STOP_MAX_S))
        if self.alive:
            await self.process.spawn(self.app.node.stop(timeout_s=5.0))
            self._end()
            await self.process.spawn(self.app.close())

    def _end(self) -> None:
        """The process is gone, and so are the connections of its callers."""
        self.alive = False
        self.network.remove(self.app.member.url)
        for call in list(self.calls):
            call.cancel()

    # -- faults --------------------------------------------------------------------------------

    def stand_still(self) -> None:
        """As SIGSTOP."""
        self.process.stop()
        self.listening = False
        self.network.cut(self.name)

    def go_on(self) -> None:
        self.listening = True
        self.network.mend(self.name)
        self.process.go_on()

    def behaviour(self, kind: str) -> Any:
        """The behaviour of a kind, to be made a fool of."""
        return self.app.node.runtime.behaviour(kind)

    def fail_folds(self, count: int) -> None:
        """The next entities that are folded cannot be, once each."""
        self.folds_to_fail = left = [count]
        for kind in ("account", "seat", "ledger", "queue"):
            behaviour = self.behaviour(kind)
            behaviour.decode_event = self._failing(behaviour.decode_event, left)

    def write_older(self) -> None:
        """As the release before: who comes in at once has two events, not one."""
        behaviour = self.behaviour("queue")
        decide = behaviour.decide

        def older(turn: Turn) -> Decision:
            decision: Decision = decide(turn)
            decision.events = [two for event in decision.events for two in _older(event)]
            return decision

        behaviour.decide = older

    def read_only_older(self) -> None:
        """As the release before that one: it does not know the one event at all."""
        self.write_older()
        behaviour = self.behaviour("queue")
        decode = behaviour.decode_event

        def older(event_type: str, version: int, payload: bytes) -> Any:
            if event_type == "Entered":
                self.unread.append(self.clock.monotonic())
                raise msgspec.ValidationError("Invalid value 'Entered' - at `$.type`")
            return decode(event_type, version, payload)

        behaviour.decode_event = older

    def _failing(
        self, decode: Callable[[str, int, bytes], Any], left: list[int]
    ) -> Callable[[str, int, bytes], Any]:
        def failing(event_type: str, version: int, payload: bytes) -> Any:
            if left[0] > 0:
                left[0] -= 1
                self.unread.append(self.clock.monotonic())
                raise MemoryError("ordered by a test")
            return decode(event_type, version, payload)

        return failing


def _older(event: tuple[Address, Any]) -> list[tuple[Address, Any]]:
    address, entered = event
    if not isinstance(entered, Entered):
        return [event]
    joined = Joined(entered.user, entered.number, entered.at_ms, entered.attempt)
    return [(address, joined), (address, entered.admitted)]
