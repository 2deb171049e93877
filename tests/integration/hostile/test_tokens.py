"""Tokens that open nothing, and users who reach for what is another's."""

from __future__ import annotations

import base64
from datetime import timedelta

import msgspec
import pytest

from booking.calls import TokenSigner
from tests.integration.hostile.conftest import CATALOGUE, assert_healthy
from tests.support.api_client import Api, Reply, eventually, new_user
from tests.support.catalogues import catalogue, concert, date
from tests.support.service import SECRET, Service, StartService
from tests.support.wire import assert_problem, raw, request

SEAT = "alpha-1-1"
GATED: tuple[tuple[str, str, bytes | None], ...] = (
    ("GET", "/queue/status", None),
    ("DELETE", "/queue", None),
    ("GET", "/queue/ws", None),
    ("GET", "/concert/seats/ws?concertScheduleId=alpha-1", None),
    ("GET", "/concert/available-dates", None),
    ("GET", "/concert/available-seats?concertScheduleId=alpha-1", None),
    ("POST", "/reservation", b'{"seatId":"alpha-1-1"}'),
    ("GET", "/reservation/rsv_1", None),
    ("GET", "/reservations", None),
    ("DELETE", "/reservation/rsv_1", None),
    ("POST", "/payment", b'{"seatId":"alpha-1-1"}'),
)
"""Every call that a token opens."""


async def assert_opens_nothing(
    service: Service, header: str, value: str | bytes, code: str, *, key: str | None = None
) -> None:
    """401 with this code on every gated call, and the token is not told back."""
    for method, target, body in GATED:
        headers: list[tuple[str, str | bytes]] = [(header, value)]
        if key is not None:
            headers.append(("Idempotency-Key", key))
        answer = await raw(service.app.port, request(method, target, *headers, body=body))
        assert_problem(answer, 401, code)
        assert "www-authenticate" in answer.headers
        said = value.encode("latin-1") if isinstance(value, str) else value
        assert len(said) < 8 or said not in answer.body, "the token is told back"


def bit_flips(token: str) -> list[str]:
    """The token with one bit of each of its bytes turned over, in its one spelling."""
    content = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    flipped = []
    for at in range(len(content)):
        changed = bytearray(content)
        changed[at] ^= 1 << (at % 8)
        flipped.append(base64.urlsafe_b64encode(bytes(changed)).rstrip(b"=").decode())
    return flipped


async def test_no_byte_of_a_token_can_be_changed(service: Service) -> None:
    _, token = await service.api.enter()
    for forged in bit_flips(token):
        assert (await service.api.status(forged)).code == "token_invalid"
        assert (await service.api.reserve(forged, SEAT)).code == "token_invalid"
    for forged in bit_flips(token)[:2]:
        await assert_opens_nothing(service, "queue-token", forged, "token_invalid")
    assert (await service.api.status(token)).status == 200


async def test_a_token_has_one_length_and_one_spelling(service: Service) -> None:
    user, token = await service.api.enter()
    last = token[-1]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    content = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    spellings = {
        *(token[:length] for length in range(1, len(token), 7)),
        *(token[:-1] + other for other in alphabet if other != last),
        token + "=" * (-len(token) % 4 or 4),
        token + "A",
        token + "%00",
        token[:10] + "\t" + token[10:],
        content.hex(),
        base64.b32encode(content).decode(),
        base64.urlsafe_b64encode(token.encode()).decode(),
        token * 2,
        token.swapcase(),
        f"{token},{token}",
        f'"{token}"',
        user,
        "1",
        "null",
        "A" * 5_000,
    }
    standard = token.replace("-", "+").replace("_", "/")
    for spelling in spellings | ({standard} - {token}):
        answer = await raw(
            service.app.port, request("GET", "/queue/status", ("queue-token", spelling))
        )
        assert_problem(answer, 401, "token_invalid")
    for spelling in (token[:-1], token + "=", "A" * 5_000):
        await assert_opens_nothing(service, "queue-token", spelling, "token_invalid")


async def test_a_token_of_10_kb_is_refused_before_it_is_looked_at(service: Service) -> None:
    sent = request("GET", "/queue/status", ("queue-token", "A" * 10_000))
    assert_problem(await raw(service.app.port, sent), 400, "malformed")


async def test_an_empty_or_missing_token_opens_nothing(service: Service) -> None:
    await assert_opens_nothing(service, "queue-token", "", "token_invalid")
    await assert_opens_nothing(service, "Authorization", "Bearer ", "token_invalid")
    await assert_opens_nothing(service, "Authorization", "Basic dTpw", "token_missing")
    await assert_opens_nothing(service, "X-Other", "x", "token_missing")


