"""ViewReplicas of what others decide: when they are shown, and when they have to be read again
first."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from actors.address import Address
from actors.replication.replicas import ViewReplicas
from tests.support.faulty import FaultyJournal
from tests.support.runtimes import Cluster, Instance, Views, pass_time, until

ANN = Address("counter", "ann")
EVERY_SLOT = range(256)


class Other:
    """An instance that owns nothing, and shows what the owner decides."""

    def __init__(self, owner: Instance, journal: FaultyJournal) -> None:
        self.journal = journal
        self.views = Views()
        self.owns = False
        self.replicas = ViewReplicas(
            {"counter": True},
            owner.runtime.behaviour,
            [self.views],
            journal,
            lambda address: self.owns,
        )

    def shows(self) -> bool:
        return self.replicas.ready(ANN)

    def shown(self) -> object:
        return self.views.all[-1][2]


@asynccontextmanager
async def owner_and_other() -> AsyncIterator[tuple[Instance, Other]]:
    """The owner has added 5, and the other has read it."""
    cluster = Cluster()
    owner = await cluster.start()
    await owner.reply(ANN, ("add", 5))
    other = Other(owner, FaultyJournal(cluster.store))
    running = asyncio.create_task(other.replicas.run(0))
    other.replicas.track([ANN])
    await until(other.shows)
    try:
        yield owner, other
    finally:
        running.cancel()
        await cluster.stop_all()


async def test_a_silent_owners_replica_is_read_again_before_use() -> None:
    async with owner_and_other() as (owner, other):
        assert other.shown() == 5
        await owner.reply(ANN, ("add", 2))  # of which nothing is told
        assert not other.replicas.in_doubt
        other.replicas.distrust(EVERY_SLOT)
        assert not other.shows()
        assert other.replicas.in_doubt
        await until(other.shows)
        assert other.shown() == 7
        assert not other.replicas.in_doubt


async def test_a_copy_is_shown_again_also_if_nothing_had_happened() -> None:
    async with owner_and_other() as (_, other):
        other.replicas.distrust(EVERY_SLOT)
        assert not other.shows()
        await until(other.shows)
        assert other.shown() == 5


async def test_what_was_read_before_the_silence_does_not_count() -> None:
    async with owner_and_other() as (owner, other):
        other.journal.latency_s = 1.0
        other.replicas.distrust(EVERY_SLOT)
        await pass_time(0.5)  # the first reading is under way
        await owner.reply(ANN, ("add", 2))
        other.replicas.distrust(EVERY_SLOT)
        await pass_time(0.9)  # it has come by now
        assert not other.shows()
        await until(other.shows)
        assert other.shown() == 7


async def test_only_the_silent_slots_are_doubted() -> None:
    async with owner_and_other() as (_, other):
        other.replicas.distrust([slot for slot in EVERY_SLOT if slot != ANN.slot])
        assert other.shows()


async def test_views_gained_after_a_silence_are_shown_once_read() -> None:
    async with owner_and_other() as (_, other):
        other.owns = True
        other.replicas.distrust_gained({ANN.slot: 3})
        assert not other.shows()
        other.replicas.own_loaded(ANN, 7, 2, 2)
        assert not other.shows(), "that was an earlier time of ownership"
        other.replicas.own_loaded(ANN, 7, 2, 3)
        assert other.shows()


async def test_a_replica_loaded_before_the_gain_is_ready_at_once() -> None:
    async with owner_and_other() as (_, other):
        other.owns = True
        other.replicas.own_committed(ANN, 7, 2, 3)
        other.replicas.distrust_gained({ANN.slot: 3})
        assert other.shows()


async def test_a_shard_gained_and_lost_unread_has_common_replicas() -> None:
    async with owner_and_other() as (owner, other):
        await owner.reply(ANN, ("add", 2))
        other.owns = True
        other.replicas.distrust_gained({ANN.slot: 3})
        other.owns = False
        await until(other.shows)
        assert other.shown() == 7


async def test_views_that_another_instance_owns_are_read_again_first() -> None:
    async with owner_and_other() as (owner, other):
        other.owns = True
        await owner.reply(ANN, ("add", 2))
        assert other.shows()
        other.owns = False
        other.replicas.lost(ANN.slot)
        assert not other.shows()
        await until(other.shows)
        assert other.shown() == 7
