"""The websockets of the whole service: what one user does, others see."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.support.catalogues import catalogue, concert, date
from tests.support.service import Service, StartService
from tests.support.websockets import listening_at

SEATS = "/concert/seats/ws?concertScheduleId=alpha-1"
ALPHA = catalogue(concert("alpha", date("alpha-1")))


def states(frame: Any) -> dict[int, str]:
    return {each["seatNumber"]: each["state"] for each in frame["data"]["changed"]}


async def test_a_payment_ends_one_token_and_admits_the_next_who_listens(
    start_service: StartService,
) -> None:
    service = await start_service(ALPHA, BOOKING_QUEUE_MAX_ACTIVE="1")
    api, port = service.api, service.app.port
    first_user, first = await api.enter()
    _, second = await api.enter()
    async with listening_at(port, token=first) as inside, listening_at(port, token=second) as waits:
        assert (await inside.frame("queue"))["data"]["status"] == "active"
        assert (await waits.frame("queue"))["data"]["position"] == 1
        await api.charge(first_user, 1_000)
        assert (await api.reserve(first, "alpha-1-7")).status == 201
        assert (await api.pay(first, "alpha-1-7")).status == 201
        admitted = await waits.frame("queue")
        assert admitted["data"] == (await api.status(second)).data | {
            "pollAfterMs": admitted["data"]["pollAfterMs"]
        }
        assert admitted["data"]["status"] == "active"
        assert (await inside.frame("ended"))["code"] == "token_expired"
        assert await inside.closed() == 1008


async def test_others_see_a_seat_go_and_come_back(start_service: StartService) -> None:
    service = await start_service(ALPHA)
    api = service.api
    (buyer, token), (_, watcher) = await api.enter(), await api.enter()
    async with listening_at(service.app.port, SEATS, watcher) as listener:
        assert set(states(await listener.frame("seats")).values()) == {"available"}
        held = (await api.reserve(token, "alpha-1-1")).data["id"]
        assert states(await listener.frame("seats")) == {1: "held"}
        assert (await api.release(token, held)).status == 204
        assert states(await listener.frame("seats")) == {1: "available"}
        await api.charge(buyer, 1_000)
        await api.reserve(token, "alpha-1-2")
        await api.pay(token, "alpha-1-2")
        await listener.until(lambda frame: states(frame).get(2) == "sold")


async def test_a_stop_sends_listeners_away(start_service: StartService) -> None:
    service = await start_service(ALPHA)
    _, token = await service.api.enter()
    async with listening_at(service.app.port, SEATS, token) as listener:
        await listener.frame("seats")
        stopping = asyncio.create_task(stop(service))
        frame = await listener.until(lambda frame: frame["type"] == "reconnect")
        assert 0 <= frame["afterMs"] <= 10_000
        assert await listener.closed() == 1012
        await asyncio.wait_for(stopping, 30)


async def stop(service: Service) -> None:
    await service.stop()
