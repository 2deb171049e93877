"""A seat that is let go unpaid rests from its last holder, and from nobody else."""

from __future__ import annotations

import pytest

from tests.support.api_client import Api, Reply, eventually
from tests.support.catalogues import catalogue, concert, date
from tests.support.service import StartService

SEAT, OTHER_SEAT = "alpha-1-7", "alpha-1-8"
CATALOGUE = catalogue(concert("alpha", date("alpha-1")))


def is_cooling_down(reply: Reply, at_most_s: int) -> bool:
    """Whether it was refused for this, and says for how long in all its ways."""
    if (reply.status, reply.code) != (429, "hold_cooling_down"):
        return False
    left_ms = reply.body["retryAfterMs"]
    assert 0 < left_ms <= at_most_s * 1000
    left_s = -(-left_ms // 1000)
    assert reply.headers["Retry-After"] == str(left_s)
    assert f"for {left_s} more s" in reply.body["detail"]
    return True


async def expire(api: Api, token: str, seat: str) -> None:
    """Hold a seat until the hold is over."""
    assert (await api.reserve(token, seat)).status == 201

    async def free_again() -> bool:
        free = (await api.seats(token, "alpha-1")).data
        return seat in {each["id"] for each in free}

    await eventually(free_again)


async def test_who_let_a_hold_lapse_waits_and_everybody_else_does_not(
    start_service: StartService,
) -> None:
    service = await start_service(CATALOGUE, BOOKING_HOLD_SECONDS="1", BOOKING_REHOLD_SECONDS="600")
    api = service.api
    _, ann = await api.enter()
    _, bob = await api.enter()
    await expire(api, ann, SEAT)
    assert is_cooling_down(await api.reserve(ann, SEAT), 600)
    assert (await api.reserve(ann, OTHER_SEAT)).status == 201
    assert (await api.reserve(bob, SEAT)).status == 201
    page = (await api.call("GET", "/metrics")).body.decode()
    assert 'booking_refusals_total{code="hold_cooling_down"} 1.0' in page


@pytest.mark.parametrize("key", [None, "the-same"])
async def test_a_lapsed_hold_can_be_taken_again_after_the_cool_down(
    start_service: StartService, key: str | None
) -> None:
    """Also with the idempotency key of the refused attempt."""
    service = await start_service(CATALOGUE, BOOKING_HOLD_SECONDS="1", BOOKING_REHOLD_SECONDS="1")
    api = service.api
    _, ann = await api.enter()
    await expire(api, ann, SEAT)
    replies = [await api.reserve(ann, SEAT, key)]
    assert is_cooling_down(replies[0], 1)

    async def held() -> bool:
        replies.append(await api.reserve(ann, SEAT, key))
        return replies[-1].status == 201

    await eventually(held)
    assert all(is_cooling_down(reply, 1) for reply in replies[:-1])
    assert all("Idempotent-Replayed" not in reply.headers for reply in replies)
    if key is not None:
        again = await api.reserve(ann, SEAT, key)
        assert (again.status, again.data) == (201, replies[-1].data)
        assert again.headers["Idempotent-Replayed"] == "true"


async def test_giving_a_seat_back_is_no_way_around(start_service: StartService) -> None:
    """With a rest 86,400 times as long as the hold, a seat held for a few ms rests for minutes."""
    service = await start_service(
        CATALOGUE, BOOKING_HOLD_SECONDS="1", BOOKING_REHOLD_SECONDS="86400"
    )
    api = service.api
    _, ann = await api.enter()

    async def refused() -> bool:
        again = await api.reserve(ann, SEAT)
        if again.status != 201:
            return is_cooling_down(again, 86_400)
        assert (await api.release(ann, again.data["id"])).status == 204
        return False

    await eventually(refused)
    _, bob = await api.enter()
    assert (await api.reserve(bob, SEAT)).status == 201


async def test_choosing_and_giving_back_at_once_costs_nothing(start_service: StartService) -> None:
    service = await start_service(CATALOGUE)
    api = service.api
    _, ann = await api.enter()

    for _ in range(5):
        held = await api.reserve(ann, SEAT)
        assert held.status == 201
        assert (await api.release(ann, held.data["id"])).status == 204


async def test_the_cool_down_can_be_switched_off(start_service: StartService) -> None:
    service = await start_service(CATALOGUE, BOOKING_HOLD_SECONDS="1", BOOKING_REHOLD_SECONDS="0")
    api = service.api
    _, ann = await api.enter()
    await expire(api, ann, SEAT)
    assert (await api.reserve(ann, SEAT)).status == 201
