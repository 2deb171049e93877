"""The PostgreSQL primary is lost for good under load, and Patroni promotes the standby."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest

from booking.schema import migrate
from tests.cluster.conftest import UnderLoad
from tests.support.cluster import Cluster
from tests.support.load import Load
from tests.support.patroni import Node, PatroniCluster, patroni_cluster
from tests.support.stock import import_catalogue
from tests.support.told import Tell

pytestmark = pytest.mark.timeout(300)

INSTANCES = 2
AGAIN_MAX_S = 60.0
"""From the kill until every shard answers again. Patroni takes some 5 s here to promote the standby
(30 s with its defaults); the rest is for a busy machine."""


@pytest.fixture
async def patroni() -> AsyncIterator[PatroniCluster]:
    """Two nodes of one's own, the standby synchronous."""
    async with patroni_cluster() as running:
        yield running


@pytest.fixture
async def stocked_database_url(patroni: PatroniCluster) -> str:
    """The clusters of this module are on those."""
    await migrate.migrate(patroni.database_url)
    await import_catalogue(patroni.database_url)
    return patroni.database_url


async def fail_over(
    load: Load, cluster: Cluster, patroni: PatroniCluster, tell: Tell
) -> tuple[Node, Node]:
    """Kill the primary, and see the other node serve; who was it, and who is it now."""
    before = await patroni.primary()
    others = [node for node in patroni.nodes if node is not before]
    at_s = time.monotonic()
    before.kill()
    after = await patroni.primary(others)
    promoted_s = time.monotonic() - at_s
    await cluster.served_again_s(through=cluster.instances)
    again_s = time.monotonic() - at_s
    assert again_s < AGAIN_MAX_S
    await load.answers(150)
    felt = load.felt(at_s)
    tell(f"primary killed: promoted after {promoted_s:.1f} s, every shard after {again_s:.1f} s")
    tell(f"  writes refused for {felt.longest_window_s:.1f} s; {felt}")
    assert {one.status for one in felt.failed_first} <= {0, 503}, felt
    return before, after


async def test_a_synchronous_standby_takes_over_and_nothing_is_lost(
    under_load: UnderLoad, patroni: PatroniCluster, tell: Tell
) -> None:
    """Given ``synchronous_mode``, when the primary is killed under load and the standby promoted,
    everything acknowledged is there, and the service goes on by itself."""
    async with under_load(count=INSTANCES) as (cluster, load):
        await fail_over(load, cluster, patroni, tell)


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_primaries_are_lost_again_and_again(
    under_load: UnderLoad, patroni: PatroniCluster, tell: Tell
) -> None:
    """As above, each time with the node that was lost before as the new standby."""
    async with under_load(count=INSTANCES) as (cluster, load):
        for _ in range(4):
            before, after = await fail_over(load, cluster, patroni, tell)
            before.start()
            await patroni.stands_by(after, synchronous=True)
            await load.answers(150)
