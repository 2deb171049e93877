"""A cluster whose store forgets its last rows: refused, shown, accepted, and served again."""

from __future__ import annotations

import asyncio

import pytest

from actors.address import Address
from actors.cluster.admin_views import OperationRefusedError
from actors.errors import PastLostError
from actors.replication import streams
from tests.support.nodes import Nodes
from tests.support.runtimes import until

TALLY = Address("counter", "tally")
LOOK_S = 5.0


async def lose(nodes: Nodes) -> None:
    """Three were acknowledged; the store that is there now has one of them."""
    a = nodes.alive[0]
    await a.ask(TALLY, ("add", 1))
    standby = nodes.store.standby()
    await a.ask(TALLY, ("add", 1))
    await a.ask(TALLY, ("add", 1))
    await nodes.views_follow([TALLY])
    nodes.store.promote(standby)
    await until(
        lambda: all(TALLY.slot in node.node.runtime.shards.waiting for node in nodes.alive), LOOK_S
    )


async def test_every_instance_refuses_what_was_lost_and_serves_the_rest(nodes: Nodes) -> None:
    await nodes.start("a", "b", "c")
    await lose(nodes)
    for node in nodes.alive:
        with pytest.raises(PastLostError):
            await node.ask(TALLY, "get")
        assert node.node.availability.problem() is None
    other = next(a for n in range(99) if (a := Address("counter", f"{n}")).slot != TALLY.slot)
    assert (await nodes.alive[0].ask(other, ("add", 1))).reply == 1


async def test_an_operator_accepts_and_the_shard_is_served_from_what_there_is(
    nodes: Nodes,
) -> None:
    await nodes.start("a", "b", "c")
    await nodes.views_follow([TALLY])
    await lose(nodes)
    admin = nodes.alive[1].node.admin
    [loss] = await admin.losses()
    assert (loss.shard, loss.entities) == (TALLY.slot, (TALLY.text,))
    assert await admin.accept_losses(None, "kim") == [TALLY.slot]
    await nodes.settled()
    assert (await nodes.alive[2].ask(TALLY, ("add", 1))).reply == 2
    await nodes.views_follow([TALLY])
    [entry] = await admin.log(1, None)
    assert (entry.who, entry.what) == ("kim", "accept_loss")
    with pytest.raises(OperationRefusedError):
        await admin.accept_losses(None, "kim")


async def test_an_instance_that_starts_meanwhile_becomes_ready(nodes: Nodes) -> None:
    await nodes.start("a", "b")
    await lose(nodes)
    late = nodes.new("c")
    await late.start()
    await until(lambda: late.node.availability.problem() is None, 20.0)
    with pytest.raises(PastLostError):
        await late.ask(TALLY, "get")


async def test_a_loss_is_noticed_though_its_owner_died_with_the_store(nodes: Nodes) -> None:
    """Given events that the others have heard of, when their owner dies with the store that had
    them, then the others miss them: nothing is served as if they had never been."""
    await nodes.start("a", "b", "c")
    await nodes.owner(TALLY).ask(TALLY, ("add", 1))
    owner = nodes.owner(TALLY)
    standby = nodes.store.standby()
    await owner.ask(TALLY, ("add", 1))
    await asyncio.sleep(streams.GATHER_S + 0.01)
    await nodes.kill(owner)
    nodes.store.promote(standby)
    await until(lambda: nodes.store.losses, LOOK_S)
    [loss, *_] = nodes.store.losses
    assert (loss.loss.shard, loss.loss.kept_seq, loss.loss.known.seq) == (TALLY.slot, 1, 2)
    with pytest.raises(PastLostError):
        await nodes.alive[0].ask(TALLY, "get")
    await nodes.alive[0].node.admin.accept_losses(None, "kim")
    await nodes.settled()
    await nodes.views_follow([TALLY])
    assert (await nodes.alive[0].ask(TALLY, ("add", 1))).reply == 2


async def test_owners_say_what_they_committed_of_what_nobody_shows(nodes: Nodes) -> None:
    """No instance keeps replicas of alarms; that they lost events is noticed all the same."""
    await nodes.start("a", "b", "c")
    alarm = nodes.address_on(nodes.alive[0], "alarm")
    standby = nodes.store.standby()
    await nodes.alive[0].ask(alarm, ("set", 10**15))
    await asyncio.sleep(streams.BEAT_EVERY_S + 0.1)
    await nodes.kill(nodes.alive[0])
    nodes.store.promote(standby)
    await until(lambda: alarm.slot in {each.loss.shard for each in nodes.store.losses}, LOOK_S)


async def test_a_loss_that_was_itself_forgotten_is_noticed_again(nodes: Nodes) -> None:
    """Given a loss that was written down, when the store fails over once more and lacks that note,
    then the loss is found again, and no view keeps showing what is gone."""
    await nodes.start("a", "b", "c")
    await nodes.owner(TALLY).ask(TALLY, ("add", 1))
    first = nodes.store.standby()
    await nodes.owner(TALLY).ask(TALLY, ("add", 1))
    await nodes.views_follow([TALLY])
    nodes.store.promote(first)
    second = nodes.store.standby()
    await until(lambda: nodes.store.losses, LOOK_S)
    nodes.store.promote(second)
    assert not nodes.store.losses
    await until(lambda: nodes.store.losses, LOOK_S)
    await until(lambda: nodes.alive[0].node.runtime.shards.waiting == {TALLY.slot}, LOOK_S)
    await nodes.alive[0].node.admin.accept_losses(None, "kim")
    await nodes.settled()
    await nodes.views_follow([TALLY])
    assert [node.views.known[TALLY] for node in nodes.alive] == [1, 1, 1]
    await asyncio.sleep(LOOK_S)
    assert not any(each.accepted == "" for each in nodes.store.losses), "it is not found again"
