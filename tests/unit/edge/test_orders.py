"""Orders of several seats: placing, looking, giving up and paying them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.edge import ALICE, BOB, Answered, Edge, running
from tests.support.instance import Instance, catalogue, schedule


def seats(answer: Answered) -> list[int]:
    return [item["seatNumber"] for item in answer.data["items"]]


async def place(edge: Edge, token: str, *, key: str = "", **body: Any) -> Answered:
    headers = {"Idempotency-Key": key} if key else {}
    body = {"concertScheduleId": "d1", **body}
    return await edge("POST", "/orders", body, token=token, headers=headers)


async def pay(edge: Edge, token: str, order: str, key: str = "") -> Answered:
    headers = {"Idempotency-Key": key} if key else {}
    return await edge("POST", "/payment", {"orderId": order}, token=token, headers=headers)


async def test_an_order_holds_several_seats_until_one_end(edge: Edge) -> None:
    token = await edge.enter(ALICE)
    answer = await place(edge, token, seatNumbers=[8, 7])
    assert answer.status == 201, answer.body
    data = answer.data
    assert data == {
        "id": data["id"],
        "code": data["code"],
        "concertScheduleId": "d1",
        "status": "PENDING",
        "items": [
            {
                "reservationId": f"rsv_{data['id'][4:]}000{place}",
                "seatId": f"d1-{number}",
                "seatNumber": number,
                "price": 100_000 + number,
            }
            for place, number in enumerate([8, 7])
        ],
        "totalAmount": 200_015,
        "created_at": "2027-01-15T08:00:00.000Z",
        "expires_at": "2027-01-15T08:05:00.000Z",
        "expiresInSeconds": 300,
    }
    assert answer.headers["Location"] == f"/orders/{data['id']}"
    for target in (data["id"], data["code"], f"{data['code']}?userId={ALICE}"):
        sent = None if "?" in target else token
        assert (await edge("GET", f"/orders/{target}", token=sent)).data == data
    assert (await edge("GET", "/orders", token=token)).data == [data]
    assert (await edge("GET", "/orders")).code == "token_missing"
    bobs = await edge.enter(BOB)
    assert (await edge("GET", f"/orders/{data['id']}", token=bobs)).status == 404
    assert (await edge("GET", f"/orders/{data['id']}?userId={ALICE}", token=bobs)).status == 404


async def test_an_order_is_all_or_nothing_and_names_what_was_taken(edge: Edge) -> None:
    await edge.hold(await edge.enter(BOB), "d1-8")
    token = await edge.enter(ALICE)
    answer = await place(edge, token, seatNumbers=[7, 8])
    assert (answer.status, answer.code) == (409, "seat_unavailable")
    assert answer.json["seats"] == [8]
    assert (await edge("GET", "/orders", token=token)).data == []
    assert (await place(edge, token, seatNumbers=[7])).status == 201


async def test_a_repeat_with_the_same_key_is_told_the_same_seats(edge: Edge) -> None:
    token = await edge.enter(ALICE)
    first = await place(edge, token, key="one", quantity=2)
    again = await place(edge, token, key="one", quantity=2)
    assert (again.status, again.body) == (201, first.body)
    assert again.headers["Idempotent-Replayed"] == "true"
    other = await place(edge, token, key="one", quantity=3)
    assert other.code == "idempotency_key_reused"
    assert len((await edge("GET", "/orders", token=token)).data) == 1


async def test_a_refusal_is_stored_under_its_key(edge: Edge) -> None:
    bob, token = await edge.enter(BOB), await edge.enter(ALICE)
    held = await edge.hold(bob, "d1-8")
    first = await place(edge, token, key="one", seatNumbers=[7, 8])
    await edge("DELETE", f"/reservation/{held}", token=bob)
    again = await place(edge, token, key="one", seatNumbers=[7, 8])
    assert (again.status, again.json["seats"]) == (first.status, [8]) == (409, [8])
    assert again.headers["Idempotent-Replayed"] == "true"


async def test_the_best_seats_are_neighbours_near_the_middle(edge: Edge) -> None:
    token = await edge.enter(ALICE)
    answer = await place(edge, token, quantity=4, together=True)
    assert seats(answer) == [24, 25, 26, 27]
    assert (await place(edge, token, quantity=1, maxPrice=5)).code == "no_match"
    limited = await place(edge, token, quantity=1)
    assert (limited.status, limited.code) == (409, "purchase_limit_reached")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"quantity": 0}, 400),
        ({"quantity": 51}, 400),
        ({"quantity": 2, "together": "yes"}, 400),
        ({"seatNumbers": []}, 400),
        ({"seatNumbers": [1, 1]}, 400),
        ({"seatNumbers": [1], "quantity": 1}, 400),
        ({"seatNumbers": [51]}, 404),
        ({"concertScheduleId": "d9", "quantity": 1}, 404),
    ],
)
async def test_an_order_that_says_nothing_that_can_be_done(
    edge: Edge, body: dict[str, Any], status: int
) -> None:
    assert (await place(edge, await edge.enter(ALICE), **body)).status == status


async def test_an_order_is_given_up_as_one(edge: Edge) -> None:
    token = await edge.enter(ALICE)
    order = (await place(edge, token, seatNumbers=[1, 2])).data
    for _ in range(2):
        assert (await edge("DELETE", f"/orders/{order['code']}", token=token)).status == 204
    shown = (await edge("GET", f"/orders/{order['id']}", token=token)).data
    assert (shown["status"], shown["expiresInSeconds"]) == ("CANCELLED", 0)
    assert (await pay(edge, token, order["id"])).code == "reservation_not_found"
    assert (await place(edge, token, seatNumbers=[1, 2])).status == 201


async def test_an_order_expires_as_one(edge: Edge) -> None:
    token = await edge.enter(ALICE)
    order = (await place(edge, token, seatNumbers=[1, 2])).data
    await edge("POST", "/user/charge", {"userId": ALICE, "amount": 1_000_000})
    edge.instance.clock.advance(300_000)
    assert (await pay(edge, token, order["id"])).code == "hold_expired"
    shown = (await edge("GET", f"/orders/{order['id']}?userId={ALICE}")).data
    assert shown["status"] == "EXPIRED"
    assert (await edge("GET", f"/user/check?userId={ALICE}")).data == {"balance": 1_000_000}


async def test_an_order_is_paid_with_one_debit_and_uses_the_token_up(edge: Edge) -> None:
    token = await edge.enter(ALICE)
    order = (await place(edge, token, seatNumbers=[7, 8])).data
    assert (await pay(edge, token, order["id"])).code == "insufficient_balance"
    await edge("POST", "/user/charge", {"userId": ALICE, "amount": 300_000})
    paid = await pay(edge, token, order["code"], key="one")
    assert paid.status == 201, paid.body
    assert {name: paid.data[name] for name in ("orderId", "items", "totalAmount", "seatId")} == {
        "orderId": order["id"],
        "items": order["items"],
        "totalAmount": 200_015,
        "seatId": "d1-7",
    }
    again = await pay(edge, token, order["code"], key="one")
    assert (again.status, again.body) == (201, paid.body)
    assert (await place(edge, token, seatNumbers=[9])).code == "token_expired"
    shown = (await edge("GET", f"/orders/{order['id']}?userId={ALICE}")).data
    assert (shown["status"], shown["items"]) == ("PAID", order["items"])
    page = await edge("GET", f"/payments?userId={ALICE}")
    assert page.data["items"] == [paid.data]
    moves = (await edge("GET", f"/user/history?userId={ALICE}")).data["items"]
    assert [(m["type"], m["amount"]) for m in moves] == [("USE", 200_015), ("CHARGE", 300_000)]


async def test_one_seat_of_an_order_may_be_paid_alone_and_the_rest_later(edge: Edge) -> None:
    token = await edge.enter(ALICE)
    order = (await place(edge, token, seatNumbers=[7, 8])).data
    await edge("POST", "/user/charge", {"userId": ALICE, "amount": 300_000})
    one = await edge("POST", "/payment", {"seatId": "d1-7"}, token=token)
    assert (one.data["orderId"], seats(one)) == (order["id"], [7])
    shown = (await edge("GET", f"/orders/{order['id']}", token=token)).data
    assert (shown["status"], len(shown["items"])) == ("PENDING", 2)
    rest = await pay(edge, token, order["id"])
    assert (seats(rest), rest.data["totalAmount"]) == ([8], 100_008)


async def test_held_and_owned_seats_of_a_date_count_together() -> None:
    """Held and owned seats count together."""
    instance = Instance(catalogue(schedule("d1", max_per_user=3)))
    async with running(instance) as edge:
        await edge("POST", "/user/charge", {"userId": ALICE, "amount": 1_000_000})
        token = await edge.enter(ALICE)
        order = (await place(edge, token, seatNumbers=[7, 8])).data
        assert (await pay(edge, token, order["id"])).status == 201
        token = await edge.enter(ALICE)
        refused = await place(edge, token, quantity=2)
        assert (refused.status, refused.code) == (409, "purchase_limit_reached")
        await edge.hold(token, "d1-9")
        single = await edge("POST", "/reservation", {"seatId": "d1-10"}, token=token)
        assert (single.status, single.code) == (409, "purchase_limit_reached")
