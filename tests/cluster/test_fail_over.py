"""The PostgreSQL primary is lost for good under load, and Patroni promotes the standby."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Collection
from typing import Any

import aiohttp
import pytest

from actors.address import Address
from booking.audit import run
from booking.schema import migrate
from tests.cluster.conftest import StartCluster, UnderLoad
from tests.support.api_client import AnyApi, Api, eventually, new_user
from tests.support.cluster import Cluster
from tests.support.following import following
from tests.support.load import Load
from tests.support.patroni import Node, PatroniCluster, patroni_cluster
from tests.support.probes import users_of
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
    everything acknowledged is there, the service goes on by itself, and the audit that follows
    waits for the database and tells nothing."""
    async with (
        under_load(count=INSTANCES) as (cluster, load),
        following(patroni.database_url) as heard,
    ):
        await fail_over(load, cluster, patroni, tell)
        rows = heard.follower.rows
        await heard.until(lambda heard: heard.follower.rows > rows)
        assert heard.problems
        assert heard.told == []


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


# -- a standby that lacks acknowledged rows --------------------------------------------------------

NOTICED_MAX_S = 30.0
"""From the promotion until every lost shard is named: 5 s on a machine of one's own."""


async def charged(api: Api, users: Collection[str]) -> None:
    """Each gets 1,000, and is told so: at once, or when the journal is back."""
    for user in users:

        async def done(user: str = user, key: str = new_user()) -> bool:
            return (await api.charge(user, 1_000, key)).status == 200

        await eventually(done, within_s=AGAIN_MAX_S)


async def ends(node: Node) -> dict[int, int]:
    """The last seq of each shard by this node's journal."""
    rows = await node.execute(
        "SELECT json_object_agg(shard, seq) FROM"
        " (SELECT shard, max(seq) AS seq FROM journal GROUP BY shard) AS ends",
        database="booking",
    )
    return {int(shard): seq for shard, seq in json.loads(rows).items()}


async def test_rows_that_a_standby_lacks_are_named_and_wait_for_an_operator(
    start_cluster: StartCluster, patroni: PatroniCluster, tell: Tell
) -> None:
    """Given an asynchronous standby that was cut off and lacks acknowledged rows, when it is
    promoted, the service names each shard with its last seqs and its entities, and so does the
    audit that follows; it serves the others, writes nothing behind the gap, and serves all from
    what there is once an operator accepts."""
    kept, lost = users_of(range(0, 256, 8), new_user), users_of(range(4, 256, 32), new_user)
    async with (
        start_cluster(INSTANCES) as cluster,
        AnyApi(urls_of(cluster), seed=1) as api,
        following(patroni.database_url) as heard,
    ):
        before = await patroni.primary()
        [after] = [node for node in patroni.nodes if node is not before]
        await patroni.set_synchronous(False)
        await patroni.stands_by(before, synchronous=False)
        await charged(api, [*kept, *lost])
        had = await ends(before)
        await patroni.has_all(before, after)
        await patroni.cut_off(before)
        await charged(api, lost)
        acknowledged = await ends(before)
        await heard.until(lambda heard: heard.follower.rows >= sum(acknowledged.values()))
        before.kill()
        await patroni.primary([after])
        promoted_s = time.monotonic()
        gone = {shard: seq for shard, seq in acknowledged.items() if seq > had.get(shard, 0)}
        assert {Address("account", user).slot for user in lost} <= gone.keys()

        async def losses() -> dict[int, Any]:
            said = await cluster.look("/losses")
            return {e["shard"]: e for e in said.data["items"]} if said.status == 200 else {}

        async def named() -> bool:
            return (await losses()).keys() == gone.keys()

        await eventually(named, within_s=NOTICED_MAX_S)
        tell(f"{len(gone)} shards lost rows: named {time.monotonic() - promoted_s:.1f} s after")
        await heard.until(lambda heard: {found.shard for found in heard.told} == gone.keys())
        for shard, loss in (await losses()).items():
            assert (loss["firstSeq"], loss["lastSeq"]) == (had.get(shard, 0) + 1, gone[shard])
        addresses = {address for loss in (await losses()).values() for address in loss["entities"]}
        assert {f"account/{user}" for user in lost} <= addresses
        assert await metric(cluster, "booking_shards_lost") == len(gone)

        # The others are served, and nothing is written behind a gap.
        await charged(api, [user for user in kept if Address("account", user).slot not in gone])
        refused = await api.charge(lost[0], 1_000)
        assert (refused.status, refused.code) == (503, "past_lost")
        assert {s: seq for s, seq in (await ends(after)).items() if s in gone} == {
            s: seq for s, seq in had.items() if s in gone
        }
        report = await run(patroni.database_url)
        assert {v.check for v in report.verdicts if not v.ok} == {"I3"}

        await cluster.operate("/losses/accept", {"all": True})
        await cluster.served_again_s(through=cluster.instances)
        for user in lost:
            assert await api.balance(user) == 1_000
        await charged(api, lost)
        report = await run(patroni.database_url)
        assert report.ok, report.verdicts
        # More than one instance may have noticed the same loss, each as far as it knew.
        told = {int(loss.split(":")[0].removeprefix("shard ")) for loss in report.losses}
        assert told == gone.keys()


def urls_of(cluster: Cluster) -> list[str]:
    return [instance.url for instance in cluster.instances]


async def metric(cluster: Cluster, name: str) -> float:
    """The largest that an instance tells."""
    async with aiohttp.ClientSession() as session:
        values = []
        for url in urls_of(cluster):
            async with session.get(f"{url}/metrics") as answer:
                lines = (await answer.text()).splitlines()
            values += [float(line.split()[1]) for line in lines if line.startswith(f"{name} ")]
    return max(values)
