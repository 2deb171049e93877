"""A cluster whose store forgets its last rows: refused, shown, accepted, and served again."""

from __future__ import annotations

import pytest

from actors.address import Address
from actors.cluster.admin_views import OperationRefusedError
from actors.errors import PastLostError
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
