"""An instance that may have lost its shards without a word tells nothing from memory."""

from __future__ import annotations

import asyncio

import pytest

from actors.address import SLOT_COUNT
from actors.errors import StaleError
from tests.support.nodes import Node, Nodes
from tests.support.runtimes import until

DOUBTED_MAX_S = 3.5
"""A link that is cut is given up after 3 s of silence, here as by the others."""


def cut_off(nodes: Nodes, node: Node) -> None:
    """From everybody and everything, in such a way that nothing says so."""
    for other in nodes.others(node):
        nodes.network.cut(node.name, other.name)
    for store in node.connections:
        store.pause()


async def test_who_hears_nobody_tells_nothing_before_anybody_else_may(nodes: Nodes) -> None:
    a, b, c = await nodes.start("a", "b", "c")
    mine = nodes.address_on(a)
    cut_off(nodes, a)
    began = nodes.clock.monotonic()
    epoch = nodes.store.leases[mine.slot].epoch
    await until(lambda: not a.node.runtime.shards.trustworthy, 5.0)
    assert nodes.clock.monotonic() - began < DOUBTED_MAX_S
    assert nodes.store.leases[mine.slot].epoch == epoch, "nobody else had claimed it by then"
    with pytest.raises(StaleError):
        a.node.availability.check(mine.slot)
    await until(lambda: mine.slot in {**b.shards, **c.shards}, 10.0)
    nodes.heal()
    await nodes.settled()
    assert a.node.runtime.shards.trustworthy


async def test_an_eviction_during_a_hanging_read_is_noticed(nodes: Nodes) -> None:
    a, b, _ = await nodes.start("a", "b", "c")
    a.journal.pause()
    claimed = len(nodes.store.claims)
    await b.node.admin.evict("a", "ops")
    await until(lambda: len(nodes.store.claims) > claimed, 5.0)
    began = nodes.clock.monotonic()
    await until(lambda: not a.node.runtime.shards.trustworthy, 5.0)
    assert nodes.clock.monotonic() - began < 0.1
    a.journal.resume()
    await until(lambda: a.node.runtime.shards.trustworthy, 5.0)
    assert a.shards == {}


async def test_an_instance_with_a_link_or_a_store_goes_on(nodes: Nodes) -> None:
    a, b, c = await nodes.start("a", "b", "c")
    nodes.redis_away()
    nodes.journal_away()
    await asyncio.sleep(20.0)
    assert all(node.node.runtime.shards.trustworthy for node in (a, b, c)), "they hear each other"
    nodes.heal()
    await nodes.settled()
    for other in (b, c):
        nodes.network.cut("a", other.name)
    await asyncio.sleep(20.0)
    assert a.node.runtime.shards.trustworthy, "it hears the stores"


async def test_an_instance_that_was_always_alone_goes_on(nodes: Nodes) -> None:
    [a] = await nodes.start("a")
    nodes.redis_away()
    nodes.journal_away()
    await asyncio.sleep(20.0)
    assert a.node.runtime.shards.trustworthy
    assert len(a.shards) == SLOT_COUNT
