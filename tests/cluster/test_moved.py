"""All shards move while the load runs: no request fails, and each waits only for a moment."""

from __future__ import annotations

import time

import pytest

from tests.cluster.conftest import INSTANCES, Loaded, StartCluster, Tell
from tests.support.cluster import Cluster
from tests.support.load import Load

PAUSE_P99_MAX_MS = 250.0
SAMPLES_MIN = 20
"""Hand-overs that have to be seen: the pauses of none are all short."""

pytestmark = pytest.mark.skipif(INSTANCES == 1, reason="there has to be somewhere to move to")


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[int(share * (len(values) - 1))]


async def drained_in_turn(cluster: Cluster, load: Load, pauses_ms: list[float]) -> None:
    """Empty each instance and fill it again, by the operator's hand."""
    for instance in cluster.instances:
        name = instance.environ["BOOKING_INSTANCE"]
        others = [each for each in cluster.instances if each is not instance]
        await cluster.operate(f"/instances/{name}/drain")
        await cluster.balanced(among=others)
        pauses_ms += await cluster.pauses_ms()
        assert await cluster.shards_of(instance) == set()
        await load.answers(50)
        await cluster.operate(f"/instances/{name}/undrain")
        await cluster.balanced()
        pauses_ms += await cluster.pauses_ms()


async def restarted_in_turn(cluster: Cluster, load: Load, pauses_ms: list[float]) -> None:
    """SIGTERM, the end, a new start, its share back; then the next one."""
    for instance in cluster.instances:
        others = [each for each in cluster.instances if each is not instance]
        assert await instance.end() == 0, instance.said
        await cluster.balanced(among=others)
        pauses_ms += await cluster.pauses_ms()
        await load.answers(50)
        await instance.start()
        await cluster.balanced()
        pauses_ms += await cluster.pauses_ms()


def judge(load: Load, began_s: float, pauses_ms: list[float], what: str, tell: Tell) -> None:
    tell(f"{what}: {load.felt(began_s)}")
    assert len(pauses_ms) >= SAMPLES_MIN, pauses_ms
    tell(
        f"  {len(pauses_ms)} hand-overs seen, pause p50 {quantile(pauses_ms, 0.5):.1f} ms, "
        f"p99 {quantile(pauses_ms, 0.99):.1f} ms, longest {max(pauses_ms):.1f} ms"
    )
    assert load.failures == []
    assert quantile(pauses_ms, 0.99) < PAUSE_P99_MAX_MS


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
            began_s, pauses_ms = time.monotonic(), list[float]()
            await how(cluster, load, pauses_ms)
            judge(load, began_s, pauses_ms, how.__name__.replace("_", " "), tell)


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
        began_s, pauses_ms = time.monotonic(), list[float]()
        for _ in range(5):
            await drained_in_turn(cluster, load, pauses_ms)
            await restarted_in_turn(cluster, load, pauses_ms)
        judge(load, began_s, pauses_ms, "both five times", tell)
