"""Whether a journal still has what was committed to it, after a fail-over that lost some."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import pytest

from actors.journal.contract import Journal, Loss, Past, part_number
from actors.journal.memory import MemoryJournal, MemoryStore
from actors.placement.contract import PlacementStore
from actors.placement.partitioned import placement_over
from tests.support.journal_rows import address_in, batch, ends, event, snapshot
from tests.support.twins.placement import MemoryPlacement, MemoryTables
from tests.support.virtual_time import VirtualClock

Connect = Callable[[], Awaitable[Journal]]

ADDRESS = address_in(3)
KNOWN = Past(5, 1, "one-1")


class Failover:
    """The store, with an operator's access and the power to forget."""

    def __init__(self, urls: list[str], journal: Journal) -> None:
        self._urls, self._journal = urls, journal
        self.placement: PlacementStore
        if isinstance(journal, MemoryJournal):
            self.placement = MemoryPlacement(MemoryTables(journal.store, VirtualClock()))
        else:
            self.placement = placement_over(urls)

    async def forget(self, shard: int, after_seq: int, epoch: int | None = None) -> None:
        """The rows above a seq are gone, and if wanted the claims above an epoch."""
        if isinstance(self._journal, MemoryJournal):
            store = self._journal.store
            store.forget(shard, after_seq)
            if epoch is not None:
                rolled_back(store, shard, epoch)
            return
        connection = await asyncpg.connect(self._urls[part_number(shard, len(self._urls))])
        await connection.execute(
            "DELETE FROM journal WHERE shard = $1 AND seq > $2", shard, after_seq
        )
        if epoch is not None:
            await connection.execute(
                "DELETE FROM epochs WHERE shard = $1 AND epoch > $2", shard, epoch
            )
            await connection.execute(
                "UPDATE shards SET epoch = $2, owner = 'x', incarnation = 'x-1' WHERE shard = $1",
                *(shard, epoch),
            )
        await connection.close()


def rolled_back(store: MemoryStore, shard: int, epoch: int) -> None:
    store.leases[shard] = type(store.leases[shard])(shard, epoch, "x", "x-1")


@pytest.fixture
async def failover(journal_urls: list[str], journal: Journal) -> AsyncIterator[Failover]:
    """Shard 3 has five rows of the one run that ever owned it."""
    await journal.append(0, batch(rows=[event(ADDRESS, seq) for seq in range(1, 6)]))
    failover = Failover(journal_urls, journal)
    yield failover
    await failover.placement.close()


def loss(kept_seq: int, known: Past = KNOWN) -> Loss:
    return Loss(shard=3, known=known, served=1, kept_seq=kept_seq, entities=(ADDRESS.text,))


async def test_nothing_is_written_behind_a_gap(journal: Journal, failover: Failover) -> None:
    await failover.forget(3, after_seq=3)
    other = address_in(4)
    refused = await journal.append(0, batch(rows=[event(ADDRESS, 6), event(other, 1)]))
    assert set(refused) == {3}
    [mine, theirs] = await journal.load([ADDRESS, other])
    assert [row.seq for row in mine.rows] == [1, 2, 3]
    assert [row.seq for row in theirs.rows] == [1]


@pytest.mark.usefixtures("failover")
async def test_an_epoch_is_of_one_incarnation(journal: Journal) -> None:
    assert set(await journal.append(0, batch("two-1", rows=[event(ADDRESS, 6)]))) == {3}
    assert not await journal.append(0, batch("one-1", rows=[event(ADDRESS, 6)]))


async def test_a_shard_is_asked_whether_it_has_a_row(journal: Journal, failover: Failover) -> None:
    infos = await journal.shards({3: 5, 4: 0, 5: 7})
    assert [infos[shard].past for shard in (3, 4, 5)] == [KNOWN, Past(), Past()]
    await failover.forget(3, after_seq=4)
    assert (await journal.shards({3: 5}))[3].past == Past()
    assert (await journal.shards({3: 4}))[3].past == Past(4, 1, "one-1")


async def test_a_claim_never_gives_an_epoch_that_the_rows_know(
    journal: Journal, failover: Failover
) -> None:
    await failover.forget(3, after_seq=5, epoch=0)
    [lease] = await journal.claim([(3, 0)], "two", "two-1")
    assert (lease.epoch, lease.last_seq) == (2, 5)


async def test_a_claim_gives_an_epoch_above_what_its_owner_knows(
    journal: Journal, failover: Failover
) -> None:
    await failover.forget(3, after_seq=5)
    assert ends(await journal.claim([(3, 1)], "one", "one-1", above=7)) == [(3, 8, 5)]


async def test_what_is_kept_of_a_past_leaves_out_rows_in_the_place_of_lost_ones(
    journal: Journal, failover: Failover
) -> None:
    assert await journal.kept({3: KNOWN, 4: Past(2, 1, "one-1")}) == {3: 5, 4: 0}
    await failover.forget(3, after_seq=2)
    assert await journal.kept({3: KNOWN}) == {3: 2}
    [lease] = await journal.claim([(3, 1)], "two", "two-1")
    rows = [event(ADDRESS, seq, lease.epoch) for seq in range(3, 9)]
    assert not await journal.append(0, batch("two-1", rows=rows))
    assert await journal.kept({3: KNOWN}) == {3: 2}


async def test_a_reported_loss_keeps_everybody_out_until_it_is_accepted(
    journal: Journal, failover: Failover, connect: Connect
) -> None:
    await journal.append(0, batch(snapshots=[snapshot(ADDRESS, 5)]))
    await failover.forget(3, after_seq=2)
    for _ in range(2):
        assert set(await journal.report([loss(2)], "one", "one-1")) == {3}
    info = (await (await connect()).shards())[3]
    assert (info.owner, info.incarnation, info.lost, info.losses) == ("", "", True, 1)
    assert info.epoch > 1
    assert await journal.append(0, batch(rows=[event(ADDRESS, 3)])) == {3}
    assert await journal.claim([(3, info.epoch)], "two", "two-1") == []
    [stored] = await failover.placement.losses()
    assert (stored.shard, stored.kept_seq, stored.seq) == (3, 2, 5)
    assert (stored.entities, stored.accepted_at_ms) == ((ADDRESS.text,), None)

    await failover.placement.accept_losses([3], "ann")

    info = (await journal.shards())[3]
    assert (info.lost, info.losses) == (False, 1)
    [lease] = await journal.claim([(3, info.epoch)], "two", "two-1")
    assert lease.past == Past(2, 1, "one-1")
    [loaded] = await journal.load([ADDRESS])
    assert loaded.snapshot is None, "it knew of lost events"
    [entry] = await failover.placement.logged(5)
    assert (entry.who, entry.what, entry.detail) == ("ann", "accept_loss", {"shards": [3]})
    [stored] = await failover.placement.losses()
    assert stored.accepted_by == "ann"


async def test_a_row_that_is_there_after_all_is_no_loss(
    journal: Journal, failover: Failover
) -> None:
    """It was only missing on the server that was asked before."""
    assert not await journal.report([loss(2)], "one", "one-1")
    assert not (await journal.shards())[3].lost
    assert await failover.placement.losses() == []


async def test_an_accepted_loss_is_not_opened_again_by_who_was_away(
    journal: Journal, failover: Failover
) -> None:
    await failover.forget(3, after_seq=2)
    await journal.report([loss(2)], "one", "one-1")
    await failover.placement.accept_losses([3], "ann")
    assert not await journal.report([loss(2, Past(4, 1, "one-1"))], "three", "three-1")
    assert not (await journal.shards())[3].lost
