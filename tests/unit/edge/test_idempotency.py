"""Idempotency-Key on every POST."""

from __future__ import annotations

import asyncio

import pytest
from multidict import CIMultiDict

from actors.address import Address
from actors.errors import OutcomeUnknownError
from booking.catalogue.domain import MAIN_QUEUE
from booking.entities import account_address, queue_address, seat_address
from tests.support.edge import ALICE, BOB, Edge, eventually
from tests.support.journals import user_id


async def test_a_repeat_tells_the_first_outcome(edge: Edge) -> None:
    key = {"Idempotency-Key": '"one"'}
    body = {"userId": ALICE, "amount": 5}
    first = await edge("POST", "/user/charge", body, headers=key)
    again = await edge("POST", "/user/charge", body, headers=key)
    assert first.data == again.data == {"balance": 5}
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"


async def test_a_refusal_is_an_outcome_too(edge: Edge) -> None:
    token = await edge.enter(ALICE)
    await edge.hold(await edge.enter(BOB), "d1-1")
    key = {"Idempotency-Key": "one"}
    wanted = {"seatId": "d1-1"}
    first = await edge("POST", "/reservation", wanted, token=token, headers=key)
    edge.instance.clock.advance(300_000)  # the seat is free by now
    again = await edge("POST", "/reservation", wanted, token=token, headers=key)
    assert (first.status, first.code) == (again.status, again.code) == (409, "seat_unavailable")
    assert again.headers["Idempotent-Replayed"] == "true"


async def test_a_refusal_that_asks_to_come_back_is_none(edge: Edge) -> None:
    token = await edge.enter(ALICE)
    reservation = await edge.hold(token, "d1-1")
    edge.instance.clock.advance(10000)
    await edge("DELETE", f"/reservation/{reservation}", token=token)
    key = {"Idempotency-Key": "one"}
    wanted = {"seatId": "d1-1"}
    first = await edge("POST", "/reservation", wanted, token=token, headers=key)
    assert (first.status, first.code) == (429, "hold_cooling_down")
    edge.instance.clock.advance(1_000)
    again = await edge("POST", "/reservation", wanted, token=token, headers=key)
    assert again.status == 201
    assert "Idempotent-Replayed" not in again.headers


async def test_an_issue_can_be_repeated_without_being_queued_twice(edge: Edge) -> None:
    key = {"Idempotency-Key": "one"}
    first = await edge("POST", "/queue/issue", {"userId": ALICE}, headers=key)
    again = await edge("POST", "/queue/issue", {"userId": ALICE, "queue": "main"}, headers=key)
    assert (again.status, again.data["token"]) == (201, first.data["token"])
    assert again.headers["Location"] == "/queue/status"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b'{"userId":"%b","amount":5}', b'{ "amount": 5,\n "userId": "%b" }'),
        (b'{"userId":"%b","amount":5}', b'{"userI\\u0064":"%b","amount":5}'),
    ],
    ids=["order and spacing", "escapes"],
)
async def test_the_spelling_of_a_body_does_not_make_it_another(
    edge: Edge, one: bytes, other: bytes
) -> None:
    for number, body in enumerate((one, other)):
        answer = await edge(
            "POST", "/user/charge", body=body % ALICE.encode(), headers={"Idempotency-Key": "k"}
        )
        assert answer.headers.get("Idempotent-Replayed") == ("true" if number else None)
    assert await edge.instance.services.accounts.balance(ALICE) == 5


async def test_two_ways_to_name_a_seat_are_one_content(edge: Edge) -> None:
    token = await edge.enter(ALICE)
    key = {"Idempotency-Key": "k"}
    first = await edge("POST", "/reservation", {"seatId": "d1-3"}, token=token, headers=key)
    place = {"concertScheduleId": "d1", "seatNumber": 3}
    again = await edge("POST", "/reservation", place, token=token, headers=key)
    assert first.data["id"] == again.data["id"]


async def test_quoted_and_bare_spell_the_same_key(edge: Edge) -> None:
    body = {"userId": ALICE, "amount": 5}
    for key in ("a\\b c", '"a\\\\b c"'):
        await edge("POST", "/user/charge", body, headers={"Idempotency-Key": key})
    assert await edge.instance.services.accounts.balance(ALICE) == 5


async def test_the_longest_key_is_taken(edge: Edge) -> None:
    key = {"Idempotency-Key": f'"{"k" * 255}"'}
    body = {"userId": ALICE, "amount": 5}
    assert (await edge("POST", "/user/charge", body, headers=key)).status == 200


