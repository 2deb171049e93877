"""All shards move while the load runs: no request fails, and each waits only for a moment."""

from __future__ import annotations

import time

import pytest

from tests.cluster.conftest import INSTANCES, Loaded, StartCluster, Tell
from tests.support.cluster import Cluster
from tests.support.load import Load

TRY_P99_MAX_S = 0.25
"""What is promised of the pause of a shard holds for whoever asks meanwhile."""

pytestmark = pytest.mark.skipif(INSTANCES == 1, reason="there has to be somewhere to move to")


async def drained_in_turn(cluster: Cluster, load: Load) -> None:
    """Empty each instance and fill it again, by the operator's hand."""
    for instance in cluster.instances:
        others = [each for each in cluster.instances if each is not instance]
        await cluster.drain(instance, draining=True)
        await cluster.balanced(among=others)
        assert await cluster.shards_of(instance) == set()
        await load.answers(50)
        await cluster.drain(instance, draining=False)
        await cluster.balanced()


async def restarted_in_turn(cluster: Cluster, load: Load) -> None:
    """SIGTERM, the end, a new start, its share back; then the next one."""
    for instance in cluster.instances:
        others = [each for each in cluster.instances if each is not instance]
        assert await instance.end() == 0, instance.said
        await cluster.balanced(among=others)
        await load.answers(50)
        await instance.start()
        await cluster.balanced()


def judge(load: Load, began_s: float, what: str, tell: Tell) -> None:
    felt = load.felt(began_s)
    tell(f"{what}: {felt}")
    assert load.failures == []
    assert felt.try_p99_s < TRY_P99_MAX_S


@pytest.mark.timeout(240)
async def test_each_instance_drained_and_then_restarted_in_turn(
    start_cluster: StartCluster,
    loaded: Loaded,
    stocked_database_url: str,
    redis_url: str,
    tell: Tell,
) -> None:
    async with (
        start_cluster(stocked_database_url, redis_url) as cluster,
        loaded(cluster) as load,
    ):
        for how in (drained_in_turn, restarted_in_turn):
            began_s = time.monotonic()
            await how(cluster, load)
            judge(load, began_s, how.__name__.replace("_", " "), tell)


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_drains_and_restarts_again_and_again(
    start_cluster: StartCluster,
    loaded: Loaded,
    stocked_database_url: str,
    redis_url: str,
    tell: Tell,
) -> None:
    async with (
        start_cluster(stocked_database_url, redis_url) as cluster,
        loaded(cluster) as load,
    ):
        began_s = time.monotonic()
        for _ in range(5):
            await drained_in_turn(cluster, load)
            await restarted_in_turn(cluster, load)
        judge(load, began_s, "both five times", tell)
