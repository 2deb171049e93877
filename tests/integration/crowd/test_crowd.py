"""A crowd against the whole service, with every pause a hundredth of a person's."""

from __future__ import annotations

from collections import Counter

import pytest

from booking.crowd import run as crowd
from booking.crowd.run import CrowdError
from tests.support.api_client import eventually, new_user
from tests.support.catalogues import catalogue, concert, date
from tests.support.served import free_port
from tests.support.service import StartService

SHOWS = catalogue(concert("a", date("a-1"), date("a-2")), concert("b", date("b-1", seats=1_500)))


async def test_fans_wait_hold_pay_and_leave_nothing_behind(start_service: StartService) -> None:
    service = await start_service(SHOWS, BOOKING_QUEUE_MAX_ACTIVE="5")
    lines: list[str] = []
    tally = await crowd.run(
        service.url, fans=25, seconds=4, tell=lines.append, hint=lines.append, pace=0.01
    )
    assert tally.ever_waited
    assert tally.paid > 0
    assert tally.gave_up > 0
    assert len(lines) >= 4
    # Everybody has left: who comes now is inside at once, and soon no seat is held.
    reply = await service.api.issue(new_user())
    assert reply.data["status"] == "active"
    states = Counter[str]()

    async def none_is_held() -> bool:
        states.clear()
        for name in ("a-1", "a-2", "b-1"):
            seats = await service.api.seats(reply.data["token"], name, all="true")
            states.update(seat["state"] for seat in seats.data)
        return states["held"] == 0

    await eventually(none_is_held)
    assert states["sold"] >= tally.paid


async def test_a_crowd_that_does_not_have_to_wait_is_told_how_to_get_a_queue(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crowd, "HINT_AFTER_S", 0.5)
    service = await start_service(SHOWS)
    said: list[str] = []
    await crowd.run(
        service.url, fans=2, seconds=2, tell=lambda line: None, hint=said.append, pace=0.01
    )
    assert said == [crowd.NO_QUEUE]


async def test_without_a_service_it_says_so() -> None:
    with pytest.raises(CrowdError, match="nothing answers"):
        await crowd.run(
            f"http://127.0.0.1:{free_port()}", fans=1, seconds=1, tell=print, hint=print
        )