async def test_the_key_belongs_to_one_content(edge: Edge) -> None:
    key = {"Idempotency-Key": "one"}
    await edge("POST", "/user/charge", {"userId": ALICE, "amount": 5}, headers=key)
    other = await edge("POST", "/user/charge", {"userId": ALICE, "amount": 6}, headers=key)
    assert (other.status, other.code) == (422, "idempotency_key_reused")
    # ... of one user
    bob = await edge("POST", "/user/charge", {"userId": BOB, "amount": 6}, headers=key)
    assert bob.data == {"balance": 6}


async def test_a_request_under_way_is_not_done_twice(edge: Edge) -> None:
    key = {"Idempotency-Key": "one"}
    body = {"userId": ALICE, "amount": 5}
    edge.instance.journal.pause()
    first = asyncio.create_task(edge("POST", "/user/charge", body, headers=key))
    await eventually(lambda: edge.metrics.active == 1)
    second = await edge("POST", "/user/charge", body, headers=key)
    assert (second.status, second.code) == (409, "idempotency_key_in_flight")
    assert second.headers["Retry-After"] == "1"
    edge.instance.journal.resume()
    assert (await first).data == {"balance": 5}


async def test_after_an_unknown_outcome_the_key_may_be_tried_again(edge: Edge) -> None:
    key = {"Idempotency-Key": "one"}
    body = {"userId": ALICE, "amount": 5}
    edge.instance.fail(OutcomeUnknownError())
    failed = await edge("POST", "/user/charge", body, headers=key)
    assert (failed.status, failed.code) == (503, "outcome_unknown")
    assert failed.headers["Retry-After"] == "1"
    edge.instance.mend()
    assert (await edge("POST", "/user/charge", body, headers=key)).data == {"balance": 5}


async def test_a_stored_outcome_is_told_where_the_queue_is_behind(
    edge: Edge,
) -> None:
    """Given a payment that has used its token up, and an instance whose view of the queue is
    behind. When the payment is repeated there, and the queue's owner says that the token has ended.
    Then it tells the payment."""
    await edge("POST", "/user/charge", {"userId": ALICE, "amount": 1_000_000})
    token = await edge.enter(ALICE)
    await edge.hold(token, "d1-1")
    key, wanted = {"Idempotency-Key": "one"}, {"seatId": "d1-1"}
    first = await edge("POST", "/payment", wanted, token=token, headers=key)
    number = edge.instance.services.queue.read_token(token).number
    assert first.status == 201
    await eventually(lambda: edge.instance.queue.awaited_since(number) is None)
    edge.instance.queue.last_number = 0
    again = await edge("POST", "/payment", wanted, token=token, headers=key)
    assert (again.status, again.json) == (201, first.json)
    assert again.headers["Idempotent-Replayed"] == "true"


async def test_several_keys_are_no_key(edge: Edge) -> None:
    keys = CIMultiDict([("Idempotency-Key", "a"), ("Idempotency-Key", "b")])
    answer = await edge("POST", "/user/charge", {"userId": ALICE, "amount": 5}, headers=keys)
    assert (answer.status, answer.code) == (400, "malformed")


def user_beside(address: Address) -> str:
    """A user whose account lives in the shard of this entity."""
    users = (user_id(number) for number in range(100_000))
    return next(user for user in users if account_address(user).slot == address.slot)


async def test_a_key_has_one_answer_though_all_of_it_is_in_one_shard(edge: Edge) -> None:
    """given a user whose account shares a shard with the queue, or with the date, when a call is
    made with a key, then neither takes the other's answer for its own."""
    key = {"Idempotency-Key": "one"}
    joins = {"userId": user_beside(queue_address(MAIN_QUEUE))}
    first = await edge("POST", "/queue/issue", joins, headers=key)
    assert first.status == 201, first
    again = await edge("POST", "/queue/issue", joins, headers=key)
    assert again.data == first.data
    assert again.headers["Idempotent-Replayed"] == "true"

    token = await edge.enter(user_beside(seat_address("d1", 1)))
    wanted = {"seatId": "d1-1"}
    held = await edge("POST", "/reservation", wanted, token=token, headers=key)
    assert held.status == 201, held
    again = await edge("POST", "/reservation", wanted, token=token, headers=key)
    assert again.data["id"] == held.data["id"]
