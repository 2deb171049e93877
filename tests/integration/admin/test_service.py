"""The operators' side of a whole service: what is done there is felt by those who book."""

from __future__ import annotations

import pytest

from tests.support.api_client import Api, Reply, eventually, new_user
from tests.support.catalogues import catalogue, concert, date
from tests.support.served import free_port
from tests.support.service import StartService

TOKEN = "7c0e-of-the-operators-51fb"
SHOWS = catalogue(concert("alpha", date("alpha-1")))


async def operate(
    api: Api, method: str, path: str, body: object = None, token: str = TOKEN
) -> Reply:
    headers = {"Authorization": f"Bearer {token}", "X-Admin-User": "kim"}
    return await api.call(method, path, body=body, headers=headers)


async def test_without_a_token_in_the_settings_nobody_is_an_operator(
    start_service: StartService,
) -> None:
    service = await start_service(SHOWS)
    refused = await operate(service.api, "GET", "/admin/cluster")
    assert (refused.status, refused.code) == (403, "admin_disabled")


async def test_a_paused_queue_lets_nobody_in_and_a_resumed_one_does(
    start_service: StartService,
) -> None:
    api = (await start_service(SHOWS, BOOKING_ADMIN_TOKEN=TOKEN)).api
    paused = await operate(api, "PATCH", "/admin/queues/main", {"mode": "paused"})
    assert paused.data["mode"] == "paused"
    token = (await api.issue(new_user())).data["token"]
    assert (await api.status(token)).data["status"] == "pending"
    assert (await operate(api, "PATCH", "/admin/queues/main", {"mode": "open"})).status == 200

    async def inside() -> bool:
        return bool((await api.status(token)).data["status"] == "active")

    await eventually(inside)
    log = (await operate(api, "GET", "/admin/log")).data["items"]
    assert [line["detail"].get("mode") for line in log if line["what"] == "queue"] == [
        "open",
        "paused",
    ]
    assert {line["who"] for line in log} == {"kim (127.0.0.1)"}


async def test_a_concert_that_is_put_can_be_booked_a_moment_later(
    start_service: StartService,
) -> None:
    api = (await start_service(SHOWS, BOOKING_ADMIN_TOKEN=TOKEN)).api
    put = await operate(api, "PUT", "/admin/concerts/beta", concert("beta", date("beta-1")))
    assert put.status == 200, put
    _, token = await api.enter()

    async def listed() -> bool:
        return "beta-1" in [each["id"] for each in (await api.dates(token)).data]

    await eventually(listed)
    assert (await api.reserve(token, "beta-1-7")).status == 201
    gone = await operate(api, "PUT", "/admin/concerts/beta", concert("beta"))
    assert (gone.status, gone.code) == (409, "catalogue_conflict")
    assert "beta-1" in gone.body["errors"][0]["message"]


async def test_an_audit_of_the_running_service_is_clean(start_service: StartService) -> None:
    api = (await start_service(SHOWS, BOOKING_ADMIN_TOKEN=TOKEN)).api
    user, token = await api.enter()
    await api.charge(user, 5_000)
    await api.reserve(token, "alpha-1-1")
    assert (await api.pay(token, "alpha-1-1")).status == 201
    assert (await operate(api, "POST", "/admin/audit")).status == 202

    async def ended() -> bool:
        return str((await operate(api, "GET", "/admin/audit")).data["verdict"]) != "none"

    await eventually(ended, within_s=100.0)  # it has the lowest priority there is
    data = (await operate(api, "GET", "/admin/audit")).data
    assert data["verdict"] == "clean", data
    assert data["report"]["events"] > 3


@pytest.mark.parametrize("path", ["/admin/cluster", "/admin/console"])
async def test_with_a_port_of_its_own_it_is_on_that_port_alone(
    start_service: StartService, path: str
) -> None:
    port = free_port()
    service = await start_service(SHOWS, BOOKING_ADMIN_TOKEN=TOKEN, BOOKING_ADMIN_PORT=str(port))
    assert (await operate(service.api, "GET", path)).status == 404
    async with Api(f"http://127.0.0.1:{port}") as operators:
        assert (await operate(operators, "GET", path)).status == 200
        assert (await operators.issue(new_user())).status == 404
