"""A store that forgets its last rows, as a standby does that was promoted without them: what was
committed and is gone is noticed and named, and nobody serves the shard until that is accepted."""

from __future__ import annotations

import asyncio

import pytest

from actors.address import Address
from actors.core.context import Limits
from actors.errors import NotOwnedError, OutcomeUnknownError, PastLostError, UnavailableError
from tests.support.runtimes import Cluster, Instance, pass_time, same_shard, until

ANN = Address("counter", "ann")
NOTICED_S = Limits().lease_check_s + 0.1


async def add(instance: Instance, times: int, address: Address = ANN) -> None:
    for _ in range(times):
        await instance.ask(address, ("add", 1))


def seqs(cluster: Cluster) -> list[int]:
    return [row.seq for row in cluster.store.rows[ANN.slot]]


async def test_an_idle_owner_notices_that_the_journal_has_lost_rows(
    cluster: Cluster, one: Instance
) -> None:
    """Given three acknowledged events, when the store forgets two of them, then the owner names
    them within a look at its leases, and answers no longer from its memory."""
    await add(one, 1)
    standby = cluster.store.standby()
    await add(one, 2)
    cluster.store.promote(standby)
    await pass_time(NOTICED_S)
    with pytest.raises(PastLostError):
        await one.ask(ANN, "get")
    [found] = cluster.store.losses
    assert (found.loss.shard, found.loss.kept_seq, found.loss.known.seq) == (ANN.slot, 1, 3)
    assert found.loss.entities == (ANN.text,)
    assert one.runtime.health.statistics().losses == 1
    assert one.runtime.shards.waiting == {ANN.slot}
    assert one.runtime.health.problem() is None, "all other shards are served"


async def test_nothing_is_written_behind_the_gap(cluster: Cluster, one: Instance) -> None:
    await add(one, 1)
    standby = cluster.store.standby()
    await add(one, 2)
    cluster.store.promote(standby)
    with pytest.raises(UnavailableError):
        await one.ask(ANN, ("add", 1))
    await pass_time(NOTICED_S)
    assert seqs(cluster) == [1]
    assert [found.loss.known.seq for found in cluster.store.losses] == [3]


async def test_a_loss_during_an_outage_is_noticed_when_the_store_is_back(
    cluster: Cluster, one: Instance
) -> None:
    ben = same_shard("counter", 2)[0]
    await add(one, 1, ben)
    standby = cluster.store.standby()
    await add(one, 1, ben)
    one.journal.go_away()
    with pytest.raises(OutcomeUnknownError):
        await one.ask(ben, ("add", 1))
    cluster.store.promote(standby)
    one.journal.come_back()
    await until(lambda: cluster.store.losses)
    [found] = cluster.store.losses
    assert (found.loss.kept_seq, found.loss.known.seq, found.loss.entities) == (1, 2, (ben.text,))
    await until(lambda: one.runtime.health.problem() is None)


async def test_a_loss_is_noticed_though_another_instance_wrote_in_its_place(
    cluster: Cluster, one: Instance
) -> None:
    """The journal ends at a higher seq than what was lost, but other events have those seqs."""
    await add(one, 1)
    standby = cluster.store.standby()
    await add(one, 2)
    cluster.store.promote(standby)
    two = await cluster.start("two-1", shards=[ANN.slot])
    await add(two, 4)
    await pass_time(NOTICED_S)
    [found] = cluster.store.losses
    assert (found.incarnation, found.loss.kept_seq, found.loss.known.seq) == ("one-1", 1, 3)
    await pass_time(NOTICED_S)
    with pytest.raises(PastLostError):
        await two.ask(ANN, "get")


async def test_the_shard_is_served_again_from_what_there_is_once_accepted(
    cluster: Cluster, one: Instance
) -> None:
    await add(one, 1)
    standby = cluster.store.standby()
    await add(one, 2)
    cluster.store.promote(standby)
    await pass_time(NOTICED_S)
    await one.runtime.shards.claim([ANN.slot])
    with pytest.raises(PastLostError):
        await one.ask(ANN, "get")
    cluster.store.accept_losses([ANN.slot], "ann the operator")
    await pass_time(NOTICED_S)
    await one.runtime.shards.claim([ANN.slot])
    assert await one.reply(ANN, ("add", 1)) == 2
    assert seqs(cluster) == [1, 2]
    await pass_time(NOTICED_S)
    assert len(cluster.store.losses) == 1


async def test_the_end_of_who_noticed_hides_no_loss(cluster: Cluster, one: Instance) -> None:
    await add(one, 1)
    standby = cluster.store.standby()
    await add(one, 2)
    cluster.store.promote(standby)
    await pass_time(NOTICED_S)
    await cluster.stop(one)
    two = await cluster.start("two-1")
    with pytest.raises(PastLostError):
        await two.ask(ANN, "get")


