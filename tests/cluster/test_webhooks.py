"""kill -9 of an instance in a sale whose events are posted to somebody."""

from __future__ import annotations

import asyncpg

from tests.cluster.conftest import UnderLoad
from tests.support.api_client import eventually
from tests.support.receivers import receiving

DONE_MAX_S = 60.0
KIND = "booking.payment.completed.v1"
PAID = "SELECT shard || '-' || seq FROM journal WHERE type = 'PaymentCompleted'"


async def test_every_event_is_delivered_though_an_instance_is_killed(
    under_load: UnderLoad, stocked_database_url: str
) -> None:
    """Given three instances that sell and a receiver of payments, when one of them is killed and
    started again, then every payment since is delivered at least once, always under its own id and
    with the same content, and nothing that is not in the journal."""
    settings = {"BOOKING_WEBHOOKS": "on", "BOOKING_WEBHOOK_ALLOW_PRIVATE": "127.0.0.1"}
    connection = await asyncpg.connect(stocked_database_url)

    async def paid() -> set[str]:
        return {row[0] for row in await connection.fetch(PAID)}

    async with receiving() as receiver, under_load(**settings) as (cluster, load):
        leader = await cluster.leader()
        body = {"url": receiver.url, "types": [KIND]}
        secret = (await cluster.operate("/webhooks", body)).data["secret"]
        before = await paid()
        await load.answers(100)
        victim = next(each for each in cluster.instances if each is not leader)
        victim.kill()
        await load.answers(200)
        await victim.start()
        await load.settle()
        everything = await paid()

        async def all_told() -> bool:
            return everything - before <= set(receiver.seen)

        await eventually(all_told, within_s=DONE_MAX_S, every_s=0.2)
    await connection.close()
    assert len(everything - before) > 10
    assert set(receiver.seen) <= everything
    events = receiver.verify(secret)
    assert {event["type"] for event in events} == {KIND}
    assert len({str(event) for event in events}) == len(receiver.seen)
