"""What can go wrong, by kind. Each is begun at its time, goes on for as long as its plan says, and
returns whether it befell anybody."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import TYPE_CHECKING, TypeAlias

from actors.cluster.admin_views import OperationRefusedError
from actors.journal.contract import JournalError, ShardInfo
from tests.simulation.plan import Fault
from tests.simulation.truth import Violation

if TYPE_CHECKING:
    from tests.simulation.database import Lost
    from tests.simulation.instances import Instance
    from tests.simulation.story import Story

SHORT_PAUSE_S = 1.5
"""For so long callers of an instance that pauses wait, and are not refused."""
NOTICED_S = 5.0
"""Within which a loss of the store's is noticed."""
ACKNOWLEDGED_MS = 50
"""What was decided so long ago has been acknowledged, if nothing else is wrong."""
LOST_SIGHT_S = 10.0
"""Within which the shards of an instance that cannot reach PostgreSQL are served elsewhere."""

Befall: TypeAlias = "Callable[[Story, Fault, Instance, Random], Awaitable[bool]]"
KINDS: dict[str, Befall] = {}
"""Every kind, by the name it has in plans."""


def kind(befall: Befall) -> Befall:
    """Name a kind after its function."""
    KINDS[befall.__name__] = befall
    return befall


CALLED_OFF: dict[str, str] = {}
"""Kinds that runs go without as long as the service does not hold them, and why."""


async def _meanwhile(
    story: Story, fault: Fault, instance: Instance, words: str, end: Callable[[], None]
) -> bool:
    """It goes on for its time; ``end`` takes it back."""
    story.note("fault", instance.name, f"{words} for {fault.for_s} s")
    await asyncio.sleep(fault.for_s)
    if instance.alive:
        end()
        story.note("fault", instance.name, f"no more: {words}")
    return True


# -- processes -------------------------------------------------------------------------------------


@kind
async def kill(story: Story, fault: Fault, instance: Instance, random: Random) -> bool:
    """kill -9, and a new run of its name or of another later."""
    story.note("fault", instance.name, "is killed")
    await instance.kill()
    await asyncio.sleep(fault.for_s)
    free = story.free_names()  # none, if it was also restarted and another one added
    if free:
        name = instance.name if random.random() < 0.5 and instance.name in free else free[-1]
        await story.start(story.new_instance(name))
    return True


@kind
async def restart(story: Story, fault: Fault, instance: Instance, random: Random) -> bool:
    """SIGTERM and a new run, as in a rolling restart."""
    story.note("fault", instance.name, "is stopped in good order")
    await instance.stop()
    if instance.name in story.free_names():
        await story.start(story.new_instance(instance.name))
    return True


@kind
async def join(story: Story, fault: Fault, instance: Instance, random: Random) -> bool:
    """One instance more."""
    free = story.free_names()
    if not free:
        return False
    story.note("fault", free[0], "is added")
    await story.start(story.new_instance(free[0]))
    return True


@kind
async def stand_still(story: Story, fault: Fault, instance: Instance, random: Random) -> bool:
    """SIGSTOP, and SIGCONT later."""
    if instance.process.stopped:
        return False
    instance.stand_still()
    return await _meanwhile(story, fault, instance, "stands still", instance.go_on)


@kind
async def pause(story: Story, fault: Fault, instance: Instance, random: Random) -> bool:
    """The host is busy for a second or two; its links hold."""
    if instance.process.stopped:
        return False
    instance.process.stop()
    for_s = round(random.uniform(0.8, 2.0), 3)
    if for_s <= SHORT_PAUSE_S:
        story.short_pauses.append((fault.number, story.now_s, story.now_s + for_s))
    story.note("fault", instance.name, f"pauses for {for_s} s")
    await asyncio.sleep(for_s)
    if instance.alive:
        instance.process.go_on()
    return True