async def test_two_tokens_open_nothing(service: Service) -> None:
    _, token = await service.api.enter()
    twice = request("GET", "/queue/status", ("queue-token", token), ("queue-token", token))
    assert_problem(await raw(service.app.port, twice), 401, "token_invalid")


async def test_of_two_headers_that_disagree_only_one_counts(service: Service) -> None:
    """Whichever it is, it must be the same on every call, or one could be checked and the other
    used: the queue-token header wins."""
    first, one = await service.api.enter()
    _, two = await service.api.enter()
    both = {"queue-token": one, "Authorization": f"Bearer {two}"}
    status = await service.api.call("GET", "/queue/status", headers=both)
    assert status.data["userId"] == first
    held = await service.api.call("POST", "/reservation", body={"seatId": SEAT}, headers=both)
    assert held.status == 201
    mine = await service.api.call("GET", "/reservations", token=one)
    assert [each["id"] for each in mine.data] == [held.data["id"]]
    assert (await service.api.call("GET", "/reservations", token=two)).data == []
    forged = both | {"queue-token": "x" * 90}
    refused = await service.api.call("GET", "/queue/status", headers=forged)
    assert (refused.status, refused.code) == (401, "token_invalid")


async def test_a_token_signed_with_another_secret_opens_nothing(service: Service) -> None:
    _, token = await service.api.enter()
    content = TokenSigner([SECRET], service.app.app.identity).read(token)
    forged = TokenSigner([SECRET[::-1]], service.app.app.identity).sign(content)
    await assert_opens_nothing(service, "queue-token", forged, "token_invalid")
    assert TokenSigner([SECRET], service.app.app.identity).sign(content) == token


async def test_a_token_of_a_queue_that_is_not_there_opens_nothing(service: Service) -> None:
    _, token = await service.api.enter()
    content = TokenSigner([SECRET], service.app.app.identity).read(token)
    elsewhere = TokenSigner([SECRET], service.app.app.identity).sign(
        msgspec.structs.replace(content, queue="vip")
    )
    await assert_opens_nothing(service, "queue-token", elsewhere, "token_invalid")
    later = TokenSigner([SECRET], service.app.app.identity).sign(
        msgspec.structs.replace(content, number=10**15)
    )
    await assert_opens_nothing(service, "queue-token", later, "token_invalid")


async def test_a_token_that_was_left_opens_nothing(service: Service) -> None:
    _, token = await service.api.enter()
    assert (await service.api.leave(token)).status == 204
    await assert_opens_nothing(service, "queue-token", token, "token_expired")
    await assert_opens_nothing(service, "queue-token", token, "token_expired", key="k")


async def test_a_token_that_was_left_while_waiting_opens_nothing(
    start_service: StartService, database_url: str
) -> None:
    service = await start_service(CATALOGUE, BOOKING_QUEUE_MAX_ACTIVE="1")
    _, inside = await service.api.enter()
    _, waiting = await service.api.enter()
    for method, target, body in GATED[3:]:
        sent = request(method, target, ("queue-token", waiting), body=body)
        assert_problem(await raw(service.app.port, sent), 403, "not_admitted")
    assert (await service.api.leave(waiting)).status == 204
    await assert_opens_nothing(service, "queue-token", waiting, "token_expired")
    assert (await service.api.leave(inside)).status == 204
    await assert_healthy(service.api, database_url)


async def test_a_token_used_up_by_a_payment_opens_only_that_answer(service: Service) -> None:
    user, token = await service.api.enter()
    await service.api.charge(user, 5_000)
    await service.api.reserve(token, SEAT, "r")
    paid = await service.api.pay(token, SEAT, "p")
    assert paid.status == 201

    async def used_up() -> bool:
        return (await service.api.status(token)).status == 401

    await eventually(used_up)
    await assert_opens_nothing(service, "queue-token", token, "token_expired")
    await assert_opens_nothing(service, "queue-token", token, "token_expired", key="new")
    again = await service.api.pay(token, SEAT, "p")
    assert (again.status, again.data) == (201, paid.data)
    other = await service.api.pay(token, "alpha-1-2", "p")
    assert (other.status, other.code) == (422, "idempotency_key_reused")
    assert await service.api.balance(user) == 4_000


