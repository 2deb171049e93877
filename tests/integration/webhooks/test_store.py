"""What is written down for webhooks: nothing lost, nothing twice, whoever dies."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from actors.consumers.contract import Consumer, Step
from actors.consumers.postgres import PostgresOffsets
from booking.webhooks.contract import (
    AttemptResult,
    UnknownWebhookError,
    WebhookError,
)
from booking.webhooks.sending import Webhooks
from booking.webhooks.store import WebhookStore
from tests.integration.webhooks.conftest import Another
from tests.support.journal_rows import somebody_waits_for
from tests.support.receivers import charged, long_ago, tell

URL = "https://example.org/in"
WELL, BAD = AttemptResult(204), AttemptResult(503, "answered 503")
FOR_EVER_S, DAYS_S = 1e9, 3 * 86_400.0


async def endpoint(webhooks: Webhooks, *types: str) -> str:
    name, _ = await webhooks.create(URL, types, "", None)
    return name


async def handled(webhooks: Webhooks, dsn: str, *seqs: int) -> None:
    await tell(dsn, webhooks.consumer().handle, [charged(seq) for seq in seqs])


async def events_of(store: WebhookStore, name: str, state: Any = None) -> list[str]:
    return sorted(one.event for one in await store.deliveries(name, state, 100))


async def test_there_is_one_delivery_for_each_endpoint_and_event(
    webhooks: Webhooks, database_url: str
) -> None:
    """Given two endpoints that want charges and one that does not, when the consumer is given
    events, and some of them again after it was rewound, then each has exactly one row of each."""
    one, two = await endpoint(webhooks), await endpoint(webhooks, "booking.balance.charged.v1")
    other = await endpoint(webhooks, "booking.seat.sold.v1")
    await handled(webhooks, database_url, 1, 2)
    await handled(webhooks, database_url, 2, 3)
    for name in (one, two):
        assert await events_of(webhooks.store, name) == ["7-1", "7-2", "7-3"]
    assert await events_of(webhooks.store, other) == []


async def test_deliveries_are_there_exactly_if_the_offset_has_moved(
    webhooks: Webhooks, database_url: str
) -> None:
    """Given a consumer whose transaction fails after its function has returned, then neither its
    offset nor a delivery is there; and two instances that take the same step write it once."""
    name = await endpoint(webhooks)
    consumer = webhooks.consumer()
    offsets = PostgresOffsets(consumer, database_url)
    await offsets.open({7: 0})
    step = {7: Step(0, 1, 1)}

    async def fail() -> None:
        async with offsets.moving(step) as (_, connection):
            await consumer.handle([charged(1)], connection)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await events_of(webhooks.store, name) == []

    async def take(which: Consumer) -> None:
        mine = PostgresOffsets(which, database_url)
        async with mine.moving(step) as (live, connection):
            await which.handle([charged(1)] if live else [], connection)
        await mine.close()

    await asyncio.gather(take(consumer), take(consumer))
    assert await events_of(webhooks.store, name) == ["7-1"]
    await offsets.close()


async def test_an_endpoint_is_told_of_nothing_from_before_it_was_made(
    webhooks: Webhooks, database_url: str
) -> None:
    name = await endpoint(webhooks)
    await tell(database_url, webhooks.consumer().handle, [long_ago(1), charged(2)])
    assert await events_of(webhooks.store, name) == ["7-2"]


async def test_what_one_instance_has_taken_no_other_has(
    webhooks: Webhooks, another: Another, database_url: str
) -> None:
    await endpoint(webhooks)
    await handled(webhooks, database_url, *range(1, 21))
    stores = [webhooks.store, another().store, another().store]
    taken = await asyncio.gather(*(store.take({}, 8, 60.0) for store in stores))
    assert sorted(map(len, taken)) == [4, 8, 8]
    assert len({each.event for some in taken for each in some}) == 20
    assert await webhooks.store.take({}, 8, 60.0) == []


async def test_what_a_dead_sender_had_taken_comes_again(
    webhooks: Webhooks, another: Another, database_url: str
) -> None:
    """Given a sender that took an event and died, when its lease is over, then another one gets
    it, and the dead one, if it only stood still, can no longer fail it."""
    name = await endpoint(webhooks)
    await handled(webhooks, database_url, 1)
    [dead] = await webhooks.store.take({}, 8, 0.0)
    store = another().store
    [taken] = await store.take({}, 8, 60.0)
    assert (taken.event, taken.attempts) == (dead.event, 2)
    assert not await webhooks.store.failed(dead, BAD, None, DAYS_S)
    assert await events_of(store, name, "pending") == ["7-1"]
    await webhooks.store.delivered(dead, WELL)
    assert await events_of(store, name, "delivered") == ["7-1"]
    assert not await store.failed(taken, BAD, None, DAYS_S)
    assert await events_of(store, name, "delivered") == ["7-1"]


async def test_a_busy_endpoint_leaves_room_for_others(
    webhooks: Webhooks, database_url: str
) -> None:
    slow, other = await endpoint(webhooks), await endpoint(webhooks)
    await handled(webhooks, database_url, *range(1, 6))
    taken = await webhooks.store.take({slow: 7}, 8, 60.0)
    assert sorted(each.endpoint for each in taken) == sorted([slow] + 5 * [other])
    assert await webhooks.store.take({slow: 9, other: 8}, 8, 60.0) == []


async def test_what_failed_is_due_again_later_or_when_it_is_sent_again(
    webhooks: Webhooks, database_url: str
) -> None:
    name, store = await endpoint(webhooks), webhooks.store
    await handled(webhooks, database_url, 1, 2)
    first, second = sorted(await store.take({}, 8, 60.0), key=lambda each: each.event)
    await store.failed(first, BAD, 3_600.0, DAYS_S)
    await store.failed(second, BAD, None, DAYS_S)
    assert await store.take({}, 8, 60.0) == []
    view = await store.view(name)
    assert (view.pending, view.dead, view.trouble) == (1, 1, "answered 503")
    assert view.failing_since_ms is not None
    [dead] = await store.deliveries(name, "dead", 10)
    assert (dead.event, dead.status, dead.attempts) == ("7-2", 503, 1)

    assert await store.resend(name, []) == 1
    [again] = await store.take({}, 8, 60.0)
    assert (again.event, again.attempts) == ("7-2", 1)
    await store.delivered(again, WELL)
    view = await store.view(name)
    assert (view.dead, view.trouble, view.failing_since_ms) == (0, "", None)
    assert await store.resend(name, ["7-2", "7-999"]) == 1
    assert await events_of(store, name, "pending") == ["7-1", "7-2"]


@pytest.mark.parametrize(
    ("answered", "patience_s"), [(AttemptResult(410, "answered 410"), DAYS_S), (BAD, 0.0)]
)
async def test_one_that_is_gone_or_fails_for_long_is_disabled(
    webhooks: Webhooks, database_url: str, answered: AttemptResult, patience_s: float
) -> None:
    name, store = await endpoint(webhooks), webhooks.store
    await handled(webhooks, database_url, 1, 2, 3)
    one, two, three = await store.take({}, 8, 0.0)
    if patience_s == 0:
        assert not await store.failed(one, BAD, 0.0, FOR_EVER_S)
    assert await store.failed(two, answered, None, patience_s)
    assert not await store.failed(three, answered, None, patience_s)  # Once is enough.
    assert not (await store.view(name)).enabled
    assert await store.take({}, 8, 60.0) == []
    await handled(webhooks, database_url, 4)
    assert "7-4" not in await events_of(store, name)

    connection = await asyncpg.connect(database_url)
    rows = await connection.fetch("SELECT who, what, detail::text FROM operator_log")
    await connection.close()
    [line] = [tuple(row) for row in rows]
    assert line[:2] == ("webhooks", "webhook_disabled")
    assert name in line[2]
    assert answered.trouble in line[2]

    await webhooks.change(name, enabled=True)
    view = await store.view(name)
    assert (view.enabled, view.trouble, view.failing_since_ms) == (True, "", None)
    assert await store.take({}, 8, 60.0)


async def test_an_old_secret_signs_until_its_time_is_over(
    webhooks: Webhooks, database_url: str
) -> None:
    name, first = await webhooks.create(URL, (), "", None)
    await handled(webhooks, database_url, 1)
    await webhooks.store.rotate(name, "whsec_new", 3_600.0)
    [posting] = await webhooks.store.take({}, 8, 0.0)
    assert (posting.secret, posting.old_secret) == ("whsec_new", first)
    await webhooks.store.rotate(name, "whsec_newer", 0.0)
    [posting] = await webhooks.store.take({}, 8, 0.0)
    assert (posting.secret, posting.old_secret) == ("whsec_newer", "")


async def test_a_deleted_endpoint_takes_along_what_is_pending(
    webhooks: Webhooks, database_url: str
) -> None:
    """Given a consumer in the middle of its transaction, when an endpoint is deleted, then the
    deletion waits for it and takes its deliveries along."""
    name, kept = await endpoint(webhooks), await endpoint(webhooks)
    connection = await asyncpg.connect(database_url)
    async with connection.transaction():
        await webhooks.consumer().handle([charged(1)], connection)
        deleting = asyncio.create_task(webhooks.store.delete(name))
        await somebody_waits_for(connection)
        assert not deleting.done()
    await deleting
    left = await connection.fetch("SELECT endpoint FROM webhook_deliveries")
    await connection.close()
    assert [row["endpoint"] for row in left] == [kept]
    for call in (webhooks.store.delete(name), webhooks.store.view(name)):
        with pytest.raises(UnknownWebhookError):
            await call


async def test_a_consumer_waits_for_a_deletion_under_way_and_goes_on(
    webhooks: Webhooks, database_url: str
) -> None:
    """Given an endpoint whose deletion is not committed yet, when the consumer is given events,
    then it waits, writes what the others want, and does not fail."""
    name, kept = await endpoint(webhooks), await endpoint(webhooks)
    connection = await asyncpg.connect(database_url)
    async with connection.transaction():
        await connection.execute("DELETE FROM webhook_endpoints WHERE id = $1", name)
        handling = asyncio.create_task(handled(webhooks, database_url, 1))
        await somebody_waits_for(connection)
        assert not handling.done()
    await handling
    await connection.close()
    assert await events_of(webhooks.store, kept) == ["7-1"]


async def test_what_is_over_is_forgotten_the_dead_after_thirty_days(
    webhooks: Webhooks, database_url: str
) -> None:
    name, store = await endpoint(webhooks), webhooks.store
    await handled(webhooks, database_url, 1, 2, 3)
    one, two, _ = sorted(await store.take({}, 8, 60.0), key=lambda each: each.event)
    await store.delivered(one, WELL)
    await store.failed(two, BAD, None, FOR_EVER_S)
    connection = await asyncpg.connect(database_url)
    for days, left in ((0, 3), (2, 2), (29, 1)):
        await connection.execute(
            "UPDATE webhook_deliveries SET ended_at = ended_at - $1 * interval '1 day'", days
        )
        await store.forget()
        assert len(await events_of(store, name)) == left
    await connection.close()


async def test_there_are_not_too_many(webhooks: Webhooks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("booking.webhooks.store.ENDPOINTS_MAX", 2)
    await endpoint(webhooks)
    await endpoint(webhooks)
    with pytest.raises(WebhookError):
        await endpoint(webhooks)


async def test_what_cannot_be_is_refused(webhooks: Webhooks) -> None:
    for url, types in ((URL, ["booking.seat.eaten.v1"]), ("https://10.0.0.1/", [])):
        with pytest.raises(WebhookError):
            await webhooks.create(url, types, "", None)
    name = await endpoint(webhooks)
    with pytest.raises(WebhookError):
        await webhooks.change(name, url="https://[::1]/")
    with pytest.raises(UnknownWebhookError):
        await webhooks.change("we_nobody", about="nobody")
    await webhooks.change(name, url="https://example.org/other")
    assert [one.url for one in await webhooks.store.all()] == ["https://example.org/other"]