@kind
async def replaced(story: Story, fault: Fault, instance: Instance, random: Random) -> bool:
    """It stands still, a new run of its name is started, and then it goes on for a while."""
    if instance.process.stopped:
        return False
    story.note("fault", instance.name, "stands still and is started a second time")
    instance.stand_still()
    await story.start(story.new_instance(instance.name))
    await asyncio.sleep(fault.for_s)
    if instance.alive:
        instance.go_on()
        story.note("fault", instance.name, "goes on beside its second run")
        await asyncio.sleep(fault.for_s)
    if instance.alive:
        story.note("fault", instance.name, "the first run is killed")
        await instance.kill()
    return True


# -- PostgreSQL ------------------------------------------------------------------------------------


@kind
async def store_away(story: Story, fault: Fault, instance: Instance, random: Random) -> bool:
    """PostgreSQL is away, for everybody."""
    tables, standby, store = story.databases.tables, story.databases.standby, story.databases
    tables.away = standby.away = True
    store.store.away = True
    story.note("fault", "PostgreSQL", f"is away for {fault.for_s} s")
    await asyncio.sleep(fault.for_s)
    tables.away = standby.away = store.store.away = False
    story.note("fault", "PostgreSQL", "is back")
    return True


@kind
async def store_slow(story: Story, fault: Fault, instance: Instance, random: Random) -> bool:
    """Its appends take long."""
    before_s = instance.journal.latency_s
    instance.journal.latency_s = random.choice([0.02, 0.1, 0.4])

    def end() -> None:
        instance.journal.latency_s = before_s

    return await _meanwhile(story, fault, instance, "has a slow journal", end)


@kind
async def no_postgres(story: Story, fault: Fault, instance: Instance, random: Random) -> bool:
    """This instance alone cannot reach PostgreSQL, perhaps for longer than any limit."""
    for_s = max(fault.for_s, random.choice([0.0, 0.0, LOST_SIGHT_S + 1.0]))
    for store in instance.databases:
        store.go_away()
    story.note("fault", instance.name, f"cannot reach PostgreSQL for {for_s} s")
    shards = [n for n, lease in enumerate(story.databases.store.leases) if _has(instance, lease)]
    began_s = story.now_s
    await asyncio.sleep(min(for_s, LOST_SIGHT_S))
    if for_s > LOST_SIGHT_S and story.quiet_since(began_s) and instance.alive:
        left = [n for n in shards if _has(instance, story.databases.store.leases[n])]
        if left and len(story.alive) > 1:
            words = (
                f"{instance.name} keeps {len(left)} shards {LOST_SIGHT_S:.0f} s without PostgreSQL"
            )
            story.broke(Violation("served", words))
    await asyncio.sleep(max(0.0, for_s - LOST_SIGHT_S))
    if instance.alive:
        for store in instance.databases:
            store.come_back()
        story.note("fault", instance.name, "reaches PostgreSQL again")
    return True


def _has(instance: Instance, lease: ShardInfo) -> bool:
    return lease.incarnation == instance.incarnation


@kind
async def postgres_hangs(story: Story, fault: Fault, instance: Instance, random: Random) -> bool:
    """What this instance asks the journal hangs."""
    story.blind.append((story.now_s, story.now_s + fault.for_s))  # so do its looks at the leases
    instance.journal.pause()
    return await _meanwhile(
        story, fault, instance, "waits for the journal", instance.journal.resume
    )


@kind
async def append_refused(story: Story, fault: Fault, instance: Instance, random: Random) -> bool:
    """Its next appends write nothing, and it does not know."""
    instance.journal.fail_next(random.choice([1, 3]))
    story.note("fault", instance.name, "will have appends refused")
    return True


@kind
async def append_unknown(story: Story, fault: Fault, instance: Instance, random: Random) -> bool:
    """Its next appends are written, and it does not know."""
    instance.journal.unknown_after_write(random.choice([1, 3]))
    story.note("fault", instance.name, "will lose answers of appends")
    return True


@kind
async def append_late(story: Story, fault: Fault, instance: Instance, random: Random) -> bool:
    """Its next appends are written after it was told that they failed."""
    instance.journal.late_write(random.choice([1, 3]))
    story.note("fault", instance.name, "will have appends written late")
    return True


# -- Redis and the links ---------------------------------------------------------------------------