async def test_whoever_was_away_reopens_no_accepted_loss(cluster: Cluster, one: Instance) -> None:
    """An instance that was stopped all the while knows of the same rows."""
    await add(one, 1)
    standby = cluster.store.standby()
    await add(one, 2)
    two = await cluster.start("two-1", shards=[ANN.slot])
    await add(two, 1)
    cluster.store.promote(standby)
    one.journal.pause()
    await until(lambda: cluster.store.losses)
    cluster.store.accept_losses([ANN.slot], "ann the operator")
    await pass_time(NOTICED_S)
    await two.runtime.shards.claim([ANN.slot])
    one.journal.resume()
    await pass_time(NOTICED_S)
    assert await two.reply(ANN, ("add", 1)) == 2
    assert cluster.store.leases[ANN.slot].incarnation == "two-1"


async def test_a_former_owner_that_claims_again_remembers_what_it_committed(
    cluster: Cluster, one: Instance
) -> None:
    """The next owner is gone with all it knew; what the former one wrote is lost as well."""
    await add(one, 1)
    standby = cluster.store.standby()
    await add(one, 2)
    assert await one.runtime.shards.release(ANN.slot, 1.0)
    two = await cluster.start("two-1", shards=[ANN.slot])
    await cluster.stop(two)
    cluster.store.promote(standby)
    await one.runtime.shards.claim([ANN.slot])
    with pytest.raises(PastLostError):
        await one.ask(ANN, "get")
    assert [found.loss.known.seq for found in cluster.store.losses] == [3]


async def test_a_forgotten_claim_never_gives_two_writers_one_epoch(
    cluster: Cluster, one: Instance
) -> None:
    """Given a claim that the promoted standby lacks, when another instance is granted the same
    epoch, then only one of them writes under it, and both end up agreeing who owns the shard."""
    standby = cluster.store.standby()
    rival = await cluster.start("two-1", shards=[ANN.slot])
    assert await rival.reply(ANN, "get") == 0
    cluster.store.promote(standby)
    third = await cluster.start("three-1", shards=[ANN.slot])
    assert third.runtime.shards.epoch_of(ANN.slot) == 2 == rival.runtime.shards.epoch_of(ANN.slot)
    await add(third, 1)
    with pytest.raises(NotOwnedError):
        await rival.ask(ANN, ("add", 10))
    await pass_time(2 * NOTICED_S)
    assert cluster.store.losses == [], "no event of this shard was lost"
    owners = [i for i in (one, rival, third) if i.runtime.shards.epoch_of(ANN.slot)]
    assert [owner.runtime.shards.epoch_of(ANN.slot) for owner in owners] == [3]
    assert await owners[0].reply(ANN, ("add", 1)) == 2
    written = {row.epoch: row for row in cluster.store.rows[ANN.slot]}
    assert sorted(written) == [2, 3]


async def test_views_of_a_lost_past_are_told_to_begin_anew(cluster: Cluster, one: Instance) -> None:
    other = await cluster.start("two-1", shards=[])
    await add(one, 1)
    standby = cluster.store.standby()
    await add(one, 2)
    cluster.store.promote(standby)
    await pass_time(2 * NOTICED_S)
    assert one.views.forgotten == other.views.forgotten == [ANN.slot]


async def test_many_shards_lose_at_once(cluster: Cluster, one: Instance) -> None:
    everybody = [Address("counter", f"user-{number}") for number in range(60)]
    standby = cluster.store.standby()
    await asyncio.gather(*(one.ask(address, ("add", 1)) for address in everybody))
    cluster.store.promote(standby)
    await pass_time(2 * NOTICED_S)
    lost = {address.slot for address in everybody}
    assert {found.loss.shard for found in cluster.store.losses} == lost
    named = {text for found in cluster.store.losses for text in found.loss.entities}
    assert named == {address.text for address in everybody}


async def test_an_epoch_that_others_have_heard_of_is_not_gone_below(
    cluster: Cluster, one: Instance
) -> None:
    """Given an owner whose last claims a fail-over forgot, so that the lease is of an earlier claim
    of its own, when it claims again, then under a higher epoch than it ever served: others remember
    the highest they heard of, and would ask for that one for ever."""
    shards, standby = one.runtime.shards, cluster.store.standby()

    async def claim_again() -> int:
        shards._table.reclaim(shards.by_number[ANN.slot], NotOwnedError)
        shards._part_of(ANN.slot).claim_soon()
        await until(lambda: shards.epoch_of(ANN.slot))
        return shards.epoch_of(ANN.slot)

    assert [await claim_again() for _ in range(3)] == [2, 3, 4]
    cluster.store.promote(standby)
    assert await claim_again() == 5
