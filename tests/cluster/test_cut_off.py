"""Two instances cannot hear each other, though both reach PostgreSQL and Redis.

Neither is dead, so nothing changes hands. What one is asked of the other's shards it refuses with
503, or finds another way; it never decides itself.
"""

from __future__ import annotations

import asyncio
import time
from random import Random

import pytest

from tests.cluster.conftest import INSTANCES, UnderLoad
from tests.support.cluster import Cluster
from tests.support.load import Load
from tests.support.told import Tell

CUT_S, CUT_LONG_S = 8.0, 40.0
"""Longer than it takes to be declared dead when one is."""

pytestmark = pytest.mark.skipif(
    INSTANCES == 1, reason="there has to be somebody to be cut off from"
)


async def cut_for(
    cluster: Cluster, load: Load, one: str, other: str, seconds: float, tell: Tell
) -> None:
    before = await cluster.owners()
    at_s = time.monotonic()
    cluster.cuts.cut(one, other)
    answered = 0
    while time.monotonic() - at_s < seconds:
        reads = (
            load.read_meter(instance.url, user)
            for instance in cluster.instances
            for user in load.meters
        )
        answered += sum(await asyncio.gather(*reads))
        await load.answers(10)
    assert cluster.cuts.held, "nobody met the cut wire"
    assert await cluster.owners() == before, "a shard has changed hands"
    felt = load.felt(at_s)
    cluster.cuts.mend()
    again_s = [await cluster.served_again_s(through=[each]) for each in cluster.instances]
    tell(f"{one} and {other} cut off for {seconds:.0f} s: {felt}")
    tell(f"  {answered} reads, none stale; all answer all {max(again_s):.2f} s after the mending")
    assert {one.status for one in felt.failed_first} <= {503}, felt


async def test_instances_that_cannot_hear_each_other_own_nothing_twice(
    under_load: UnderLoad, random: Random, tell: Tell
) -> None:
    async with under_load(with_wires=True) as (cluster, load):
        one, other = random.sample(sorted(cluster.by_name), 2)
        await cut_for(cluster, load, one, other, CUT_S, tell)
        await load.answers(50)


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_long_cuts_of_every_pair(under_load: UnderLoad, tell: Tell) -> None:
    async with under_load(with_wires=True) as (cluster, load):
        names = sorted(cluster.by_name)
        for at, one in enumerate(names):
            for other in names[at + 1 :]:
                await cut_for(cluster, load, one, other, CUT_LONG_S, tell)
                await load.answers(50)
