"""Reservations and payments."""

from __future__ import annotations

import re

import pytest
import zxingcpp
from PIL import Image, ImageDraw

from booking_http import EdgeSettings
from tests.support.edge import ALICE, BOB, Edge, running
from tests.support.instance import Instance, catalogue, schedule


@pytest.mark.parametrize(
    "body", [{"seatId": "d1-7"}, {"concertScheduleId": "d1", "seatNumber": 7}], ids=["id", "place"]
)
async def test_a_seat_is_held_by_id_or_by_date_and_number(
    edge: Edge, body: dict[str, object]
) -> None:
    token = await edge.enter(ALICE)
    answer = await edge("POST", "/reservation", body, token=token)
    assert answer.status == 201
    reservation = answer.data["id"]
    assert answer.headers["Location"] == f"/reservation/{reservation}"
    assert answer.data == {
        "id": reservation,
        "seat": {"id": "d1-7", "isActive": False, "seatNumber": 7},
        "status": "PENDING",
        "price": 100_007,
        "created_at": "2027-01-15T08:00:00.000Z",
        "expires_at": "2027-01-15T08:05:00.000Z",
        "expiresInSeconds": 300,
    }
    located = await edge("GET", answer.headers["Location"], token=token)
    assert located.data == answer.data
    assert (await edge("GET", "/reservations", token=token)).data == [answer.data]


async def test_a_taken_seat_is_refused(edge: Edge) -> None:
    await edge.hold(await edge.enter(ALICE), "d1-1")
    token = await edge.enter(BOB)
    answer = await edge("POST", "/reservation", {"seatId": "d1-1"}, token=token)
    assert (answer.status, answer.code) == (409, "seat_unavailable")


async def test_no_more_seats_than_allowed_are_held(edge: Edge) -> None:
    token = await edge.enter(ALICE)
    for number in range(1, 5):
        await edge.hold(token, f"d1-{number}")
    answer = await edge("POST", "/reservation", {"seatId": "d1-5"}, token=token)
    assert (answer.status, answer.code) == (409, "hold_limit_reached")


async def test_a_seat_that_rests_says_when_it_may_be_had_again(edge: Edge) -> None:
    token = await edge.enter(ALICE)
    reservation = await edge.hold(token, "d1-1")
    edge.instance.clock.advance(15000)
    await edge("DELETE", f"/reservation/{reservation}", token=token)
    answer = await edge("POST", "/reservation", {"seatId": "d1-1"}, token=token)
    assert (answer.status, answer.code) == (429, "hold_cooling_down")
    assert answer.headers["Retry-After"] == "2"
    assert answer.json["retryAfterMs"] == 1_500


async def test_a_date_that_is_closed_is_refused() -> None:
    instance = Instance(catalogue(schedule("d1", booking_end_ms=1)))
    async with running(instance) as edge:
        token = await edge.enter(ALICE)
        answer = await edge("POST", "/reservation", {"seatId": "d1-1"}, token=token)
        assert (answer.status, answer.code) == (409, "booking_closed")


@pytest.mark.parametrize(
    "body",
    [
        {"seatId": "d1-51"},
        {"seatId": "d1-01"},
        {"seatId": "d1"},
        {"seatId": "nope-1"},
        {"seatId": "\u0000"},
        {"concertScheduleId": "nope", "seatNumber": 1},
        {"concertScheduleId": "d1", "seatNumber": 51},
    ],
)
async def test_an_unknown_seat_is_not_found(edge: Edge, body: dict[str, object]) -> None:
    token = await edge.enter(ALICE)
    answer = await edge("POST", "/reservation", body, token=token)
    assert (answer.status, answer.code) == (404, "not_found")


