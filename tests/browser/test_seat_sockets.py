"""What the page does with pushed seats: the other end is played by the test."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import Route, expect

from tests.browser.conftest import NewFan
from tests.browser.fan import Fan
from tests.browser.pushes import FOREVER_MS, HELLO, Pushes

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def watching_fan(new_fan: NewFan, url: str, date_id: str) -> tuple[Fan, Pushes]:
    fan = await new_fan(url)
    pushes = Pushes(fan, "/concert/seats/ws", "/available-seats")
    await pushes.begin()
    await fan.page.clock.install()
    await fan.enter()
    await fan.open_date(date_id)
    await pushes.opened(1)
    pushes.push(HELLO)
    return fan, pushes


def seat(number: int, state: str) -> dict[str, Any]:
    return {"seatNumber": number, "state": state}


async def test_pushed_seats_are_shown_and_save_the_polls(
    new_fan: NewFan, url: str, date_id: str
) -> None:
    fan, pushes = await watching_fan(new_fan, url, date_id)
    every = [seat(number, "sold" if number == 5 else "available") for number in range(1, 51)]
    pushes.seats(7, every, snapshot=True)
    await fan.sees_seat(5, "sold")
    await expect(fan.page.locator("#seats-link")).to_have_text("Live")
    await expect(fan.page.locator("#free")).to_contain_text("49 of 50 seats are free")
    polls = await pushes.polls_answered()
    pushes.seats(8, [seat(6, "held")])
    await fan.sees_seat(6, "held")
    await fan.page.clock.fast_forward(FOREVER_MS)
    pushes.seats(9, [seat(6, "available")])
    await fan.sees_seat(6, "available")
    assert pushes.polls == polls


DOUBTFUL = {
    "a gap": {"type": "seats", "seq": 12, "data": {"changed": [seat(6, "held")]}},
    "an unknown seat": {"type": "seats", "seq": 8, "data": {"changed": [seat(51, "held")]}},
    "an unknown form": {"type": "seats", "seq": 8, "data": {"moved": []}},
    "a short snapshot": {
        "type": "seats",
        "seq": 8,
        "data": {"snapshot": True, "changed": [seat(6, "held")]},
    },
    "no type": {},
}


async def test_in_doubt_the_page_fetches_the_seats(new_fan: NewFan, url: str, date_id: str) -> None:
    fan, pushes = await watching_fan(new_fan, url, date_id)
    every = [seat(number, "sold" if number == 5 else "available") for number in range(1, 51)]
    for frame in DOUBTFUL.values():
        pushes.push({"type": "news"})  # not known, not our business
        pushes.seats(7, every, snapshot=True)
        await fan.sees_seat(5, "sold")
        pushes.push(frame)
        await fan.page.clock.run_for(1_000)
        await fan.sees_seat(5, "available")  # what HTTP says


async def test_a_push_ahead_of_the_answer_to_a_hold_is_known_as_ones_own(
    new_fan: NewFan, url: str, date_id: str
) -> None:
    """Otherwise the page would say that somebody else took the seat."""
    fan, pushes = await watching_fan(new_fan, url, date_id)
    every = [seat(number, "available") for number in range(1, 51)]
    pushes.seats(7, every, snapshot=True)

    async def answer_late(route: Route) -> None:
        answer = await route.fetch()
        pushes.seats(8, [seat(6, "held")])
        await expect(fan.page.locator("#free")).to_contain_text("49 of 50 seats are free")
        await route.fulfill(response=answer)

    await fan.page.route("**/reservation", answer_late)
    await fan.hold(6)
    await fan.sees_seat(6, "mine")
    await fan.is_told("Seat 6 is held for you")
    await expect(fan.notices).not_to_contain_text("somebody else")