@kind
async def redis_away(story: Story, fault: Fault, instance: Instance, random: Random) -> bool:
    """Redis is away for everybody, and perhaps empty when it is back."""
    parts = [
        part for redis in story.databases.every_redis for part in (redis.members, redis.ballot)
    ]
    for part in parts:
        part.away = True
    for_s = round(fault.for_s * random.choice([1, 3]), 3)
    story.note("fault", "Redis", f"is away for {for_s} s")
    await asyncio.sleep(for_s)
    empty = random.random() < 0.5
    for part in parts:
        part.away = False
        if empty:
            part.forget()
    story.note("fault", "Redis", "is back, and empty" if empty else "is back")
    return True


@kind
async def no_redis(story: Story, fault: Fault, instance: Instance, random: Random) -> bool:
    """This instance alone cannot reach Redis."""
    for store in instance.redis:
        store.go_away()

    def end() -> None:
        for store in instance.redis:
            store.come_back()

    return await _meanwhile(story, fault, instance, "cannot reach Redis", end)


@kind
async def leader_twice(story: Story, fault: Fault, instance: Instance, random: Random) -> bool:
    """Redis grants the leader's key to everybody who asks."""
    ballots = [redis.ballot for redis in story.databases.every_redis]
    for ballot in ballots:
        ballot.grants_everybody = True
    story.note("fault", "Redis", f"grants the leader's key twice for {fault.for_s} s")
    await asyncio.sleep(fault.for_s)
    for ballot in ballots:
        ballot.grants_everybody = False
    return True


@kind
async def cut(story: Story, fault: Fault, instance: Instance, random: Random) -> bool:
    """Two instances cannot reach each other."""
    others = [each for each in story.alive if each is not instance]
    if not others:
        return False
    names = instance.name, random.choice(others).name
    story.network.cut(*names)
    story.note("fault", instance.name, f"is cut off from {names[1]} for {fault.for_s} s")
    await asyncio.sleep(fault.for_s)
    story.network.mend(*names)
    story.note("fault", instance.name, f"reaches {names[1]} again")
    return True


@kind
async def isolated(story: Story, fault: Fault, instance: Instance, random: Random) -> bool:
    """No other instance is reached, and perhaps no store either."""
    story.network.cut(instance.name)
    stores = (*instance.databases, *instance.redis) if random.random() < 0.5 else ()
    for store in stores:
        store.pause()
    if stores:
        story.blind.append((story.now_s, story.now_s + fault.for_s))
    story.note("fault", instance.name, f"is cut off from all for {fault.for_s} s")
    await asyncio.sleep(fault.for_s)
    for store in stores:
        store.resume()
    story.network.mend(instance.name)
    story.note("fault", instance.name, "is cut off no more")
    return True


@kind
async def messages_late(story: Story, fault: Fault, instance: Instance, random: Random) -> bool:
    """Messages from and to it arrive late, each by another time."""
    late_s = random.choice([0.02, 0.3, 1.0])
    story.network.delay(instance.name, lambda: random.uniform(0.0, late_s))

    def end() -> None:
        story.network.delay(instance.name, None)

    return await _meanwhile(story, fault, instance, f"has messages late by up to {late_s} s", end)


@kind
async def messages_lost(story: Story, fault: Fault, instance: Instance, random: Random) -> bool:
    """All of its links are lost now, with what is on its way."""
    story.network.reset(instance.name)
    story.note("fault", instance.name, "loses all links with what is on its way")
    return True


@kind
async def steps_late(story: Story, fault: Fault, instance: Instance, random: Random) -> bool:
    """The messages of a call are held up here before they go out and after they are answered: a
    call of several can take longer than anything is remembered in memory."""
    late_s = random.choice([0.3, 1.0, 4.0])

    def delay() -> float:
        return random.uniform(0.0, late_s) if random.random() < 0.5 else 0.0

    instance.delay = delay

    def end() -> None:
        instance.delay = lambda: 0.0

    return await _meanwhile(
        story, fault, instance, f"holds every step of a call up by up to {late_s} s", end
    )


# -- operators -------------------------------------------------------------------------------------


