"""All shards move while the load runs: no request fails, and each waits only for a moment."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest

from tests.cluster.conftest import INSTANCES, UnderLoad
from tests.support.cluster import Cluster
from tests.support.forms import slow
from tests.support.load import Load, quantile
from tests.support.served import Served
from tests.support.told import Tell

PAUSE_P99_MAX_MS = 500.0
"""Measured: 50, and 165 on a machine with four times as much to do as it can."""
PAUSES_SEEN_MIN = 100
"""The pauses of no hand-overs are all short."""

pytestmark = pytest.mark.skipif(INSTANCES == 1, reason="there has to be somewhere to move to")


async def drained_in_turn(cluster: Cluster, load: Load, turns: Sequence[Served]) -> None:
    """Empty each of these and fill it again, by the operator's hand."""
    for instance in turns:
        others = [each for each in cluster.instances if each is not instance]
        assert (await cluster.operate(f"/instances/{instance.name}/drain")).data
        await cluster.balanced(among=others)
        await cluster.note_pauses()
        assert await cluster.shards_of(instance) == set()
        await load.answers(50)
        assert (await cluster.operate(f"/instances/{instance.name}/undrain")).data
        await cluster.balanced()
        await cluster.note_pauses()


async def restarted_in_turn(cluster: Cluster, load: Load, turns: Sequence[Served]) -> None:
    """SIGTERM, the end, a new start, its share back; then the next one."""
    for instance in turns:
        others = [each for each in cluster.instances if each is not instance]
        assert await instance.end() == 0, instance.said
        await cluster.balanced(among=others)
        await cluster.note_pauses()
        await load.answers(50)
        await instance.start()
        await cluster.balanced()
        await cluster.note_pauses()


def judge(cluster: Cluster, load: Load, began_s: float, what: str, tell: Tell) -> None:
    tell(f"{what}: {load.felt(began_s)}")
    pauses_ms = list(cluster.pauses_ms.values())
    p50, p99 = quantile(pauses_ms, 0.5), quantile(pauses_ms, 0.99)
    tell(
        f"  {len(pauses_ms)} hand-overs seen, pause p50 {p50:.1f} ms, p99 {p99:.1f} ms, "
        f"longest {max(pauses_ms):.1f} ms"
    )
    assert len(pauses_ms) >= PAUSES_SEEN_MIN
    assert p99 < PAUSE_P99_MAX_MS
    assert load.failures == []


@pytest.mark.timeout(240)
@pytest.mark.parametrize("times", [1, slow(5, limit_s=900)])
async def test_instances_drained_and_then_restarted_in_turn(
    under_load: UnderLoad, tell: Tell, times: int
) -> None:
    """The leader and another one, or in the long form each of them, again and again."""
    async with under_load() as (cluster, load):
        for how in (drained_in_turn, restarted_in_turn) * times:
            leader = await cluster.leader()
            others = [each for each in cluster.instances if each is not leader]
            began_s = time.monotonic()
            await how(cluster, load, [leader, *(others if times > 1 else others[:1])])
            judge(cluster, load, began_s, how.__name__.replace("_", " "), tell)
