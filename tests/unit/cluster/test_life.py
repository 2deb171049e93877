"""A cluster from its first instance to its last: joins, losses, drains, and what callers notice."""

from __future__ import annotations

from actors.address import SLOT_COUNT
from tests.support.nodes import Nodes


async def test_instances_that_start_together_share_the_shards(nodes: Nodes) -> None:
    await nodes.start("a", "b", "c")
    assert sum(nodes.counts().values()) == SLOT_COUNT
    assert min(nodes.counts().values()) >= 77, "a tenth less than a third at most"


async def test_every_instance_answers_for_every_shard(nodes: Nodes) -> None:
    for node in await nodes.start("a", "b", "c"):
        for owner in nodes.alive:
            before = await node.reply(nodes.address_on(owner), "get")
            assert await node.reply(nodes.address_on(owner), ("add", 2)) == before + 2