async def _order(
    story: Story, instance: Instance, words: str, order: Callable[[], Awaitable[object]]
) -> bool:
    story.note("fault", "operator", words)
    try:
        await instance.process.spawn(_once(order))
    except (OperationRefusedError, JournalError) as error:
        story.note("fault", "operator", f"is refused: {error}")
    except asyncio.CancelledError:
        assert not instance.alive
    return True


async def _once(order: Callable[[], Awaitable[object]]) -> object:
    return await order()


@kind
async def move(story: Story, fault: Fault, instance: Instance, random: Random) -> bool:
    """Shards are moved by hand."""
    admin = instance.app.node.admin
    for _ in range(random.choice([1, 3])):
        shard, to = random.randrange(story.plan.rules.shards), random.choice(story.alive).name
        await _order(
            story,
            instance,
            f"moves shard {shard} to {to}",
            lambda shard=shard, to=to: admin.move(shard, to, "ops"),  # type: ignore[misc]
        )
    return True


@kind
async def drain(story: Story, fault: Fault, instance: Instance, random: Random) -> bool:
    """An instance is emptied and taken back."""
    admin, name = instance.app.node.admin, instance.name
    await _order(story, instance, f"drains {name}", lambda: admin.drain(name, "ops"))
    await asyncio.sleep(fault.for_s)
    return await _order(story, instance, f"undrains {name}", lambda: admin.undrain(name, "ops"))


@kind
async def evict(story: Story, fault: Fault, instance: Instance, random: Random) -> bool:
    """An instance's shards are taken away."""
    admin, name = instance.app.node.admin, instance.name
    await _order(story, instance, f"evicts {name}", lambda: admin.evict(name, "ops"))
    await asyncio.sleep(fault.for_s)
    return await _order(story, instance, f"takes {name} back", lambda: admin.undrain(name, "ops"))


@kind
async def rebalance(story: Story, fault: Fault, instance: Instance, random: Random) -> bool:
    """A plan is made and applied, and perhaps broken off."""
    admin = instance.app.node.admin

    async def order() -> None:
        plan = await admin.plan()
        await asyncio.sleep(random.choice([0.0, 1.0]))
        await admin.apply(plan.plan_id, "ops")
        if random.random() < 0.3:
            await admin.abort("ops")

    return await _order(story, instance, "rebalances", order)


@kind
async def held_by_hand(story: Story, fault: Fault, instance: Instance, random: Random) -> bool:
    """A shard is pinned and frozen, and let go again."""
    admin = instance.app.node.admin
    shard = random.randrange(story.plan.rules.shards)
    to = instance.name
    await _order(story, instance, f"pins {shard} to {to}", lambda: admin.pin(shard, to, "ops"))
    await _order(story, instance, f"freezes {shard}", lambda: admin.freeze(shard, "why", "ops"))
    await asyncio.sleep(fault.for_s)
    await _order(story, instance, f"unpins {shard}", lambda: admin.unpin(shard, "ops"))
    return await _order(story, instance, f"unfreezes {shard}", lambda: admin.unfreeze(shard, "ops"))


# -- outside the old list --------------------------------------------------------------------------


@kind
async def wrong_clock(story: Story, fault: Fault, instance: Instance, random: Random) -> bool:
    """Its wall clock is minutes or hours wrong."""
    off_ms = random.choice([-1, 1]) * random.choice([5_000, 120_000, 3_600_000, 86_400_000])
    instance.clock.wall_offset_ms += off_ms

    def end() -> None:
        instance.clock.wall_offset_ms -= off_ms

    words = f"has a clock that is {abs(off_ms) // 1000} s {'fast' if off_ms > 0 else 'slow'}"
    return await _meanwhile(story, fault, instance, words, end)


@kind
async def database_clock(story: Story, fault: Fault, instance: Instance, random: Random) -> bool:
    """The database's clock steps, as after a fail-over to a machine that goes by another."""
    off_ms = random.choice([-3_000, -700, 700, 3_000])
    story.databases.clock.wall_offset_ms += off_ms
    story.note("fault", "PostgreSQL", f"its clock steps by {off_ms} ms")
    return True


