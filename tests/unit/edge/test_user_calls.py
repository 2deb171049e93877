"""Charge, balance, history, payments, and whose they are."""

from __future__ import annotations

from actors.errors import UnavailableError
from booking.accounts.domain.account import BALANCE_MAX, Charged
from booking.entities import account_address
from booking_http import EdgeSettings
from tests.support.edge import ALICE, BOB, Edge, running
from tests.support.instance import Instance


async def test_a_charge_adds_up(edge: Edge) -> None:
    first = await edge("POST", "/user/charge", {"userId": ALICE, "amount": 1})
    assert (first.status, first.data) == (200, {"balance": 1})
    assert first.headers["Cache-Control"] == "no-store"
    await edge("POST", "/user/charge", {"userId": ALICE, "amount": 10_000_000})
    checked = await edge("GET", f"/user/check?userId={ALICE}")
    assert checked.data == {"balance": 10_000_001}
    assert checked.headers["Cache-Control"] == "no-store"


async def test_a_user_never_seen_has_nothing(edge: Edge) -> None:
    assert (await edge("GET", f"/user/check?userId={BOB}")).data == {"balance": 0}
    assert (await edge("GET", f"/user/history?userId={BOB}")).data == {
        "items": [],
        "has_more": False,
    }


async def test_a_balance_has_a_limit() -> None:
    instance = Instance()
    instance.seed(account_address(ALICE), Charged("chg_1", BALANCE_MAX, BALANCE_MAX))
    async with running(instance) as edge:
        answer = await edge("POST", "/user/charge", {"userId": ALICE, "amount": 1})
        assert (answer.status, answer.code) == (422, "balance_limit")


async def test_a_history_is_read_page_by_page(edge: Edge) -> None:
    for amount in range(1, 26):
        await edge("POST", "/user/charge", {"userId": ALICE, "amount": amount})
    base = f"/user/history?userId={ALICE}"
    first = (await edge("GET", base)).data
    assert [item["amount"] for item in first["items"]] == list(range(25, 5, -1))
    assert first["has_more"] is True
    last = first["items"][-1]
    assert last["type"] == "CHARGE"
    assert last["balance"] == sum(range(1, 7))
    rest = (await edge("GET", f"{base}&limit=5&starting_after={last['id']}")).data
    assert [item["amount"] for item in rest["items"]] == [5, 4, 3, 2, 1]
    assert rest["has_more"] is False


async def test_payments_are_read_page_by_page(edge: Edge) -> None:
    token = await edge.enter(ALICE)
    await edge("POST", "/user/charge", {"userId": ALICE, "amount": 1_000_000})
    for number in (1, 2, 3):
        await edge.hold(token, f"d1-{number}")
    for number in (1, 2, 3):
        await edge("POST", "/payment", {"seatId": f"d1-{number}"}, token=token)
    base = f"/payments?userId={ALICE}"
    page = (await edge("GET", f"{base}&limit=2")).data
    assert [item["seatNumber"] for item in page["items"]] == [3, 2]
    assert page["has_more"] is True
    rest = await edge("GET", f"{base}&starting_after={page['items'][-1]['id']}")
    assert [item["seatNumber"] for item in rest.data["items"]] == [1]


async def test_a_cursor_that_is_not_the_users_is_not_found(edge: Edge) -> None:
    await edge("POST", "/user/charge", {"userId": ALICE, "amount": 5})
    (item,) = (await edge("GET", f"/user/history?userId={ALICE}")).data["items"]
    for call in ("/user/history", "/payments"):
        answer = await edge("GET", f"{call}?userId={BOB}&starting_after={item['id']}")
        assert (answer.status, answer.code) == (404, "not_found")


OWN_DATA = (
    ("GET", "/user/check?userId={user}", None),
    ("GET", "/user/history?userId={user}", None),
    ("GET", "/payments?userId={user}", None),
    ("GET", "/payment/pay_1?userId={user}", None),
    ("POST", "/user/charge", {"userId": "{user}", "amount": 1}),
)


def _of(user: str, body: dict[str, object] | None) -> dict[str, object] | None:
    return None if body is None else {**body, "userId": user}


async def test_a_token_sent_along_has_to_be_that_users(edge: Edge) -> None:
    token = await edge.enter(ALICE)
    for method, target, body in OWN_DATA:
        foreign = await edge(method, target.format(user=BOB), _of(BOB, body), token=token)
        assert (foreign.status, foreign.code) == (404, "not_found")
        forged = await edge(method, target.format(user=BOB), _of(BOB, body), token=token + "0")
        assert (forged.status, forged.code) == (401, "token_invalid")
        own = await edge(method, target.format(user=ALICE), _of(ALICE, body), token=token)
        assert own.status == (404 if "pay_1" in target else 200)


async def test_with_required_tokens_nothing_is_told_without_one() -> None:
    async with running(settings=EdgeSettings(user_auth="token")) as edge:
        token = await edge.enter(ALICE)
        for method, target, body in OWN_DATA:
            at, sent = target.format(user=ALICE), _of(ALICE, body)
            none = await edge(method, at, sent)
            assert (none.status, none.code) == (401, "token_missing")
            assert (await edge(method, at, sent, token=token)).status in (200, 404)
            other = await edge(method, target.format(user=BOB), _of(BOB, body), token=token)
            assert (other.status, other.code) == (404, "not_found")
        await edge("DELETE", "/queue", token=token)
        ended = await edge("GET", f"/user/check?userId={ALICE}", token=token)
        assert (ended.status, ended.code) == (401, "token_expired")


async def test_an_application_out_of_reach_is_said_with_a_time_to_come_back(edge: Edge) -> None:
    edge.instance.fail(UnavailableError("database at 10.0.0.1 is down", 2.2))
    answer = await edge("GET", f"/user/check?userId={ALICE}")
    assert (answer.status, answer.code) == (503, "unavailable")
    assert answer.headers["Retry-After"] == "3"
    assert b"10.0.0.1" not in answer.body
