"""A cluster on one virtual-time loop: whole nodes over in-memory twins, and what befalls them."""

from __future__ import annotations

import asyncio
from collections import Counter as Tally
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from actors.address import SLOT_COUNT, Address
from actors.behaviour import Behaviour, Folded
from actors.cluster.application import TIMES, Application, ClusterOptions, Stores
from actors.cluster.node import ClusterNode
from actors.core.context import Limits
from actors.errors import UnavailableError
from actors.journal.memory import MemoryStore
from actors.membership.contract import Member
from actors.peers.link import ServerContext
from actors.placement.inputs import Rules
from actors.subscription import Change
from actors.transport import Answer, Transport
from tests.support.faulty import (
    FaultyElection,
    FaultyElectionStore,
    FaultyJournal,
    FaultyMembership,
    FaultyMembershipStore,
    FaultyOperations,
    FaultyPlacement,
    FaultyTables,
)
from tests.support.network import LIMITS, Door, Line, Network
from tests.support.runtimes import Views, until
from tests.support.standstill import Process
from tests.support.toys import Alarm, Bank, Counter, Pair
from tests.support.virtual_time import VirtualClock

REPLICATED = {"counter": True, "bank": False}
"""Views of counters are made of states, those of the bank of events."""
JOURNAL_LATENCY_S = 0.002
STOP_MAX_S = 20.0


class FollowedViews(Views):
    """What a subscription is told. It follows without a gap: each change follows on the state
    that was known."""

    def __init__(self, behaviours: Sequence[Behaviour], on_lost: Callable[[int], None]) -> None:
        super().__init__()
        self._behaviours = {behaviour.kind: behaviour for behaviour in behaviours}
        self._on_lost = on_lost
        self.known: dict[Address, Any] = {}
        self.gaps: list[str] = []

    def loaded(self, address: Address, state: Any, seq: int, epoch: int) -> None:
        super().loaded(address, state, seq, epoch)
        self.known[address] = state

    def committed(self, change: Change) -> None:
        super().committed(change)
        address, state = change.address, change.state
        if address not in self.known:
            self.gaps.append(f"{address.text}: a change of something unknown")
        for event in change.events:
            after = self._behaviours[address.kind].evolve(self.known.get(address), event)
            self.known[address] = after
        if state is not None and self.known[address] != state:
            self.gaps.append(f"{address.text}: {self.known[address]}, and it is {state}")

    def lost(self, shard: int) -> None:
        super().lost(shard)
        self._on_lost(shard)


