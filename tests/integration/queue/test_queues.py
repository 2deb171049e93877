"""A queue for each concert, over HTTP, with the journal and the catalogue in a real database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from booking.catalogue import document, store
from booking.queue.domain.lots import draw
from tests.support.api_client import Api, eventually, new_user
from tests.support.catalogues import catalogue, concert, date
from tests.support.service import Service, StartService

ADMIN_TOKEN = "an-admin-token-of-the-queue-tests"


@pytest.fixture
async def service(start_service: StartService) -> Service:
    return await start_service(
        catalogue(
            concert("alpha", date("alpha-1")),
            {**concert("beta", date("beta-1")), "queue": "beta-night"},
        ),
        BOOKING_QUEUE_MAX_ACTIVE="1",
    )


async def token_for(api: Api, user: str, queue: str | None = None) -> str:
    issued = await api.issue(user, queue=queue)
    assert issued.status == 201
    return str(issued.data["token"])


async def test_a_token_opens_only_the_concerts_of_its_queue(service: Service) -> None:
    api, user = service.api, new_user()
    house, own = await token_for(api, user), await token_for(api, user, "beta-night")
    for token, mine, other in ((house, "alpha", "beta"), (own, "beta", "alpha")):
        assert [each["id"] for each in (await api.dates(token)).data] == [f"{mine}-1"]
        only = await api.call("GET", "/concert/available-dates", token=token, concertId=mine)
        assert len(only.data) == 1
        assert (await api.seats(token, f"{mine}-1")).status == 200
        refused = [
            await api.call("GET", "/concert/available-dates", token=token, concertId=other),
            await api.seats(token, f"{other}-1"),
            await api.reserve(token, f"{other}-1-1"),
            await api.pay(token, f"{other}-1-1"),
        ]
        assert [(each.status, each.code) for each in refused] == [(404, "not_found")] * 4
    assert (await api.reserve(own, "beta-1-1")).status == 201
    await api.charge(user, 1_000)
    assert (await api.pay(own, "beta-1-1")).status == 201
    assert (await api.status(own)).code == "token_expired"
    assert (await api.status(house)).data["status"] == "active"


async def test_queues_do_not_wait_for_each_other(service: Service) -> None:
    api = service.api
    await token_for(api, new_user())
    behind = await api.issue(new_user())
    assert (behind.data["status"], behind.data["ahead"]) == ("pending", 0)
    assert (await api.issue(new_user(), queue="beta-night")).data["status"] == "active"
    assert (await api.issue(new_user(), queue="gamma")).code == "not_found"


async def test_a_queue_that_an_import_brings_opens_within_moments(
    service: Service, database_url: str
) -> None:
    later = catalogue({**concert("gamma", date("gamma-1")), "queue": "gamma"})
    await store.save(database_url, document.parse(msgspec.json.encode(later)))
    api, user = service.api, new_user()

    async def issued() -> bool:
        return (await api.issue(user, queue="gamma")).status in (201, 409)

    await eventually(issued)


async def test_an_opening_over_http(start_service: StartService) -> None:
    service = await start_service(
        catalogue(concert("alpha", date("alpha-1"))),
        BOOKING_QUEUE_MAX_ACTIVE="3",
        BOOKING_ADMIN_TOKEN=ADMIN_TOKEN,
    )
    api, headers = service.api, {"Authorization": f"Bearer {ADMIN_TOKEN}"}
    opens = datetime.now(UTC) + timedelta(seconds=2)
    rules = {"opensAt": opens.isoformat()}
    changed = await api.call("PATCH", "/admin/queues/main", body=rules, headers=headers)
    assert changed.status == 200, changed
    tokens = {number: await token_for(api, new_user()) for number in range(1, 13)}
    before = [(await api.status(token)).data for token in tokens.values()]
    assert {(each["status"], each["ahead"], each["etaKnown"]) for each in before} == {
        ("pending", 11, False)
    }
    assert {datetime.fromisoformat(each["opensAt"]) for each in before} == {
        opens.replace(microsecond=opens.microsecond // 1000 * 1000)
    }

    async def is_open() -> bool:
        return "opensAt" not in (await api.status(tokens[1])).data

    await eventually(is_open)
    report = (await api.call("GET", "/admin/queues/main", headers=headers)).data
    lots = draw(report["seed"], 1, 12)
    for number, token in tokens.items():
        seen = (await api.status(token)).data
        assert (seen["status"] == "active") == (lots.place(number) <= 3)
        assert seen["ahead"] == max(0, lots.place(number) - 4)
    assert (await api.issue(new_user())).data["ahead"] == 9


async def test_those_who_wait_are_told_what_is_left(service: Service) -> None:
    api, user, waiting = service.api, new_user(), new_user()
    inside = await token_for(api, user)
    issued = (await api.issue(waiting)).data
    assert (issued["status"], issued["seatsLeft"], issued["seatsHeld"]) == ("pending", 50, 0)
    await api.charge(user, 1_000_000)
    for number in (1, 2, 3):
        await api.reserve(inside, f"alpha-1-{number}")
    await api.pay(inside, "alpha-1-1")

    async def is_told() -> bool:
        place = (await api.status(issued["token"])).data
        return (place["seatsLeft"], place["seatsHeld"]) == (47, 2)

    await eventually(is_told)
    assert "seatsLeft" not in (await api.status(inside)).data