async def test_a_token_whose_time_is_over_opens_nothing(
    start_service: StartService, database_url: str
) -> None:
    service = await start_service(CATALOGUE, BOOKING_ACTIVE_SECONDS="1")
    _, token = await service.api.enter()

    async def over() -> bool:
        return (await service.api.status(token)).status == 401

    await eventually(over)
    await assert_opens_nothing(service, "queue-token", token, "token_expired")
    await assert_opens_nothing(service, "Authorization", f"Bearer {token}", "token_expired")


# -- what is another's -----------------------------------------------------------------------------


async def test_user_b_reaches_nothing_of_user_a(service: Service) -> None:
    api = service.api
    a, token_a = await api.enter()
    _, token_b = await api.enter()
    await api.charge(a, 5_000, "charged")
    held = (await api.reserve(token_a, "alpha-2-1")).data
    await api.reserve(token_a, SEAT)
    paid = (await api.pay(token_a, SEAT)).data

    unknown = await api.call("GET", "/reservation/rsv_0", token=token_b)
    for refused in (
        await api.call("GET", f"/reservation/{held['id']}", token=token_b),
        await api.release(token_b, held["id"]),
        await api.pay(token_b, "alpha-2-1"),
        await api.call("GET", f"/payment/{paid['id']}", token=token_b, userId=a),
        await api.call("GET", "/payments", token=token_b, userId=a),
        await api.call("GET", "/user/check", token=token_b, userId=a),
        await api.call("GET", "/user/history", token=token_b, userId=a),
        await api.call(
            "POST", "/user/charge", body={"userId": a, "amount": 1}, token=token_b, key="charged"
        ),
        await api.call("POST", "/queue/issue", body={"userId": a}, token=token_b),
    ):
        assert refused.status == 404, refused
        if refused.code == unknown.code:
            assert refused.body["detail"] == unknown.body["detail"]
    b = (await api.status(token_b)).data["userId"]
    not_his = await api.call("GET", f"/payment/{paid['id']}", userId=b)
    assert (not_his.status, not_his.code) == (404, "not_found")
    assert await api.balance(a) == 4_000
    assert (await api.call("GET", f"/reservation/{held['id']}", token=token_a)).data[
        "status"
    ] == "PENDING"


async def test_a_cursor_of_another_user_is_unknown(service: Service) -> None:
    a, b = new_user(), new_user()
    for user in (a, b):
        for _ in range(3):
            await service.api.charge(user, 1)
    cursor = (await service.api.history(a, limit="1")).data["items"][0]["id"]
    assert len((await service.api.history(a, starting_after=cursor)).data["items"]) == 2
    refused = await service.api.history(b, starting_after=cursor)
    assert (refused.status, refused.code) == (404, "not_found")


UNGATED: tuple[tuple[str, str], ...] = (
    ("GET", "/user/check"),
    ("GET", "/user/history"),
    ("GET", "/payments"),
    ("GET", "/payment/pay_1"),
    ("POST", "/user/charge"),
)


async def ask(api: Api, call: tuple[str, str], user: str, token: str | None) -> Reply:
    method, path = call
    if method == "POST":
        return await api.call(method, path, body={"userId": user, "amount": 1}, token=token)
    return await api.call(method, path, token=token, userId=user)


async def test_where_users_need_tokens_nothing_is_open_without_one(
    start_service: StartService,
) -> None:
    service = await start_service(
        catalogue(concert("alpha", date("alpha-1", booking_end=timedelta(days=1)))),
        BOOKING_USER_AUTH="token",
    )
    api = service.api
    user, token = await api.enter()
    stranger, other = await api.enter()
    for call in UNGATED:
        missing = await ask(api, call, user, None)
        assert (missing.status, missing.code) == (401, "token_missing"), call
        foreign = await ask(api, call, user, other)
        assert (foreign.status, foreign.code) == (404, "not_found"), call
        forged = await ask(api, call, user, bit_flips(token)[0])
        assert (forged.status, forged.code) == (401, "token_invalid"), call
        assert (await ask(api, call, user, token)).status in (200, 404), call
    assert (await api.leave(token)).status == 204
    for call in UNGATED:
        ended = await ask(api, call, user, token)
        assert (ended.status, ended.code) == (401, "token_expired"), call
    assert (await ask(api, UNGATED[0], stranger, other)).data == {"balance": 0}


@pytest.mark.parametrize("path", ["/openapi.json", "/metrics", "/readyz?verbose"])
async def test_what_is_public_names_no_token_and_no_user(service: Service, path: str) -> None:
    user, token = await service.api.enter()
    await service.api.charge(user, 1)
    answer = await raw(service.app.port, request("GET", path))
    assert answer.status == 200
    assert token.encode() not in answer.body
    assert user.encode() not in answer.body
