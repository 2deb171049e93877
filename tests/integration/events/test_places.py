"""Public events of a queue's journal, with what is kept of it between batches."""

from __future__ import annotations

from collections import Counter

import asyncpg
import pytest

from actors.address import Address
from actors.consumers.contract import Event
from booking.events.contract import CloudEvent
from booking.events.places import forget
from booking.queue.domain.events import Admitted, Joined, Left, TokensExpired
from tests.support.journals import JournalRow, user_id
from tests.support.public_events import event_of, of_type, told, told_in_batches
from tests.support.queue_sales import a_sale
from tests.support.read_tables import with_user_ids


def a_journal() -> list[Event]:
    """A queue with an opening, a draw, departures of every kind and several rules."""
    rows: list[JournalRow] = with_user_ids(a_sale())
    return [event_of(row) for row in rows]


@pytest.mark.parametrize("size", [1, 7])
async def test_batches_of_any_size_tell_the_same(database_url: str, size: int) -> None:
    events = a_journal()
    assert await told_in_batches(database_url, events, size) == told(events)


async def test_as_many_are_admitted_as_the_queue_let_in(database_url: str) -> None:
    """Given some who left before they were admitted, then each who came in is told once and
    named, and ends once."""
    events = a_journal()
    found = await told_in_batches(database_url, events, 5)
    admitted = Counter((each.number, each.user_id) for each in of_type(found, "queue.admitted"))
    let_in = sum(each.data.count for each in events if isinstance(each.data, Admitted))
    assert admitted.total() >= let_in > 50
    assert set(admitted.values()) == {1}
    joined = {each.number: each.user_id for each in of_type(found, "queue.joined")}
    assert admitted.keys() <= set(joined.items())
    ended = Counter(each.number for each in of_type(found, "queue.left"))
    assert set(ended.values()) == {1}
    expired = [n for e in events if isinstance(e.data, TokensExpired) for n in e.data.numbers]
    assert set(expired) <= ended.keys()


async def test_a_consumer_that_is_behind_another_tells_the_same(database_url: str) -> None:
    """Given one that is through, when another one begins, or the first one is rewound, then it
    tells the same events with the same ids."""
    events = a_journal()
    first = await told_in_batches(database_url, events, 500)
    assert await told_in_batches(database_url, events, 3) == first
    half = len(events) // 2
    again = await told_in_batches(database_url, events[half:], 4)
    assert again == first[-len(again) :]
    assert again[0].id.startswith(f"{events[half].shard}-{events[half].seq}")


async def forgotten(dsn: str, before: Event) -> int:
    """How many places go when everything before an event is archived; the others stay."""
    connection = await asyncpg.connect(dsn)
    try:
        kept = await connection.fetchval(
            "SELECT count(*) FROM queue_places WHERE left_seq IS NULL OR left_seq >= $1", before.seq
        )
        gone = await forget(connection, {before.shard: before.seq - 1})
        assert await connection.fetchval("SELECT count(*) FROM queue_places") == kept
        assert await forget(connection, {before.shard: before.seq - 1}) == 0
        return gone
    finally:
        await connection.close()


async def test_places_that_were_left_in_what_is_archived_are_forgotten(database_url: str) -> None:
    """Given a consumer amid a sale, when everything before is archived and the places that were
    left are forgotten, then it tells what it would have told, and so does one that begins anew."""
    events = a_journal()
    half, whole = len(events) // 2, told(events)
    before = await told_in_batches(database_url, events[:half], 500)
    assert await forgotten(database_url, events[half]) > 0
    assert before + await told_in_batches(database_url, events[half:], 7) == whole
    assert await told_in_batches(database_url, events, 500) == whole


async def test_a_place_that_is_written_anew_is_not_told_of_by_who_is_further(
    database_url: str,
) -> None:
    """Given three in a queue of whom the second has left, and is forgotten, when another consumer
    begins anew and is not yet there, then only the other two are told to be admitted."""
    address = Address("queue", "main")
    users = [user_id(n) for n in range(3)]
    every = [
        *(Joined(user, n, 0) for n, user in enumerate(users, 1)),
        Left(users[1], 2),
        Admitted(1, 3, 2, 0, 600_000),
    ]
    events = [
        Event(address.slot, seq, address, 0, type(data).__name__, data)
        for seq, data in enumerate(every, 1)
    ]
    await told_in_batches(database_url, events[:4], 500)
    assert await forgotten(database_url, events[4]) == 1
    await told_in_batches(database_url, events[:3], 500)
    admitted = of_type(await told_in_batches(database_url, events[4:], 500), "queue.admitted")
    assert [each.number for each in admitted] == [1, 3]
    assert await told_in_batches(database_url, events, 1) == told(events)


async def test_a_number_given_out_again_after_a_loss_is_its_new_user_s(database_url: str) -> None:
    events = a_journal()
    await told_in_batches(database_url, events, 500)
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(
            "UPDATE queue_places SET user_id = gen_random_uuid(), left_seq = 1"
        )
    finally:
        await connection.close()
    found: list[CloudEvent] = await told_in_batches(database_url, events, 2)
    assert found == told(events)
