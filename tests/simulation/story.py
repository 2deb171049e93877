"""One run: a service of several instances on virtual time, its users, and what befalls both.

Everything a run does follows from its :class:`~tests.simulation.plan.Plan`, so that a seed gives
the same timeline each time, to the letter.
"""

from __future__ import annotations

import asyncio
import gc
import math
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from random import Random
from typing import Any
from uuid import UUID

import msgspec

from actors import address as addresses
from actors.errors import EntityCrashedError, UnavailableError
from actors.journal.contract import JournalError, Lease, Row
from actors.membership.contract import MembershipError
from booking.calls import Outcome, UnknownError
from booking.entities import ledger_address, queue_address
from booking.identity import Identity
from booking.instance.health import SupersededError
from tests.simulation import verdict
from tests.simulation.calls import REFUSALS, Ask, Call, answered
from tests.simulation.database import Databases, Lost
from tests.simulation.faults import KINDS, NOTICED_S
from tests.simulation.instances import Instance
from tests.simulation.plan import Plan
from tests.simulation.timeline import Timeline
from tests.simulation.truth import Truth, Violation
from tests.simulation.users import User
from tests.support.instance import catalogue, schedule
from tests.support.network import Network
from tests.support.standstill import StoppableLoop
from tests.support.virtual_time import EndlessRunError

NAMES = ("one", "two", "three", "four")
LOOK_EVERY_S = 0.25
RUN_MAX_S = 300.0
"""Four times what the slowest run takes."""
AFTER_S = 6.0
"""How long after a fault something may still be due to it."""


class Told(msgspec.Struct, frozen=True):
    """How a run ended."""

    plan: Plan
    violation: Violation | None
    timeline: Timeline
    held: Counter[str]
    """Faults that befell somebody, by kind."""
    answers: int
    rows: int
    virtual_s: float


