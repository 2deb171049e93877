"""A plan that was shown is carried out exactly, or not at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any

import pytest

from tests.cluster.conftest import INSTANCES, UnderLoad
from tests.support.cluster import Cluster, until

MOVED = 5
"""Shards moved by hand, so that there is something to plan. Few, and to where few are: the leader
takes back what makes an instance a tenth fuller than it should be."""

pytestmark = pytest.mark.skipif(INSTANCES == 1, reason="there has to be somewhere to move to")


async def owners(cluster: Cluster) -> dict[int, str]:
    return {shard: owner for shard, (owner, _) in (await cluster.owners()).items()}


async def moved_by_hand(cluster: Cluster, count: int) -> Collection[int]:
    """Some shards of the fullest instance are the emptiest's now."""
    shares = Counter(each.name for each in cluster.instances)
    shares.update((await owners(cluster)).values())
    (fullest, _), *_, (emptiest, _) = shares.most_common()
    shards = sorted(await cluster.shards_of(cluster.by_name[fullest]))[:count]
    for shard in shards:
        assert (await cluster.operate(f"/shards/{shard}/move", {"to": emptiest})).data

    async def there() -> bool:
        now = await owners(cluster)
        return all(now[shard] == emptiest for shard in shards)

    await until(there, "the shards are moved")
    return shards


async def shown(cluster: Cluster) -> dict[str, Any]:
    plan: dict[str, Any] = (await cluster.operate("/rebalance", {"dryRun": True})).data
    assert plan["moves"], plan
    return plan


async def test_exactly_the_plan_that_was_shown_is_carried_out(under_load: UnderLoad) -> None:
    """The load is light, or the leader would have reasons of its own to move something."""
    async with under_load(clients=4, metered=()) as (cluster, load):
        await moved_by_hand(cluster, MOVED)
        plan = await shown(cluster)
        assert await shown(cluster) == plan, "a plan is only a plan"
        before = await owners(cluster)
        assert (await cluster.operate("/rebalance", {"planId": plan["planId"]})).status == 200

        async def done() -> bool:
            return await cluster.rebalance_state() == "done"

        await until(done, "the plan is done")
        after = await owners(cluster)
        changed = {n: (before[n], after[n]) for n in before if before[n] != after[n]}
        assert changed == {m["shard"]: (m["from"], m["to"]) for m in plan["moves"]}
        await load.answers(50)
        assert load.failures == []


@pytest.mark.slow
async def test_a_stale_plan_is_refused_and_does_nothing(
    under_load: UnderLoad,
) -> None:
    async with under_load(clients=4, metered=()) as (cluster, load):
        await moved_by_hand(cluster, MOVED - 1)
        plan = await shown(cluster)
        await moved_by_hand(cluster, 1)
        before = await owners(cluster)
        refused = await cluster.operate("/rebalance", {"planId": plan["planId"]})
        assert (refused.status, refused.code) == (409, "plan_stale"), refused
        await load.answers(100)
        assert await owners(cluster) == before
        assert load.failures == []
