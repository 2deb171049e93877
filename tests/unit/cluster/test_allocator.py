"""Hand-overs, and what becomes of a shard when one side of them fails."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actors.address import Address
from actors.cluster.control_messages import (
    CONTROL_ADDRESS,
    NotShardOwner,
    ReleaseShard,
    ShardBusy,
    ShardReleased,
)
from actors.cluster.handoff import BUSY_PAUSE_S, RELEASE_TIMEOUT_S, UNRESPONSIVE_S
from actors.errors import NotOwnedError
from actors.transport import Request
from tests.support.nodes import Node, Nodes
from tests.support.runtimes import until


async def ask_to_release(nodes: Nodes, asking: Node, address: Address, epoch: int) -> Any:
    """As a target does, which then does no more."""
    release = ReleaseShard(address.slot, epoch, asking.name)
    deadline = nodes.clock.monotonic() + 1.0
    owner = nodes.owner(address).name
    answer = await asking.process.spawn(
        asking.line.ask(owner, Request(CONTROL_ADDRESS, release, deadline))
    )
    return answer.reply


async def move(nodes: Nodes, address: Address, to: Node) -> None:
    await to.node.admin.move(address.slot, to.name, "ops")


async def test_an_owner_answers_what_it_has_before_it_lets_go(nodes: Nodes) -> None:
    a, b, _ = await nodes.start("a", "b", "c")
    address = nodes.address_on(b)
    b.journal.latency_s = 0.05
    asked = [b.ask(address, ("add", 1)) for _ in range(20)]
    await asyncio.sleep(0.001)
    assert isinstance(
        await ask_to_release(nodes, a, address, b.shards[address.slot]), ShardReleased
    )
    assert [one.done() for one in asked] == [True] * 20
    assert sorted([one.result().reply for one in asked]) == list(range(1, 21))


async def test_a_shard_is_released_only_under_its_own_epoch(nodes: Nodes) -> None:
    a, b, _ = await nodes.start("a", "b", "c")
    address = nodes.address_on(b)
    epoch = b.shards[address.slot]
    assert isinstance(await ask_to_release(nodes, a, address, epoch + 1), NotShardOwner)
    assert nodes.owner(address) is b


async def test_a_busy_owner_serves_on_and_is_asked_again(
    nodes: Nodes,
) -> None:
    a, b, _ = await nodes.start("a", "b", "c")
    address = nodes.address_on(b)
    await b.reply(address, "get")
    b.journal.pause()
    stuck = b.ask(address, ("add", 1))
    await asyncio.sleep(0.01)
    began = nodes.clock.monotonic()
    assert isinstance(await ask_to_release(nodes, a, address, b.shards[address.slot]), ShardBusy)
    assert RELEASE_TIMEOUT_S <= nodes.clock.monotonic() - began < RELEASE_TIMEOUT_S + 0.05
    assert nodes.owner(address) is b
    await move(nodes, address, a)
    await asyncio.sleep(1.0)
    b.journal.resume()
    assert (await stuck).reply == 1
    await until(lambda: nodes.owners().get(address.slot) == "a", BUSY_PAUSE_S + 0.5)
    assert nodes.state(address) == 1


async def test_a_released_shard_that_nobody_claims_is_claimed_back(nodes: Nodes) -> None:
    """The target died after the source had let go."""
    a, b, _ = await nodes.start("a", "b", "c")
    address = nodes.address_on(b)
    epoch = b.shards[address.slot]
    assert isinstance(await ask_to_release(nodes, a, address, epoch), ShardReleased)
    assert address.slot not in nodes.owners()
    asked = b.ask(address, ("add", 1))
    await until(lambda: address.slot in nodes.owners(), UNRESPONSIVE_S + 1.0)
    assert nodes.owner(address) is b
    assert b.shards[address.slot] == epoch + 1
    assert (await asked).reply == 1, "its callers were held back all the while"


async def test_a_target_that_dies_costs_its_shard_a_moment_only(nodes: Nodes) -> None:
    await nodes.start("a", "b", "c")
    target = next(node for node in nodes.alive if not node.leads)
    source = nodes.others(target)[0]
    address = nodes.address_on(source)
    target.journal.latency_s = 0.5
    target.placement.pause()
    nodes.tables.shards[address.slot].desired = target.name
    assert isinstance(
        await ask_to_release(nodes, target, address, source.shards[address.slot]), ShardReleased
    )
    await nodes.kill(target)
    took_s = await nodes.settled()
    assert took_s < 5.0
    assert nodes.owner(address).name in {node.name for node in nodes.alive}


async def test_an_unresponsive_owner_is_replaced(nodes: Nodes) -> None:
    """Cut off from the target, it lives and serves; the fence ends that."""
    a, b, c = await nodes.start("a", "b", "c")
    address = nodes.address_on(b)
    await b.ask(address, ("add", 1))
    nodes.network.cut("a", "b")
    began = nodes.clock.monotonic()
    await move(nodes, address, a)
    await until(lambda: nodes.store.leases[address.slot].owner == "a", 10.0)
    assert UNRESPONSIVE_S <= nodes.clock.monotonic() - began < UNRESPONSIVE_S + 1.5
    assert (await c.reply(address, ("add", 1))) == 2
    await asyncio.sleep(1.1)
    assert address.slot not in b.shards, "it has looked at the leases"
    assert nodes.state(address) == 2


async def test_a_claim_that_the_database_does_not_answer_is_made_again(nodes: Nodes) -> None:
    a, b, _ = await nodes.start("a", "b", "c")
    address = nodes.address_on(b)
    await move(nodes, address, a)
    a.placement.go_away()
    await asyncio.sleep(1.0)
    a.placement.come_back()
    await until(lambda: address.slot in nodes.owners(), UNRESPONSIVE_S + 1.5)
    await until(lambda: nodes.owners().get(address.slot) == "a", 5.0)


async def test_two_targets_of_one_shard_do_not_share_it(nodes: Nodes) -> None:
    """The leader changed its mind while the first was about to claim."""
    a, b, c = await nodes.start("a", "b", "c")
    address = nodes.address_on(c)
    for to in ("a", "b", "a", "b"):
        nodes.tables.shards[address.slot].desired = to
        for node in (a, b):
            node.node.sharding.allocator.kick()
        await asyncio.sleep(0.001)
    await until(lambda: address.slot in nodes.owners(), 5.0)
    epochs = [claim.epoch for claim in nodes.store.claims if claim.shard == address.slot]
    assert epochs == list(range(1, len(epochs) + 1))


async def test_a_shard_on_the_move_refuses_only_its_own_callers(nodes: Nodes) -> None:
    """They are refused at once, so that they can ask the next owner."""
    a, b, _ = await nodes.start("a", "b", "c")
    moving, staying = nodes.address_on(b, number=0), nodes.address_on(b, number=7)
    assert moving.slot != staying.slot
    assert isinstance(await ask_to_release(nodes, a, moving, b.shards[moving.slot]), ShardReleased)
    with pytest.raises(NotOwnedError):
        await b.node.runtime.ask(moving, "get")
    assert await b.reply(staying, ("add", 1)) == 1
