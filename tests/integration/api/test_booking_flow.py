"""The whole story over HTTP, against a real journal: queue, seats, hold, charge, pay."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from tests.support.api_client import Api, eventually, new_user
from tests.support.catalogues import catalogue, concert, date
from tests.support.service import Service, StartService

SEAT = "alpha-1-7"


@pytest.fixture
async def service(start_service: StartService) -> Service:
    return await start_service(
        catalogue(concert("alpha", date("alpha-1"), date("alpha-2", price=2_500)))
    )


@pytest.fixture
def api(service: Service) -> Api:
    return service.api


async def test_a_fan_gets_from_the_queue_to_a_paid_seat(api: Api) -> None:
    user, token = await api.enter()
    assert (await api.status(token)).data["status"] == "active"

    dates = (await api.dates(token)).data
    assert [(each["id"], each["totalSeats"], each["reservedSeats"]) for each in dates] == [
        ("alpha-1", 50, 0),
        ("alpha-2", 50, 0),
    ]
    seats = (await api.seats(token, "alpha-1")).data
    assert [seat["seatNumber"] for seat in seats] == list(range(1, 51))
    assert seats[6] == {"id": SEAT, "seatNumber": 7, "price": 1_000}

    held = await api.reserve(token, SEAT)
    assert held.status == 201
    assert held.data["status"] == "PENDING"
    assert held.data["seat"] == {"id": SEAT, "isActive": False, "seatNumber": 7}
    assert held.data["expiresInSeconds"] == 300
    assert 7 not in [seat["seatNumber"] for seat in (await api.seats(token, "alpha-1")).data]

    assert (await api.charge(user, 1_500)).data == {"balance": 1_500}
    paid = await api.pay(token, SEAT)
    assert paid.status == 201
    assert (paid.data["status"], paid.data["totalAmount"]) == ("COMPLETED", 1_000)
    assert (paid.data["seatId"], paid.data["seatNumber"]) == (SEAT, 7)

    assert await api.balance(user) == 500
    assert (await api.status(token)).code == "token_expired"
    items = (await api.history(user)).data["items"]
    assert [(item["type"], item["amount"], item["balance"]) for item in items] == [
        ("USE", 1_000, 500),
        ("CHARGE", 1_500, 1_500),
    ]
    one = await api.call("GET", f"/payment/{paid.data['id']}", userId=user)
    assert one.data == paid.data
    listed = await api.call("GET", "/payments", userId=user)
    assert [each["id"] for each in listed.data["items"]] == [paid.data["id"]]


async def test_a_second_user_is_refused_the_seat_and_sees_it_held(api: Api) -> None:
    _, first = await api.enter()
    _, second = await api.enter()
    assert (await api.reserve(first, SEAT)).status == 201
    refused = await api.reserve(second, SEAT)
    assert (refused.status, refused.code) == (409, "seat_unavailable")
    seats = (await api.seats(second, "alpha-1", all="true")).data
    assert seats[6]["state"] == "held"


async def test_releasing_a_hold_frees_the_seat_at_once(api: Api) -> None:
    _, first = await api.enter()
    _, second = await api.enter()
    held = (await api.reserve(first, SEAT)).data
    assert (await api.release(first, held["id"])).status == 204
    assert (await api.reserve(second, SEAT)).status == 201
    assert (await api.release(first, held["id"])).status == 204
    mine = await api.call("GET", f"/reservation/{held['id']}", token=first)
    assert mine.data["status"] == "CANCELLED"


async def test_nobody_sees_releases_or_pays_what_another_holds(api: Api) -> None:
    _, owner = await api.enter()
    stranger_id, stranger = await api.enter()
    held = (await api.reserve(owner, SEAT)).data
    await api.charge(stranger_id, 10_000)

    seen = await api.call("GET", f"/reservation/{held['id']}", token=stranger)
    assert (seen.status, seen.code) == (404, "not_found")
    assert (await api.release(stranger, held["id"])).status == 404
    assert (await api.pay(stranger, SEAT)).status == 404
    assert (await api.call("GET", "/reservations", token=stranger)).data == []
    assert await api.balance(stranger_id) == 10_000


async def test_payment_without_enough_balance_takes_nothing(api: Api) -> None:
    user, token = await api.enter()
    await api.reserve(token, SEAT)
    await api.charge(user, 999)
    refused = await api.pay(token, SEAT)
    assert (refused.status, refused.code) == (402, "insufficient_balance")
    assert await api.balance(user) == 999
    await api.charge(user, 1)
    assert (await api.pay(token, SEAT)).status == 201


async def test_the_token_lives_on_while_another_seat_is_held_unpaid(api: Api) -> None:
    user, token = await api.enter()
    await api.charge(user, 10_000)
    await api.reserve(token, SEAT)
    await api.reserve(token, "alpha-2-1")
    assert (await api.pay(token, SEAT)).status == 201
    assert (await api.status(token)).data["status"] == "active"
    assert (await api.pay(token, "alpha-2-1")).status == 201
    assert (await api.status(token)).status == 401


async def test_two_payments_at_once_for_two_seats_end_the_token(api: Api) -> None:
    user, token = await api.enter()
    await api.charge(user, 10_000)
    await api.reserve(token, SEAT)
    await api.reserve(token, "alpha-2-1")
    paid = await asyncio.gather(api.pay(token, SEAT), api.pay(token, "alpha-2-1"))
    assert [reply.status for reply in paid] == [201, 201]
    assert (await api.status(token)).status == 401


async def test_at_most_four_seats_of_a_date_are_held_by_one_user(api: Api) -> None:
    _, token = await api.enter()
    replies = [await api.reserve(token, f"alpha-1-{number}") for number in range(1, 6)]
    assert [reply.status for reply in replies] == [201] * 4 + [409]
    assert replies[4].code == "hold_limit_reached"
    assert (await api.reserve(token, "alpha-2-1")).status == 201


async def test_of_two_hundred_users_racing_for_a_seat_one_gets_it(api: Api) -> None:
    entered = await asyncio.gather(*(api.enter() for _ in range(200)))
    replies = await asyncio.gather(*(api.reserve(token, SEAT) for _, token in entered))
    assert Counter(reply.status for reply in replies) == {201: 1, 409: 199}


async def test_five_hundred_charges_at_once_for_one_user_are_exact(api: Api) -> None:
    user = new_user()
    replies = await asyncio.gather(*(api.charge(user, 7) for _ in range(500)))
    assert Counter(reply.status for reply in replies) == {200: 500}
    assert sorted(reply.data["balance"] for reply in replies) == [7 * n for n in range(1, 501)]
    assert await api.balance(user) == 3_500


async def test_of_twenty_payments_at_once_for_one_seat_one_takes_money(api: Api) -> None:
    user, token = await api.enter()
    await api.charge(user, 100_000)
    await api.reserve(token, SEAT)
    replies = await asyncio.gather(*(api.pay(token, SEAT, f"key-{n}") for n in range(20)))
    statuses = Counter(reply.status for reply in replies)
    assert statuses[201] == 1
    assert set(statuses) <= {201, 401, 409}
    assert await api.balance(user) == 99_000


async def test_an_expired_hold_cannot_be_paid_and_frees_its_seat_at_once(
    start_service: StartService,
) -> None:
    service = await start_service(
        catalogue(concert("alpha", date("alpha-1"))), BOOKING_HOLD_SECONDS="1"
    )
    api = service.api
    user, token = await api.enter()
    await api.charge(user, 5_000)
    held = (await api.reserve(token, SEAT)).data
    assert held["expiresInSeconds"] == 1

    async def free_again() -> bool:
        return len((await api.seats(token, "alpha-1")).data) == 50

    await eventually(free_again)
    late = await api.pay(token, SEAT)
    assert (late.status, late.code) == (410, "hold_expired")
    assert await api.balance(user) == 5_000
    mine = await api.call("GET", f"/reservation/{held['id']}", token=token)
    assert mine.data["status"] == "EXPIRED"
    _, other = await api.enter()
    assert (await api.reserve(other, SEAT)).status == 201


async def test_a_date_can_be_booked_only_between_its_booking_start_and_end(
    start_service: StartService,
) -> None:
    from datetime import timedelta

    service = await start_service(
        catalogue(
            concert(
                "beta",
                date("open"),
                date("later", booking_start=timedelta(hours=1)),
                date("over", booking_end=timedelta(seconds=-1)),
            )
        )
    )
    api = service.api
    _, token = await api.enter()
    for closed in ("later-1", "over-1"):
        refused = await api.reserve(token, closed)
        assert (refused.status, refused.code) == (409, "booking_closed")
    assert [each["id"] for each in (await api.dates(token)).data] == ["open"]


async def test_waiting_users_are_let_in_one_by_one_in_order(start_service: StartService) -> None:
    service = await start_service(
        catalogue(concert("alpha", date("alpha-1"))), BOOKING_QUEUE_MAX_ACTIVE="1"
    )
    api = service.api
    _, first = await api.enter()
    waiting = [(await api.issue(new_user())).data for _ in range(3)]
    assert [each["status"] for each in waiting] == ["pending"] * 3
    assert [each["position"] for each in waiting] == [1, 2, 3]

    shut = await api.reserve(waiting[0]["token"], SEAT)
    assert (shut.status, shut.code) == (403, "not_admitted")
    assert shut.body["position"] == 1

    assert (await api.leave(waiting[1]["token"])).status == 204
    assert (await api.status(waiting[2]["token"])).data["position"] == 2
    assert (await api.leave(first)).status == 204
    assert (await api.status(waiting[0]["token"])).data["status"] == "active"
    assert (await api.status(waiting[2]["token"])).data["position"] == 1
    assert (await api.status(first)).status == 401


async def test_a_user_in_the_queue_keeps_the_place_when_asking_again(api: Api) -> None:
    user, token = await api.enter()
    again = await api.issue(user)
    assert (again.status, again.code) == (409, "already_queued")
    assert (await api.status(token)).status == 200
    assert (await api.leave(token)).status == 204
    assert (await api.issue(user)).status == 201


async def test_active_time_is_limited(start_service: StartService) -> None:
    service = await start_service(
        catalogue(concert("alpha", date("alpha-1"))),
        BOOKING_ACTIVE_SECONDS="1",
        BOOKING_QUEUE_MAX_ACTIVE="1",
    )
    api = service.api
    _, first = await api.enter()
    second = (await api.issue(new_user())).data["token"]

    async def let_in() -> bool:
        return bool((await api.status(second)).data["status"] == "active")

    await eventually(let_in)
    assert (await api.dates(first)).code == "token_expired"
