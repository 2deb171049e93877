"""Several instances, each request to a random one: the same behaviour as one."""

from __future__ import annotations

import asyncio
from collections import Counter

from tests.cluster.conftest import StartCluster, UnderLoad
from tests.support.api_client import AnyApi, Api, Reply, new_user
from tests.support.cluster import Cluster
from tests.support.cluster_verdict import audit_is_clean
from tests.support.told import Tell

RACERS = 200
CHARGES = 500
CHARGED_BY = 50
"""Clients that charge the one account at the same time."""


async def test_races_and_charges_are_exact_across_instances(
    start_cluster: StartCluster, stocked_database_url: str
) -> None:
    async with (
        start_cluster() as cluster,
        AnyApi([each.url for each in cluster.instances], seed=2) as api,
    ):
        await one_seat_goes_to_one_of_many(cluster, api)
        await charges_are_exact_each_sent_twice(cluster, api)
        await asyncio.to_thread(audit_is_clean, stocked_database_url)


async def one_seat_goes_to_one_of_many(cluster: Cluster, api: Api) -> None:
    inside = await asyncio.gather(*(api.enter() for _ in range(RACERS)))
    raced = await asyncio.gather(*(api.reserve(token, "big-7") for _, token in inside))
    assert Counter(reply.status for reply in raced) == {201: 1, 409: RACERS - 1}
    assert {reply.code for reply in raced if reply.status == 409} == {"seat_unavailable"}
    winner = next(at for at, reply in enumerate(raced) if reply.status == 201)
    user, token = inside[winner]
    assert (await api.charge(user, 1_000)).data == {"balance": 1_000}
    assert (await api.pay(token, "big-7")).status == 201
    for instance in cluster.instances:
        async with Api(instance.url) as one:
            payments = (await one.call("GET", f"/payments?userId={user}")).data["items"]
            assert [each["seatId"] for each in payments] == ["big-7"]


async def charges_are_exact_each_sent_twice(cluster: Cluster, api: Api) -> None:
    user = new_user()
    gate = asyncio.Semaphore(CHARGED_BY)

    async def charge(number: int) -> Reply:
        async with gate:
            first = await api.charge(user, number, key=f"charge-{number}")
            again = await api.charge(user, number, key=f"charge-{number}")
        assert first.status == again.status == 200, (first, again)
        assert again.headers["Idempotent-Replayed"] == "true"
        assert again.data == first.data
        return first

    amounts = range(1, CHARGES + 1)
    replies = await asyncio.gather(*map(charge, amounts))
    balances = [reply.data["balance"] for reply in replies]
    assert len(set(balances)) == CHARGES, "two charges were told the same balance"
    assert max(balances) == sum(amounts)
    for instance in cluster.instances:
        async with Api(instance.url) as one:
            assert await one.balance(user) == sum(amounts)


async def test_the_flow_through_random_instances_never_fails(
    under_load: UnderLoad, tell: Tell
) -> None:
    async with under_load() as (cluster, load):
        for _ in range(5):
            await load.answers(50)
            for user in load.meters:
                for instance in cluster.instances:
                    assert await load.read_meter(instance.url, user)
        tell(f"undisturbed: {load.felt()}")
        assert load.failures == []