async def test_others_neither_see_nor_release_nor_pay_a_reservation(edge: Edge) -> None:
    reservation = await edge.hold(await edge.enter(ALICE), "d1-1")
    token = await edge.enter(BOB)
    seen = await edge("GET", f"/reservation/{reservation}", token=token)
    unknown = await edge("GET", "/reservation/rsv_nothing", token=token)
    assert seen.status == unknown.status == 404
    assert {**seen.json, "instance": "", "request_id": ""} == {
        **unknown.json,
        "instance": "",
        "request_id": "",
    }
    assert (await edge("DELETE", f"/reservation/{reservation}", token=token)).status == 404
    assert (await edge("POST", "/payment", {"seatId": "d1-1"}, token=token)).status == 404
    assert (await edge("GET", "/reservations", token=token)).data == []


async def test_a_released_seat_is_free_at_once(edge: Edge) -> None:
    token = await edge.enter(ALICE)
    reservation = await edge.hold(token, "d1-1")
    for _ in range(2):  # the same again
        assert (await edge("DELETE", f"/reservation/{reservation}", token=token)).status == 204
    shown = (await edge("GET", f"/reservation/{reservation}", token=token)).data
    assert (shown["status"], shown["seat"]["isActive"]) == ("CANCELLED", True)
    assert shown["expiresInSeconds"] == 0
    assert await edge.hold(await edge.enter(BOB), "d1-1")


async def test_an_expired_hold_cannot_be_paid_and_says_so(edge: Edge) -> None:
    token = await edge.enter(ALICE)
    reservation = await edge.hold(token, "d1-1")
    edge.instance.clock.advance(299_001)
    shown = (await edge("GET", f"/reservation/{reservation}", token=token)).data
    assert (shown["status"], shown["expiresInSeconds"]) == ("PENDING", 1)
    edge.instance.clock.advance(999)
    answer = await edge("POST", "/payment", {"seatId": "d1-1"}, token=token)
    assert (answer.status, answer.code) == (410, "hold_expired")
    assert (await edge("GET", "/reservations", token=token)).data[0]["status"] == "EXPIRED"


async def test_a_payment_takes_the_money_and_uses_the_token_up(edge: Edge) -> None:
    token = await edge.enter(ALICE)
    reservation = await edge.hold(token, "d1-1")
    poor = await edge("POST", "/payment", {"seatId": "d1-1"}, token=token)
    assert (poor.status, poor.code) == (402, "insufficient_balance")
    await edge("POST", "/user/charge", {"userId": ALICE, "amount": 150_000})
    paid = await edge("POST", "/payment", {"seatId": "d1-1"}, token=token)
    assert paid.status == 201
    payment = paid.data["id"]
    assert paid.headers["Location"] == f"/payment/{payment}?userId={ALICE}"
    assert paid.data == {
        "id": payment,
        "seatId": "d1-1",
        "seatNumber": 1,
        "concertName": "Concert c1",
        "openDate": "2027-02-14T08:00:00.000Z",
        "closeDate": "2027-02-14T10:00:00.000Z",
        "totalAmount": 100_001,
        "status": "COMPLETED",
        "created_at": "2027-01-15T08:00:00.000Z",
        "orderId": f"ord_{reservation[4:32]}",
        "items": [
            {
                "reservationId": reservation,
                "seatId": "d1-1",
                "seatNumber": 1,
                "price": 100_001,
            }
        ],
    }
    assert (await edge("GET", paid.headers["Location"])).data == paid.data
    assert (await edge("GET", "/queue/status", token=token)).code == "token_expired"
    assert (await edge("GET", f"/user/check?userId={ALICE}")).data == {"balance": 49_999}


async def test_a_paid_seat_can_neither_be_released_nor_paid_again(edge: Edge) -> None:
    token = await edge.enter(ALICE)
    reservation = await edge.hold(token, "d1-1")
    await edge.hold(token, "d1-2")  # keeps the token alive
    await edge("POST", "/user/charge", {"userId": ALICE, "amount": 1_000_000})
    await edge("POST", "/payment", {"seatId": "d1-1"}, token=token)
    again = await edge("POST", "/payment", {"seatId": "d1-1"}, token=token)
    assert (again.status, again.code) == (409, "already_paid")
    released = await edge("DELETE", f"/reservation/{reservation}", token=token)
    assert (released.status, released.code) == (409, "already_paid")