class Story:
    """One run, inside its event loop."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.databases = Databases()
        self.network = Network()
        self.catalogue = catalogue(schedule("d1", 3), schedule("d2", 2))
        self.timeline = Timeline()
        self.violation: Violation | None = None
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.truth = Truth(self.databases.store, self.databases.clock, self.broke)
        self.databases.store.on_rows = self._committed
        self.databases.store.on_claim = self._claimed
        self.instances: list[Instance] = []
        """All that ever ran."""
        self.calls: list[Call] = []
        self.held = Counter[str]()
        self._troubles: dict[int, tuple[float, float]] = {}
        """Faults by number, from when to when."""
        self.short_pauses: list[tuple[int, float, float]] = []
        """Faults by number that are too short to refuse anybody for, from when to when."""
        self.lost_commands: set[bytes] = set()
        """Keys whose outcomes a promoted standby lacks."""
        self.lost_s: float | None = None
        """When a standby was promoted last."""
        self.blind: list[tuple[float, float]] = []
        """From when to when some owner could not look at its leases, and did not know."""
        self._amounts = 0
        self._runs = 0
        self._claimants: dict[str, None] = {}
        """Incarnations by their first claim."""
        self._labels = self._name_shards()

    # -- telling -------------------------------------------------------------------------------

    @property
    def now_s(self) -> float:
        return self.databases.clock.monotonic()

    @property
    def broken(self) -> bool:
        return self.violation is not None

    def note(self, lane: str, who: str, what: str) -> None:
        self.timeline.note(self.now_s, lane, who, what)

    def broke(self, violation: Violation) -> None:
        """The first one ends the run."""
        self.note("violation", "VIOLATION", str(violation))
        if self.violation is None:
            self.violation = violation
            if not self.over.done():
                self.over.set_result(None)

    def _name_shards(self) -> dict[int, str]:
        names: dict[int, list[str]] = {}
        for date in self.catalogue.schedules:
            names.setdefault(ledger_address(date).slot, []).append(f"date {date}")
        names.setdefault(queue_address("main").slot, []).append("the queue")
        for number in self.plan.users:
            names.setdefault(addresses.slot_of(User(self, number).id), []).append(f"user {number}")
        return {shard: ", ".join(each) for shard, each in names.items()}

    def _claimed(self, owner: str, leases: Sequence[Lease]) -> None:
        for each in leases:
            self._claimants[self.databases.store.leases[each.shard].incarnation] = None
        known = [each for each in leases if each.shard in self._labels]
        if known:
            words = "; ".join(f"{self._labels[each.shard]} (epoch {each.epoch})" for each in known)
            self.note("service", owner, f"owns {words}")
        self.truth.claimed(leases)

    def _committed(self, rows: Sequence[Row]) -> None:
        for row in rows:
            self.note("journal", f"{row.shard}/{row.seq}/{row.epoch}", _row_words(row))
        self.truth.committed(rows)

    # -- instances -----------------------------------------------------------------------------

    @property
    def alive(self) -> list[Instance]:
        return [instance for instance in self.instances if instance.alive]

    def free_names(self) -> list[str]:
        taken = {instance.name for instance in self.alive}
        return [name for name in NAMES if name not in taken]

    def instance_of(self, number: int) -> Instance | None:
        """The instance that a fault is about: the one of the name, or the next that lives."""
        alive = {instance.name: instance for instance in self.alive}
        for step in range(len(NAMES)):
            found = alive.get(NAMES[(number + step) % len(NAMES)])
            if found is not None:
                return found
        return None

    async def reached(self, random: Random) -> Instance:
        """Where a client gets to, once there is any: not to one that stands still for long."""
        while not self.listening:  # noqa: ASYNC110 - virtual time
            await asyncio.sleep(0.2)
        return random.choice(self.listening)

    @property
    def listening(self) -> list[Instance]:
        return [each for each in self.alive if each.listening]

    def new_instance(self, name: str) -> Instance:
        self._runs += 1
        instance = Instance(
            self.databases,
            self.network,
            self.catalogue,
            self.plan.rules,
            self.plan.random("instance", self._runs),
            name,
            self._runs,
        )
        self.instances.append(instance)
        return instance

    async def start(self, instance: Instance) -> None:
        """A store that is away lets it not start."""
        self.note("service", instance.name, "starts")
        starting = asyncio.ensure_future(instance.start())
        await asyncio.sleep(0)
        while not starting.done() and instance.alive:  # it may be killed before it is ready
            await asyncio.wait((starting,), timeout=LOOK_EVERY_S)
        if not starting.done():
            starting.add_done_callback(_retrieve)
            return
        try:
            starting.result()
        except (JournalError, MembershipError) as error:
            self.note("service", instance.name, f"does not start: {error}")
            await instance.kill()

    async def bury(self) -> None:
        """A process ends when a later run of its name has replaced it, and must for no other
        reason."""
        for instance in self.alive:
            for failed in instance.app.failures:
                if not failed.done() or not instance.alive:
                    continue
                error = failed.result()
                self.note("service", instance.name, f"ends: {error!r}")
                if not isinstance(error, SupersededError) or not self._replaced(instance):
                    self.broke(Violation("crash", f"{instance.name} ends: {error!r}"))
                await instance.kill()

    def _replaced(self, instance: Instance) -> bool:
        """Whether another run of its name is the later one: it began to claim after this one."""
        runs = [name for name in self._claimants if name.startswith(f"{instance.name}@")]
        return instance.incarnation in runs[:-1]

    # -- calls ---------------------------------------------------------------------------------

    def new_amount(self, random: Random) -> int:
        """One that nobody else charges, so that the journal tells whose charge was written."""
        self._amounts += 1
        return random.choice([50, 100, 200]) * 1000 + self._amounts

    async def call(self, user: str, ask: Ask, instance: Instance, patience_s: float) -> Call:
        """One try at this instance. A user who waits no longer may learn of the answer later."""
        task = instance.process.spawn(answered(instance.app.services, ask.run))
        call = Call(user, ask, instance, self.now_s, task, -instance.taken_s)
        instance.calls.add(task)
        self.calls.append(call)
        number = len(self.calls)
        key = f" [{ask.attempt.key}]" if ask.attempt else ""
        self.note("user", user, f"#{number} {ask.words}{key} at {instance.name}")

        def ended(task: asyncio.Task[Any]) -> None:
            instance.calls.discard(task)
            self._answered(number, call)

        task.add_done_callback(ended)
        await asyncio.wait((task,), timeout=patience_s)
        await asyncio.sleep(0)
        if call.ended_s is None:
            self.note("user", user, f"#{number} waits no longer")
        return call

    def _answered(self, number: int, call: Call) -> None:
        call.late_s += call.instance.taken_s
        if call.task.cancelled():
            self.note("service", call.instance.name, f"#{number} its connection is lost")
            call.error = asyncio.CancelledError()
            call.ended_s = self.now_s
            if call.instance.alive:
                self.broke(Violation("crash", f"{call.ask.words} is cancelled"))
            return
        error = call.task.exception()
        call.ended_s = self.now_s
        if error is None:
            value = call.task.result()
            if isinstance(value, Outcome):
                call.value, call.replayed = value.value, value.replayed
            else:
                call.value = value
        else:
            call.error = error
        self.note("service", call.instance.name, f"#{number} answers {call.user}: {call.words}")
        self._judge(call)

    def _judge(self, call: Call) -> None:
        error = call.error
        if isinstance(error, UnknownError) and self._lost_a_hold():
            return
        if error is not None and not isinstance(error, REFUSALS):
            self.broke(Violation("crash", f"{call.ask.words}: {error!r}"))
        elif isinstance(error, UnavailableError) and self._could_wait(call):
            self.broke(Violation("waits", f"{call.ask.words} is refused after a pause: {error!r}"))
        elif isinstance(error, EntityCrashedError) and not self._excuses_crashes(call):
            self.broke(Violation("crash", f"{call.ask.words}: {error!r}"))
        else:
            verdict.judge(self, call)

    def _lost_a_hold(self) -> bool:
        """Whether there may be orders that users know of and the store does not."""
        return any(fact[0] == "hold" for fact in self.truth.lost_facts)

    def _could_wait(self, call: Call) -> bool:
        """Whether nothing but a short pause was wrong while the call was under way."""
        return self.now_s > AFTER_S and any(
            call.began_s <= end_s and self.quiet_since(begin_s, but=number)
            for number, begin_s, end_s in self.short_pauses
        )

    def _excuses_crashes(self, call: Call) -> bool:
        """Events that cannot be read; or what an owner keeps in memory of one entity, and what a
        store that has forgotten rows says of another."""
        return self.lately_lost(call.began_s) or any(
            at_s >= call.began_s for each in self.instances for at_s in each.unread
        )

    async def meet_stranger(self, for_s: float) -> None:
        """An instance of another deployment beats in the same Redis; it has databases of its
        own."""
        own, name = Databases(self.databases.shared_redis), "stranger"
        self._runs += 1
        stranger = Instance(
            own,
            self.network,
            self.catalogue,
            self.plan.rules,
            self.plan.random("instance", self._runs),
            name,
            self._runs,
            Identity(UUID(int=1), 1),
        )
        await self.start(stranger)
        await asyncio.sleep(for_s)
        if stranger.alive:
            await stranger.kill()
        words = [_row_words(row) for rows in own.store.rows for row in rows]
        wanted = [n for n, row in enumerate(self.databases.tables.shards) if row.desired == name]
        if words or wanted:
            told = f"gets shards {wanted} and rows {words}"
            self.broke(Violation("stranger", f"an instance of another deployment {told}"))

    # -- loss ------------------------------------------------------------------------------------

    def lose(self, lost: Lost) -> None:
        """The store has forgotten these rows, and the outcomes that came with them."""
        words = f"a standby is promoted that lacks {len(lost.rows)} rows"
        self.note("fault", "PostgreSQL", words)
        self.lost_commands.update(lost.commands)
        for row in lost.rows:
            self.note("fault", "PostgreSQL", f"lost {row.shard}/{row.seq}: {_row_words(row)}")
        self.lost_s = self.now_s
        for instance in self.alive:
            instance.known.clear()
        self.truth.lose(lost.rows)

    def accept_losses(self) -> None:
        """An operator accepts what is lost."""
        store = self.databases.store
        shards = [n for n in range(len(store.leases)) if store.lost(n)]
        if shards:
            self.note("fault", "operator", f"accepts the losses of shards {shards}")
            store.accept_losses(shards, "ops")

    def lately_lost(self, began_s: float) -> bool:
        """Whether the store forgot something so shortly before that owners need not know yet."""
        return self.lost_s is not None and began_s < self.lost_s + NOTICED_S

    # -- the run -------------------------------------------------------------------------------

    async def run(self) -> None:
        """Returns when the run is over, well or not."""
        main = asyncio.ensure_future(self._tell())
        both = (main, self.over)
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED, timeout=RUN_MAX_S)
        if not main.done() and not self.broken:
            self.broke(Violation("I9", f"the run is not over after {RUN_MAX_S:.0f} s"))
        if self.broken:
            main.cancel()
            await asyncio.wait((main,), timeout=1.0)
        elif (error := main.exception()) is not None:
            self.broke(Violation("crash", f"the run itself ends: {error!r}"))

    async def _tell(self) -> None:
        first = [self.new_instance(name) for name in NAMES[: self.plan.instances]]
        await asyncio.gather(*(self.start(instance) for instance in first))
        users = [User(self, number) for number in self.plan.users]
        acting = [asyncio.ensure_future(user.act()) for user in users]
        faults = [
            asyncio.ensure_future(self._befall(number)) for number in range(len(self.plan.faults))
        ]
        watch = asyncio.ensure_future(self._watch())
        try:
            await asyncio.gather(*acting, *faults)
        finally:
            watch.cancel()
            for task in (*acting, *faults):
                task.cancel()
        await self._heal()
        await verdict.settle(self)
        if not self.broken:
            await verdict.close(self)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await self.bury()
            if not self.alive:  # somebody sees to it, and tries until the stores let it start
                await self.start(self.new_instance(self.free_names()[0]))

    async def _befall(self, number: int) -> None:
        fault = self.plan.faults[number]
        await asyncio.sleep(max(0.0, fault.at_s - self.now_s))
        instance = self.instance_of(fault.on)
        if instance is None:
            return
        random = self.plan.random("fault", fault.number)
        began_s = self.now_s
        self._troubles[fault.number] = (began_s, math.inf)
        befell = await KINDS[fault.kind](self, fault, instance, random)
        self._troubles[fault.number] = (began_s, self.now_s)
        if befell:
            self.held[fault.kind] += 1
        else:
            del self._troubles[fault.number]

    def quiet_since(self, since_s: float, *, but: int | None = None) -> bool:
        """Whether since then, and for as long before as troubles have an after-effect, nothing else
        befell anybody: one fault at most, or only ``but``."""
        lately = [n for n, (_, end_s) in self._troubles.items() if end_s >= since_s - AFTER_S]
        return lately == [but] if but is not None else len(lately) == 1

    async def _heal(self) -> None:
        """Everything that an operator would do, and no more."""
        await self.bury()
        self.network.mend_all()
        for redis in self.databases.every_redis:
            redis.members.away = redis.ballot.away = redis.ballot.grants_everybody = False
        self.databases.tables.away = self.databases.standby.away = False
        for instance in self.alive:
            heal(instance)
        self.note("fault", "", "everything is mended")
        while len(self.alive) < 2:
            await self.start(self.new_instance(self.free_names()[0]))


def _retrieve(ended: asyncio.Future[None]) -> None:
    """Nobody waits for this any more."""
    if not ended.cancelled():
        ended.exception()


def heal(instance: Instance) -> None:
    """Nothing is wrong with this one any more."""
    for store in (*instance.databases, *instance.redis):
        store.come_back()
        store.resume()
    instance.journal.latency_s = 0.002
    instance.journal.fold_s = 0.0
    instance.folds_to_fail[0] = 0
    instance.delay = lambda: 0.0
    instance.network.delay(instance.name, None)
    if instance.process.stopped:
        instance.go_on()


def _row_words(row: Row) -> str:
    event = msgspec.json.decode(row.payload)
    words = [f"{name} {_told(name, value)}" for name, value in event.items() if name not in _DULL]
    return f"{row.type} of {_short(row.address)}: {', '.join(words)}"


_DULL = ("type", "key_id", "key_fingerprint", "attempt", "seed", "policy")


def _told(name: str, value: Any) -> str:
    """As short as can still be told apart."""
    if name == "user":
        return f"user {int(value[-12:], 16)}"
    if isinstance(value, str):
        return value[-6:]
    return str(value % 10**7 if name.endswith("_ms") else value)


def _short(address: addresses.Address) -> str:
    if address.kind == "account":
        return f"user {int(address.key[-12:], 16)}"
    return address.text


# -- the same each time ----------------------------------------------------------------------------


@contextmanager
def _made_repeatable(plan: Plan) -> Iterator[None]:
    """Ids are drawn from the seed, and there are fewer shards: what 256 of them cost is looking
    after those that nobody asks for."""
    random, urandom = plan.random("ids"), os.urandom
    os.urandom = random.randbytes
    counting = [each for each in list(sys.modules.values()) if getattr(each, "SLOT_COUNT", 0)]
    collects = gc.isenabled()
    gc.disable()
    _count_shards(counting, plan.rules.shards)
    try:
        yield
    finally:
        _count_shards(counting, 256)
        os.urandom = urandom
        if collects:
            gc.enable()


def _count_shards(modules: Sequence[Any], count: int) -> None:
    for module in modules:
        module.SLOT_COUNT = count
    addresses.slot_of.cache_clear()


def _ended(plan: Plan, story: Story, now_s: float) -> Told:
    return Told(
        plan=plan,
        violation=story.violation,
        timeline=story.timeline,
        held=story.held,
        answers=sum(call.ended_s is not None for call in story.calls),
        rows=sum(map(len, story.databases.store.rows)),
        virtual_s=now_s,
    )


def run(plan: Plan) -> Told:
    """Run a plan from its beginning to its end, or to the first violation."""
    with _made_repeatable(plan), asyncio.Runner(loop_factory=StoppableLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, StoppableLoop)
        story = runner.run(_begun(plan))
        try:
            runner.run(story.run())
        except EndlessRunError as error:
            story.violation = Violation("I9", str(error))
        now_s = loop.time()
        if not story.broken and loop.problems:
            story.violation = Violation("crash", f"an error nobody saw: {loop.problems[0]}")
        return _ended(plan, story, now_s)


async def _begun(plan: Plan) -> Story:
    return Story(plan)
