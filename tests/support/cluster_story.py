"""A toy bank on a whole cluster under faults, on virtual time: one seed is one repeatable story.

The clients and the books are those of :mod:`tests.support.simulation`, but each try goes to any
instance. Meanwhile instances are killed, stopped, drained, restarted under their own and other
names, parted from each other and made to stand still; shards are moved, pinned, frozen and evicted;
Redis is away or forgets everything; the journal is away, slow, or loses answers. In the end
everything heals: all shards are served where they ought to be, views everywhere are those of the
journal, and the invariants hold for every row and everything acknowledged.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from random import Random
from typing import Any

from actors.address import Address
from actors.behaviour import CommandKey
from actors.cluster.admin_views import OperationRefusedError
from actors.core.context import Limits
from actors.errors import KeyInFlightError, NotOwnedError, OutcomeUnknownError, UnavailableError
from actors.journal.contract import JournalError
from actors.placement.contract import DesiredState
from actors.transport import Answer
from tests.support.nodes import Node, Nodes
from tests.support.simulation import EVERYBODY, Bookkeeper, Simulation
from tests.support.toys import Bank

NAMES = ["a", "b", "c", "d"]
CLIENTS = 4
FAULTS = 9
STORY_S = 15.0
ASK_TIMEOUT_S = 3.0
LATE_S = 0.11
"""A deadline is kept within a tick of the asking wheel and one of the asked."""
SETTLE_MAX_S = 60.0
COUNTERS = [Address("counter", f"tally-{number}") for number in range(3)]
SHOWN = EVERYBODY + COUNTERS
STALE_S = 1.0 + 0.2
"""How old a read may be after a shard was taken from an owner that lives: it looks at the leases
each second (``Limits.lease_check_s``)."""


class ClusterStory(Simulation):
    """One story."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.book = Bookkeeper()
        self.nodes = Nodes()
        self.store = self.nodes.store
        self.numbers = 0
        self.stale_s = STALE_S
        self.sums: defaultdict[Address, list[tuple[float, int]]] = defaultdict(lambda: [(0.0, 0)])
        """Of each counter, what was acknowledged by when."""
        self.log: list[tuple[float, str]] = []
        """What befell, for people."""

    async def run(self) -> None:
        await self.nodes.start(*self.random.sample(NAMES, 3), limits=self.limits())
        for node in self.nodes.alive:
            node.show(SHOWN)
        clients = [asyncio.ensure_future(self.client()) for _ in range(CLIENTS)]
        counting = [asyncio.ensure_future(self.count(address)) for address in COUNTERS]
        faults = asyncio.ensure_future(self.trouble())
        await asyncio.gather(faults, *clients, *counting)
        await self.heal_all()
        self.check_epochs()
        self.check_acknowledged()
        self.check_sums()
        await self.check_memory()
        await self.nodes.close()

    def limits(self) -> Limits:
        return Limits(
            entities_max=self.random.choice([3, 100]),
            snapshot_bytes_min=self.random.choice([100, 10_000]),
            outcomes_max=self.random.choice([2, 256]),
            batch_rows_max=self.random.choice([2, 1_000]),
        )

    def note(self, what: str) -> None:
        self.log.append((round(self.nodes.clock.monotonic(), 3), what))

    # -- asking --------------------------------------------------------------------------------

    async def ask(self, address: Address, command: Any, command_key: CommandKey | None) -> Answer:
        """One try through any instance, answered by its deadline whatever happens."""
        self.book.asks += 1
        try:
            return await self.through_any(address, command, command_key)
        except (UnavailableError, KeyInFlightError) as error:
            if command != "get":
                raise
            return Answer(error)

    async def through_any(
        self, address: Address, command: Any, command_key: CommandKey | None = None
    ) -> Answer:
        """A client that loses its instance, or hears nothing from it, does not know."""
        listening = [node for node in self.nodes.alive if not node.process.stopped]
        if not listening:
            raise NotOwnedError
        node = self.random.choice(listening)
        asked = node.ask(address, command, key=command_key, timeout_s=ASK_TIMEOUT_S)
        began = self.nodes.clock.monotonic()
        try:
            async with asyncio.timeout(ASK_TIMEOUT_S + LATE_S):
                return await asyncio.shield(asked)
        except TimeoutError:
            asked.add_done_callback(_retrieve)
            assert node.process.stopped or node.stood_since(began), "answered too late"
            raise OutcomeUnknownError("the instance stands still") from None
        except asyncio.CancelledError:
            assert node not in self.nodes.alive
            raise OutcomeUnknownError("the instance is gone") from None

    async def count(self, address: Address) -> None:
        """Adds and reads in turn: a read shows everything that was acknowledged before."""
        loop, sums = asyncio.get_running_loop(), self.sums[address]
        ends = loop.time() + STORY_S
        while loop.time() < ends:
            await asyncio.sleep(self.random.uniform(0.1, 1.0))
            began = loop.time()
            try:
                if self.random.random() < 0.5:
                    await self.through_any(address, ("add", 1))
                    sums.append((loop.time(), sums[-1][1] + 1))
                else:
                    found = (await self.through_any(address, "get")).reply
                    least = max(
                        total for at, total in sums if at <= began - self.stale_s or at == 0.0
                    )
                    assert found >= least, f"{address.text}: {found}, and {least} was acknowledged"
            except UnavailableError:
                continue

    # -- faults --------------------------------------------------------------------------------

    async def trouble(self) -> None:
        faults = [
            self.lose, self.lose, self.replace, self.join, self.leave, self.part, self.isolate,
            self.stand, self.move, self.move, self.hold_shards, self.empty, self.evict,
            self.rebalance, self.redis, self.redis_of_one, self.journal, self.slow_journal,
            self.journal_of_one, self.late_journal,
        ]  # fmt: skip
        for _ in range(FAULTS):
            await asyncio.sleep(self.random.expovariate(FAULTS / STORY_S))
            await self.bury()
            while not self.nodes.alive:
                await self.start(self.random.choice(NAMES))
                await asyncio.sleep(1.0)
            fault = self.random.choice(faults)
            node = self.random.choice(self.nodes.alive)
            self.note(f"{fault.__name__} {node.name}")
            await fault(node)

    async def bury(self) -> None:
        """A run that a later one of the same name replaced ends, and so does one that failed."""
        for node in list(self.nodes.alive):
            if node.superseded:
                self.note(f"{node.incarnation} is superseded")
                await self.nodes.kill(node)

    def later(self, least_s: float, most_s: float, action: Any) -> None:
        asyncio.get_running_loop().call_later(self.random.uniform(least_s, most_s), action)

    async def start(self, name: str) -> None:
        node = self.nodes.new(name, limits=self.limits())
        try:
            await node.start()
            node.show(SHOWN)
        except Exception as error:  # noqa: BLE001 - a store is away: it does not start
            self.note(f"{node.incarnation} did not start: {error!r}")
            await self.nodes.kill(node)

    async def lose(self, node: Node) -> None:
        await self.nodes.kill(node)
        if self.random.random() < 0.5 or len(self.nodes.alive) < 2:
            await self.start(node.name)

    async def replace(self, node: Node) -> None:
        await self.nodes.kill(node)
        await asyncio.sleep(self.random.uniform(0.0, 4.0))
        await self.start(self.random.choice(self.free_names()))

    def free_names(self) -> list[str]:
        return [name for name in NAMES if all(node.name != name for node in self.nodes.alive)]

    async def join(self, node: Node) -> None:
        if free := self.free_names():
            await self.start(self.random.choice(free))

    async def leave(self, node: Node) -> None:
        if len(self.nodes.alive) < 2:
            return
        await self.nodes.stop(node)
        if self.random.random() < 0.7:
            await self.start(node.name)

    async def part(self, node: Node) -> None:
        if others := self.nodes.others(node):
            pair = (node.name, self.random.choice(others).name)
            self.nodes.network.cut(*pair)
            self.later(0.2, 8.0, lambda: self.nodes.network.mend(*pair))

    async def isolate(self, node: Node) -> None:
        self.nodes.network.cut(node.name)
        self.later(0.2, 8.0, lambda: self.nodes.network.mend(node.name))

    async def stand(self, node: Node) -> None:
        if not node.process.stopped:
            node.stand_still()
            await asyncio.sleep(self.random.uniform(0.1, 7.0))
            node.go_on()

    def shard(self) -> int:
        return self.random.choice([address.slot for address in (*EVERYBODY, *COUNTERS)])

    async def desk(self, *calls: tuple[str, tuple[Any, ...]]) -> None:
        """Operators ask of any instance, and may be refused."""
        desk = self.random.choice(self.nodes.alive).node.admin
        for name, arguments in calls:
            try:
                await getattr(desk, name)(*arguments, "ops")
            except (OperationRefusedError, JournalError) as error:
                self.note(f"{name} refused: {error}")

    async def move(self, node: Node) -> None:
        for _ in range(self.random.choice([1, 3])):
            await self.desk(("move", (self.shard(), node.name)))

    async def hold_shards(self, node: Node) -> None:
        await self.desk(
            ("pin", (self.shard(), node.name)),
            ("freeze", (self.shard(), "a look at it")),
            ("unpin", (self.shard(),)),
        )

    async def empty(self, node: Node) -> None:
        await self.desk(("drain", (node.name,)))
        await asyncio.sleep(self.random.uniform(0.1, 2.0))
        await self.desk(("undrain", (node.name,)))

    async def evict(self, node: Node) -> None:
        await self.desk(("evict", (node.name,)))
        await asyncio.sleep(self.random.uniform(0.1, 2.0))
        await self.desk(("undrain", (node.name,)))

    async def rebalance(self, node: Node) -> None:
        try:
            plan = await node.node.admin.plan()
            await asyncio.sleep(self.random.choice([0.0, 1.0]))
        except JournalError:
            return
        await self.desk(("apply", (plan.plan_id,)))
        if self.random.random() < 0.3:
            await self.desk(("abort", ()))

    async def redis(self, node: Node) -> None:
        empty = self.random.random() < 0.5
        self.nodes.redis_away()
        self.later(0.5, 12.0, lambda: self.nodes.redis_back(empty=empty))

    async def redis_of_one(self, node: Node) -> None:
        for store in (node.membership, node.election):
            store.go_away()
            self.later(0.5, 5.0, store.come_back)

    async def journal(self, node: Node) -> None:
        self.nodes.journal_away()
        self.later(0.1, 4.0, self.nodes.journal_back)

    async def slow_journal(self, node: Node) -> None:
        node.journal.latency_s = self.random.choice([0.0, 0.02, 0.1])

    async def journal_of_one(self, node: Node) -> None:
        hangs_s = self.random.uniform(0.1, 4.0)
        self.stale_s = max(self.stale_s, STALE_S + hangs_s)  # the look at the leases hangs too
        node.journal.pause()
        self.later(hangs_s, hangs_s, node.journal.resume)

    async def late_journal(self, node: Node) -> None:
        order = self.random.choice(
            [node.journal.fail_next, node.journal.unknown_after_write, node.journal.late_write]
        )
        order(self.random.choice([1, 3]))

    # -- the end -------------------------------------------------------------------------------

    async def heal_all(self) -> None:
        """Nothing is done but what an operator would: undo what operators did, and wait."""
        self.nodes.heal()
        await self.bury()
        self.note("healed")
        while len(self.nodes.alive) < 2:
            await self.start(self.free_names()[0])
        desk = self.nodes.alive[0].node.admin
        for node in self.nodes.alive:
            if self.nodes.tables.desired_states.get(node.name, DesiredState()) != DesiredState():
                await desk.undrain(node.name, "ops")
        for shard in range(256):
            row = self.nodes.tables.shards[shard]
            if row.pinned_to is not None:
                await desk.unpin(shard, "ops")
            if row.frozen:
                await desk.unfreeze(shard, "ops")
        for _ in range(round(SETTLE_MAX_S)):
            await asyncio.sleep(1.0)
            await self.bury()
            if self.nodes.is_settled() and not any(state.sent for state in self.states()):
                return
        raise AssertionError(f"not healed: {self.nodes.problems()} {self.nodes.counts()}")

    def check_sums(self) -> None:
        for address in COUNTERS:
            assert self.nodes.state(address) >= self.sums[address][-1][1], "acknowledged and lost"

    async def check_memory(self) -> None:
        """Every instance tells the same as the journal, by asking and from its views."""
        states = self.states()
        paid_in = sum(
            event[2]
            for event in self.events()
            if event[0] == "received" and not event[1].startswith("sent-")
        )
        assert sum(state.balance for state in states) == paid_in
        await self.nodes.views_follow(SHOWN)
        for node in self.nodes.alive:
            for address, state in zip(EVERYBODY, states, strict=True):
                assert await node.reply(address, "get") == state.balance

    def events(self) -> list[Any]:
        bank = Bank()
        return [
            bank.decode_event(row.type, row.version, row.payload)
            for rows in self.store.rows
            for row in rows
            if row.address.kind == "bank"
        ]

    def check_epochs(self) -> None:
        """Seq gapless, epochs never fall, one incarnation for each epoch."""
        claims = Counter((claim.shard, claim.epoch) for claim in self.store.claims)
        assert max(claims.values()) == 1
        for rows in self.store.rows:
            assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
            epochs = [row.epoch for row in rows]
            assert epochs == sorted(epochs)


def _retrieve(asked: asyncio.Task[Answer]) -> None:
    """Nobody waits for this any more."""
    if not asked.cancelled():
        asked.exception()