class Node:
    """One run of an instance, with the things a test looks at."""

    def __init__(
        self, nodes: Nodes, name: str, run: int, limits: Limits | None, rules: Rules | None
    ) -> None:
        self.name = name
        self.incarnation = f"{name}@{run}"
        self.url = f"memory://{self.incarnation}"
        self.nodes = nodes
        self.process = Process()
        self.clock = VirtualClock()
        self.journal = FaultyJournal(nodes.store, latency_s=JOURNAL_LATENCY_S)
        self.placement = FaultyPlacement(nodes.tables)
        self.operations = FaultyOperations(nodes.tables)
        self.membership = FaultyMembership(nodes.members)
        self.standby = FaultyMembership(nodes.standby)
        self.election = FaultyElection(nodes.ballot, ttl_s=TIMES.key_ttl_s)
        self.counter, self.alarm, self.pair, self.bank = Counter(), Alarm(), Pair(), Bank()
        behaviours: list[Behaviour] = [self.counter, self.alarm, self.pair, self.bank]
        self.views = FollowedViews(behaviours, self._lost)
        self.told: list[tuple[str, bytes]] = []
        self.gained: list[int] = []
        self.superseded = False
        """A later run of the same name has claimed a shard."""
        self._stood_until_s = 0.0
        self.line: Line
        self.stores = Stores(
            journal=self.journal,
            placement=self.placement,
            operations=self.operations,
            membership=self.membership,
            standby=self.standby,
            election=self.election,
        )
        self.node = ClusterNode(
            Member(self.name, self.incarnation, self.url, self.clock.now_ms()),
            self.stores,
            Application(
                behaviours=behaviours,
                subscriptions=[self.views],
                replicated=REPLICATED,
                on_gained=self._gained,
                on_message=lambda topic, body: self.told.append((topic, body)),
            ),
            self.clock,
            self._make_links,
            ClusterOptions(limits=limits or Limits(), rules=rules or Rules()),
        )

    def _make_links(
        self, url_of: Callable[[str], str | None], behaviour_of: Callable[[str], Behaviour]
    ) -> Transport:
        self.line = Line(self.nodes.network, self.url, self.clock, url_of, behaviour_of)
        return self.line

    def _gained(self, shards: Collection[int]) -> None:
        """As the application does: what is shown is to be in memory where it is decided."""
        self.gained.extend(shards)
        if mine := [address for address in self.views.known if address.slot in shards]:
            self.process.spawn(self._load(mine))

    async def _load(self, addresses: Sequence[Address]) -> None:
        held = [address for address in addresses if self.node.runtime.shards.holds(address.slot)]
        try:
            await self.node.runtime.load_state(held)
        except UnavailableError:
            await asyncio.sleep(0.2)
            if not self.node.failures[1].done() and self in self.nodes.alive:
                await self._load(held)

    def show(self, addresses: Sequence[Address]) -> None:
        """Keep views of these."""
        self.node.replication.replicas.track(addresses)
        self.process.spawn(self._load(addresses))

    def _lost(self, shard: int) -> None:
        lease = self.nodes.store.leases[shard]
        if lease.owner == self.name and lease.incarnation != self.incarnation:
            self.superseded = True
        self.node.sharding.allocator.kick()

    async def start(self) -> None:
        self.nodes.network.doors[self.url] = Door(
            self.name,
            ServerContext(
                self.node.ask_here,
                self.node.availability.owner_of,
                self.line.codec,
                self.clock,
                LIMITS,
                None,
                self.node.replication.streams.hurry,
            ),
            self.process.context,
        )
        await self.process.spawn(self.node.start())

    # -- asking --------------------------------------------------------------------------------

    def ask(self, address: Address, command: Any, **options: Any) -> asyncio.Task[Answer]:
        """By a client of this instance."""
        return self.process.spawn(self._ask(address, command, options))

    async def _ask(self, address: Address, command: Any, options: dict[str, Any]) -> Answer:
        return await self.node.router.ask(address, command, **options)

    async def reply(self, address: Address, command: Any, **options: Any) -> Any:
        return (await self.ask(address, command, **options)).reply

    @property
    def shards(self) -> dict[int, int]:
        """Those it serves, with their epochs."""
        return self.node.runtime.shards.epochs()

    @property
    def leads(self) -> bool:
        return self.node.sharding.leader.term is not None

    # -- faults --------------------------------------------------------------------------------

    @property
    def connections(self) -> Sequence[Any]:
        """To all stores."""
        return (
            self.journal, self.placement, self.operations, self.membership, self.standby,
            self.election,
        )  # fmt: skip

    def stood_since(self, then_s: float) -> bool:
        """Whether it stood still at some time since then."""
        return self._stood_until_s > then_s

    def lose_journal(self) -> None:
        """Of all instances only this one reaches PostgreSQL no more: no store that lives in it."""
        for store in (self.journal, self.placement, self.operations, self.standby):
            store.go_away()

    def find_journal(self) -> None:
        for store in (self.journal, self.placement, self.operations, self.standby):
            store.come_back()

    def stand_still(self) -> None:
        """As SIGSTOP."""
        self.process.stop()
        self.nodes.network.cut(self.name)

    def go_on(self) -> None:
        self._stood_until_s = self.clock.monotonic()
        self.nodes.network.mend(self.name)
        self.process.go_on()