def read_code(svg: str) -> str:
    """What a reader makes of the picture, whose one path draws the dark runs of each row."""
    size = re.search(r'viewBox="0 0 (\d+) ', svg)
    runs = re.search(r'stroke="#000" d="([^"]+)"', svg)
    assert size is not None
    assert runs is not None
    side, scale, x, y = int(size[1]), 4, 0.0, 0.0
    image = Image.new("L", (scale * side, scale * side), 255)
    pen = ImageDraw.Draw(image)
    for command, first, second in re.findall(r"([Mmh])(-?[\d.]+)(?: (-?[\d.]+))?", runs[1]):
        if command == "h":
            left, top, right = (round(scale * each) for each in (x, y - 0.5, x + float(first)))
            pen.rectangle((left, top, right - 1, top + scale - 1), 0)
            x += float(first)
        elif command == "m":
            x, y = x + float(first), y + float(second)
        else:
            x, y = float(first), float(second)
    found = zxingcpp.read_barcodes(image)
    assert len(found) == 1
    return found[0].text


async def test_a_ticket_is_a_picture_that_needs_no_token() -> None:
    """An ``<img>`` sends no header, and the payment has used the token up."""
    async with running(settings=EdgeSettings(user_auth="token")) as edge:
        token = await edge.enter(ALICE)
        await edge.hold(token, "d1-1")
        await edge("POST", "/user/charge", {"userId": ALICE, "amount": 150_000}, token=token)
        payment = (await edge("POST", "/payment", {"seatId": "d1-1"}, token=token)).data["id"]
        picture = await edge("GET", f"/payment/{payment}/ticket?userId={ALICE}")
        assert (picture.status, picture.headers["Content-Type"]) == (200, "image/svg+xml")
        assert "immutable" in picture.headers["Cache-Control"]
        assert read_code(picture.body.decode()) == f"booking:ticket:{payment}"
        assert (await edge("GET", f"/payment/{payment}/ticket?userId={BOB}")).status == 404


async def test_a_payment_of_a_date_that_left_the_catalogue_is_still_shown(edge: Edge) -> None:
    token = await edge.enter(ALICE)
    await edge.hold(token, "d1-1")
    await edge("POST", "/user/charge", {"userId": ALICE, "amount": 1_000_000})
    await edge("POST", "/payment", {"seatId": "d1-1"}, token=token)
    edge.instance.use(catalogue())
    item = (await edge("GET", f"/payments?userId={ALICE}")).data["items"][0]
    assert (item["seatId"], item["concertName"], item["openDate"]) == ("d1-1", None, None)


async def test_a_lost_payment_answer_is_repeated_with_a_used_token(edge: Edge) -> None:
    """The payment has used the token up."""
    token = await edge.enter(ALICE)
    await edge.hold(token, "d1-1")
    await edge("POST", "/user/charge", {"userId": ALICE, "amount": 1_000_000})
    key = {"Idempotency-Key": "one"}
    paid = await edge("POST", "/payment", {"seatId": "d1-1"}, token=token, headers=key)
    again = await edge("POST", "/payment", {"seatId": "d1-1"}, token=token, headers=key)
    assert (again.status, again.data) == (201, paid.data)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in paid.headers
    # A used token still opens nothing new: not with another key, not without one.
    for headers in ({"Idempotency-Key": "two"}, {}):
        answer = await edge("POST", "/payment", {"seatId": "d1-1"}, token=token, headers=headers)
        assert (answer.status, answer.code) == (401, "token_expired")
    reused = await edge("POST", "/payment", {"seatId": "d1-2"}, token=token, headers=key)
    assert (reused.status, reused.code) == (422, "idempotency_key_reused")