@kind
async def promoted(story: Story, fault: Fault, instance: Instance, random: Random) -> bool:
    """A standby that was cut off becomes the primary: its last rows are lost."""
    store = story.databases.store
    if store.away or story.databases.cut_off:
        return False
    lag_s = round(random.uniform(0.05, 0.8), 3)
    story.databases.cut_replication()
    story.note("fault", "PostgreSQL", f"replicates no more for {lag_s} s")
    await asyncio.sleep(lag_s)
    began_s, lost = story.now_s, story.databases.promote()
    owners = {n: each.incarnation for n, each in enumerate(store.leases)}
    story.lose(lost)
    for each in story.alive:
        for connection in each.databases:
            connection.go_away()
    await asyncio.sleep(round(random.uniform(0.1, 1.0), 3))
    for each in story.alive:
        for connection in each.databases:
            connection.come_back()
    story.note("fault", "PostgreSQL", "is reached again")
    await asyncio.sleep(NOTICED_S)
    if story.quiet_since(began_s):
        _check_noticed(story, lost, owners, began_s)
    for each in story.alive:
        each.crashes_known += max(0, each.crashes_unexplained)
    story.accept_losses()
    return True


def _check_noticed(story: Story, lost: Lost, owners: dict[int, str], began_s: float) -> None:
    """Every shard that lacks something acknowledged is known by now, if its owner lives."""
    alive = {instance.incarnation for instance in story.alive}
    known = {stored.loss.shard for stored in story.databases.store.losses}
    told_ms = story.databases.clock.wall_offset_ms + round(began_s * 1000) - ACKNOWLEDGED_MS
    for row in lost.rows:
        if row.at_ms < told_ms and owners[row.shard] in alive and row.shard not in known:
            words = f"the loss of {row.shard}/{row.seq} is not noticed after {NOTICED_S:.0f} s"
            story.broke(Violation("past", words))


@kind
async def slow_folds(story: Story, fault: Fault, instance: Instance, random: Random) -> bool:
    """Folding an entity keeps its loop busy for long."""
    instance.journal.fold_s = random.choice([0.2, 0.6, 1.2])

    def end() -> None:
        instance.journal.fold_s = 0.0

    return await _meanwhile(
        story, fault, instance, f"folds each entity for {instance.journal.fold_s} s", end
    )


@kind
async def recovery_fails(story: Story, fault: Fault, instance: Instance, random: Random) -> bool:
    """A new run takes over, and the first entities that it recovers cannot be folded."""
    story.note("fault", instance.name, "is killed; who takes over cannot fold what it recovers")
    await instance.kill()
    for each in story.alive:
        each.fail_folds(random.choice([1, 2]))
    again = story.new_instance(instance.name)
    again.fail_folds(random.choice([1, 2]))
    await story.start(again)
    return True


@kind
async def older_writer(story: Story, fault: Fault, instance: Instance, random: Random) -> bool:
    """An instance of the release before, which reads what is new and writes what was."""
    story.note("fault", instance.name, "is replaced by a run of the release before")
    await instance.stop()
    older = story.new_instance(instance.name)
    older.write_older()
    await story.start(older)
    return True


@kind
async def older_reader(story: Story, fault: Fault, instance: Instance, random: Random) -> bool:
    """An instance of a release that cannot read an event that others write, for a while."""
    story.note("fault", instance.name, "is replaced by a run that cannot read Entered")
    await instance.stop()
    older = story.new_instance(instance.name)
    older.read_only_older()
    await story.start(older)
    await asyncio.sleep(fault.for_s)
    if older.alive:
        story.note("fault", older.name, "is replaced by a run that can")
        await older.stop()
        await story.start(story.new_instance(instance.name))
    return True


@kind
async def stranger(story: Story, fault: Fault, instance: Instance, random: Random) -> bool:
    """An instance of another deployment, with a journal of its own, uses the same Redis."""
    story.note("fault", "stranger", "of another deployment uses the same Redis")
    await story.meet_stranger(fault.for_s)
    return True