class Nodes:
    """The stores, the network, and the instances that live."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.store = MemoryStore(self.clock)
        self.tables = FaultyTables(self.store, self.clock)
        self.members = FaultyMembershipStore(self.clock)
        self.standby = FaultyMembershipStore(self.clock)
        self.ballot = FaultyElectionStore(self.clock)
        self.network = Network()
        self.alive: list[Node] = []
        self.all: list[Node] = []
        self.runs: Tally[str] = Tally()

    def new(self, name: str, *, limits: Limits | None = None, rules: Rules | None = None) -> Node:
        self.runs[name] += 1
        node = Node(self, name, self.runs[name], limits, rules)
        self.alive.append(node)
        self.all.append(node)
        return node

    async def start(self, *names: str, **options: Any) -> list[Node]:
        """Start these, and wait until all shards are served evenly."""
        started = [self.new(name, **options) for name in names]
        for node in started:
            await node.start()
        await self.settled()
        return started

    async def settled(self, wait_max_s: float = 60.0) -> float:
        """Until everybody finds all shards served where they ought to be; returns how long it
        took."""
        began = self.clock.monotonic()
        while not self.is_settled():
            assert self.clock.monotonic() - began < wait_max_s, self.problems()
            await asyncio.sleep(0.02)
        return self.clock.monotonic() - began

    def problems(self) -> list[str]:
        return [f"{node.incarnation}: {node.node.availability.problem()}" for node in self.alive]

    def is_settled(self) -> bool:
        if any(node.node.availability.problem() is not None for node in self.alive):
            return False
        served = self.owners()
        return len(served) == SLOT_COUNT and self._even() and self._desired() == served

    def _desired(self) -> dict[int, str]:
        return {shard: row.desired for shard, row in enumerate(self.tables.shards)}

    def _even(self) -> bool:
        """Within the slack of balance, unless an operator wants it otherwise."""
        desired = self.tables.desired_states
        usable = [
            node
            for node in self.alive
            if not ((row := desired.get(node.name)) and (row.draining or row.evicted))
        ]
        if any(row.pinned_to or row.frozen for row in self.tables.shards):
            return True
        share = SLOT_COUNT / max(len(usable), 1)
        return all(abs(len(node.shards) - share) <= share * 0.1 + 1 for node in usable)

    def owners(self) -> dict[int, str]:
        """Who serves what, by the instances' own word; nobody serves an epoch that another does, or
        one that the store has not granted."""
        owners: dict[int, str] = {}
        for node in self.alive:
            for shard, epoch in node.shards.items():
                lease = self.store.leases[shard]
                if (lease.epoch, lease.incarnation) == (epoch, node.incarnation):
                    assert shard not in owners, f"shard {shard} is served twice"
                    owners[shard] = node.name
        return owners

    def counts(self) -> dict[str, int]:
        tally = Tally(self.owners().values())
        return {node.name: tally[node.name] for node in self.alive}

    def orders_running(self) -> bool:
        """A plan or a move that an operator began is not through."""
        return any(stored.state == "running" for stored in self.tables.plans.values())

    def leader(self) -> Node | None:
        return next((node for node in self.alive if node.leads), None)

    def owner(self, address: Address) -> Node:
        """The node that serves this entity."""
        name = self.owners()[address.slot]
        return next(node for node in self.alive if node.name == name)

    def others(self, node: Node) -> list[Node]:
        return [other for other in self.alive if other is not node]

    def state(self, address: Address) -> Any:
        """What the journal says."""
        behaviour = next(b for b in (Counter(), Alarm(), Pair(), Bank()) if b.kind == address.kind)
        folded = Folded(behaviour, behaviour.initial(address))
        for row in self.store.events(address):
            folded.add(row, folded.decode(row))
        return folded.state

    async def views_follow(self, addresses: Sequence[Address], wait_max_s: float = 10.0) -> None:
        """Every instance comes to know these entities as they are."""
        for node in self.alive:
            node.show(addresses)
        wanted = {address: self.state(address) for address in addresses}

        def follow() -> bool:
            return all(node.views.known.get(a) == wanted[a] for node in self.alive for a in wanted)

        try:
            await until(follow, wait_max_s)
        except AssertionError as error:
            error.add_note(str(self._differences(wanted)))
            raise

    def _differences(self, wanted: Mapping[Address, Any]) -> list[str]:
        return [
            f"{node.incarnation} has {node.views.known.get(address)} of {address.text}, not {state}"
            for node in self.alive
            for address, state in wanted.items()
            if node.views.known.get(address) != state
        ]

    def address_on(self, node: Node, kind: str = "counter", number: int = 0) -> Address:
        """The so-manieth entity of this kind that this node serves."""
        owned = node.shards
        found = (Address(kind, f"e{n}") for n in range(10_000))
        mine = [address for address in found if address.slot in owned]
        return mine[number]

    # -- faults --------------------------------------------------------------------------------

    async def kill(self, node: Node) -> None:
        """As kill -9: what is not in the journal is gone, and nobody is told."""
        self.alive.remove(node)
        self.network.remove(node.url)
        for store in node.connections:
            store.resume()
            store.go_away()
        node.process.go_on()
        await node.process.spawn(node.node.stop(timeout_s=0.0))

    async def stop(self, node: Node) -> None:
        """As SIGTERM: everything is handed over first."""
        await node.process.spawn(node.node.drain(STOP_MAX_S))
        self.alive.remove(node)
        self.network.remove(node.url)
        await node.process.spawn(node.node.stop(timeout_s=5.0))

    def redis_away(self) -> None:
        self.members.away = self.ballot.away = True

    def redis_back(self, *, empty: bool) -> None:
        if empty:
            self.members.forget()
            self.ballot.forget()
        self.members.away = self.ballot.away = False

    def journal_away(self) -> None:
        self.tables.away = self.standby.away = True
        for node in self.alive:
            node.journal.go_away()

    def journal_back(self) -> None:
        self.tables.away = self.standby.away = False
        for node in self.alive:
            node.journal.come_back()

    def heal(self) -> None:
        """Everything that lives works again."""
        self.network.mend_all()
        self.redis_back(empty=False)
        self.journal_back()
        for node in self.alive:
            for store in node.connections:
                store.come_back()
                store.resume()
            if node.process.stopped:
                node.go_on()

    async def close(self) -> None:
        """Stop all; no part of any of them may have failed."""
        self.heal()
        for node in list(self.alive):
            self.alive.remove(node)
            await node.process.spawn(node.node.stop(timeout_s=5.0))
            self.network.remove(node.url)
        for node in self.all:
            assert node.views.gaps == []
            for failed in node.node.failures:
                assert not failed.done(), failed.result()
