"""Idempotency-Key: the first outcome is kept with its effect and given again."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from tests.support.api_client import Api, Reply, new_user
from tests.support.catalogues import catalogue, concert, date
from tests.support.service import Service, StartService

CATALOGUE = catalogue(concert("alpha", date("alpha-1"), date("alpha-2")))


@pytest.fixture
async def service(start_service: StartService) -> Service:
    return await start_service(CATALOGUE)


@pytest.fixture
def api(service: Service) -> Api:
    return service.api


def replayed(reply: Reply) -> bool:
    return bool(reply.headers.get("Idempotent-Replayed") == "true")


async def test_a_repeated_charge_charges_once_and_answers_the_same(api: Api) -> None:
    user = new_user()
    first = await api.charge(user, 100, "k1")
    second = await api.charge(user, 100, '"k1"')
    assert (first.status, second.status) == (200, 200)
    assert (replayed(first), replayed(second)) == (False, True)
    assert first.data == second.data == {"balance": 100}
    assert await api.balance(user) == 100


async def test_the_same_key_with_another_body_is_refused(api: Api) -> None:
    user, token = await api.enter()
    await api.charge(user, 100, "k1")
    other = await api.charge(user, 101, "k1")
    assert (other.status, other.code) == (422, "idempotency_key_reused")
    await api.reserve(token, "alpha-1-1", "k1")
    moved = await api.reserve(token, "alpha-1-2", "k1")
    assert (moved.status, moved.code) == (422, "idempotency_key_reused")
    assert await api.balance(user) == 100


async def test_keys_are_scoped_to_user_and_route(api: Api) -> None:
    for user in (new_user(), new_user()):
        assert not replayed(await api.charge(user, 100, "same"))
        assert not replayed(await api.issue(user, "same"))


async def test_a_refusal_is_an_outcome_too(api: Api) -> None:
    user, token = await api.enter()
    await api.reserve(token, "alpha-1-1")
    poor = await api.pay(token, "alpha-1-1", "p1")
    assert poor.status == 402
    await api.charge(user, 5_000)
    again = await api.pay(token, "alpha-1-1", "p1")
    assert (again.status, replayed(again)) == (402, True)
    assert (await api.pay(token, "alpha-1-1", "p2")).status == 201


async def test_a_repeated_issue_gives_the_same_token(api: Api) -> None:
    user = new_user()
    first = await api.issue(user, "k")
    second = await api.issue(user, "k")
    assert (first.status, second.status, replayed(second)) == (201, 201, True)
    assert first.data == second.data


async def test_a_repeated_reservation_gives_the_same_hold(api: Api) -> None:
    _, token = await api.enter()
    first = await api.reserve(token, "alpha-1-1", "k")
    second = await api.reserve(token, "alpha-1-1", "k")
    assert (first.status, second.status, replayed(second)) == (201, 201, True)
    assert first.data == second.data
    _, other = await api.enter()
    refused = await api.reserve(other, "alpha-1-1", "k")
    assert (refused.status, replayed(await api.reserve(other, "alpha-1-1", "k"))) == (409, True)


async def test_one_key_for_two_dates_at_once_holds_one_seat(api: Api) -> None:
    """Each date has its own owner, and the account says which of the two is the key's."""
    for number in range(1, 9):
        _, token = await api.enter()
        seats = [f"alpha-{date}-{number}" for date in (1, 2)]
        replies = await asyncio.gather(*(api.reserve(token, seat, "k") for seat in seats))
        assert [reply.status for reply in replies].count(201) == 1, replies
        refused = next(reply for reply in replies if reply.status != 201)
        assert refused.code in ("idempotency_key_reused", "idempotency_key_in_flight")
        mine = (await api.call("GET", "/reservations", token=token)).data
        assert [one["status"] for one in mine] == ["PENDING"]
        states = [
            next(seat["state"] for seat in (await api.seats(token, date, all="true")).data
                 if seat["seatNumber"] == number)
            for date in ("alpha-1", "alpha-2")
        ]  # fmt: skip
        assert sorted(states) == ["available", "held"]


async def test_a_repeated_payment_takes_money_once(api: Api) -> None:
    user, token = await api.enter()
    await api.charge(user, 5_000)
    await api.reserve(token, "alpha-1-1")
    replies = await asyncio.gather(*(api.pay(token, "alpha-1-1", "k") for _ in range(10)))
    counted = Counter(reply.status for reply in replies)
    assert counted[201] >= 1
    assert set(counted) <= {201, 401, 409}
    assert await api.balance(user) == 4_000


@pytest.mark.parametrize("call", ["charge", "issue"])
async def test_outcomes_survive_a_restart(
    start_service: StartService, service: Service, call: str
) -> None:
    user = new_user()

    async def ask(api: Api) -> Reply:
        return await (api.charge(user, 100, "k") if call == "charge" else api.issue(user, "k"))

    first = await ask(service.api)
    await service.stop()
    again = await start_service(CATALOGUE)
    second = await ask(again.api)
    assert replayed(second)
    assert second.data == first.data
