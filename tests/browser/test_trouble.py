"""What goes wrong is said as it is, and nothing is done twice."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.async_api import Request, Route, expect

from tests.browser.conftest import NewFan
from tests.browser.fan import Fan
from tests.support.api_client import Api

pytestmark = pytest.mark.asyncio(loop_scope="session")

SEATS = "**/concert/available-seats?*"


def refusal(code: str, status: int, retry_after_s: int = 1) -> dict[str, Any]:
    """What the service says, to be said in its place."""
    body = {"code": code, "status": status, "message": code, "detail": code, "success": False}
    return {
        "status": status,
        "headers": {"Retry-After": str(retry_after_s), "Content-Type": "application/problem+json"},
        "body": json.dumps(body),
    }


class Posts:
    """The keys of a fan's POST requests to one path, and what to do with the first of them."""

    def __init__(self, fan: Fan, path: str) -> None:
        self.fan = fan
        self.path = path
        self.keys: list[str] = []

    async def answer_first(self, **fulfilled: Any) -> None:
        """The service does not see the first one."""

        async def handle(route: Route, request: Request) -> None:
            if self._note(request) == 1:
                await route.fulfill(**fulfilled)
            else:
                await route.continue_()

        await self.fan.page.route(f"**{self.path}", handle)

    async def lose_first_answer(self) -> None:
        """The service sees the first one, and its answer gets lost."""

        async def handle(route: Route, request: Request) -> None:
            if self._note(request) == 1:
                await route.fetch()
                await route.abort()
            else:
                await route.continue_()

        await self.fan.page.route(f"**{self.path}", handle)

    def _note(self, request: Request) -> int:
        self.keys.append(request.headers["idempotency-key"])
        return len(self.keys)


async def test_a_seat_that_was_taken_meanwhile_is_said_to_be_taken(
    fan: Fan, url: str, date_id: str
) -> None:
    await fan.sees_seat(7, "available")
    await fan.page.route(SEATS, lambda route: route.abort())  # the map no longer moves
    async with Api(url) as api:
        _, token = await api.enter()
        assert (await api.reserve(token, f"{date_id}-7")).status == 201
    await fan.seat(7).click()
    await fan.page.locator("#hold").click()
    await fan.is_told("Seat 7 has just been taken by somebody else")
    await fan.sees_seat(7, "held")
    await expect(fan.seat(7)).to_be_focused()
    await fan.page.unroute(SEATS)
    await fan.hold(8)


async def test_a_chosen_seat_that_somebody_takes_is_given_up_at_once(
    fan: Fan, url: str, date_id: str
) -> None:
    await fan.seat(7).click()
    async with Api(url) as api:
        _, token = await api.enter()
        await api.reserve(token, f"{date_id}-7")
    await fan.is_told("Seat 7 has just been taken")
    await fan.sees_seat(7, "held")
    await expect(fan.page.locator("#hold")).to_have_count(0)


async def test_a_hold_that_ended_unnoticed_cannot_be_paid(fan: Fan) -> None:
    await fan.hold(3)
    await fan.charge(100_000)
    payments = Posts(fan, "/payment")
    await payments.answer_first(**refusal("hold_expired", 410))
    await fan.pay()
    await fan.is_told("The hold has ended")
    await expect(fan.tickets).to_have_count(0)


async def test_too_little_money_asks_for_what_is_missing(fan: Fan) -> None:
    await fan.hold(3)
    await fan.charge(30_000)
    await expect(fan.page.locator("#charge-words")).to_have_text("₩8,000 are missing.")
    await expect(fan.page.get_by_label("Amount in won")).to_have_value("8000")
    await expect(fan.page.locator(".pay")).to_be_disabled()
    await fan.charge(0)
    await expect(fan.page.locator("#charge-words")).to_contain_text("A whole number from 1")
    await fan.charge(8_000)
    await fan.pay()
    await expect(fan.tickets).to_have_count(1)


async def test_a_full_queue_says_so_and_when_to_try_again(new_fan: NewFan, url: str) -> None:
    fan = await new_fan(url)
    issues = Posts(fan, "/queue/issue")
    await issues.answer_first(**refusal("queue_full", 503, retry_after_s=1))
    await fan.join()
    await expect(fan.page.get_by_text("The queue is full at the moment")).to_be_visible()
    await expect(fan.page.get_by_text("You can try again now")).to_be_visible()
    assert len(issues.keys) == 1, "a full queue is not asked again without the fan"
    await fan.join_button.click()
    await fan.is_inside()


@pytest.mark.parametrize("trouble", ["refused", "lost"])
async def test_a_charge_is_repeated_with_its_key_and_made_once(
    new_fan: NewFan, url: str, trouble: str
) -> None:
    fan = await new_fan(url)
    await fan.enter()
    charges = Posts(fan, "/user/charge")
    if trouble == "refused":
        await charges.answer_first(**refusal("stopping", 503))
    else:
        await charges.lose_first_answer()
    await fan.charge(20_000)
    await expect(fan.page.locator("#balance")).to_have_text("₩20,000")
    assert len(charges.keys) == 2
    assert len(set(charges.keys)) == 1


async def test_a_payment_whose_answer_a_reload_swallowed_shows_its_ticket(
    fan: Fan, url: str, date_id: str
) -> None:
    await fan.hold(9)
    await fan.charge(38_000)
    await fan.page.route("**/payment", lambda route: route.abort())  # tried again and again
    await fan.pay()
    stored = await fan.stored()
    key = stored["keys"][f"pay:{date_id}-9"]
    async with Api(url) as api:  # it did reach the service
        assert (await api.pay(stored["token"], f"{date_id}-9", key=key)).status == 201
    # In this order: the page as it was before the reload must not get to ask again.
    await fan.page.reload()
    await fan.page.unroute("**/payment")
    await expect(fan.tickets).to_have_count(1)
    await expect(fan.tickets).to_contain_text("9")
    assert (await fan.stored())["keys"] == {}
