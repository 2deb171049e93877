"""Waiting, turns and holds that end, outages: with a service for each test, set as it needs it."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.browser.conftest import NewFan, StartService
from tests.browser.fan import Fan
from tests.support.api_client import Api, eventually
from tests.support.served import Served

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_reload_keeps_the_place(narrow: Served, new_fan: NewFan) -> None:
    async with Api(narrow.url) as api:
        for _ in range(3):
            await api.enter()
        fan = await new_fan(narrow.url)
        await fan.join()
        await fan.is_waiting(3)
        await api.enter()  # somebody lines up behind
        await fan.page.reload()
        await fan.is_waiting(3)
        other_tab = Fan(narrow.url, fan.context, await fan.context.new_page())
        await other_tab.page.goto(narrow.url)
        await other_tab.is_waiting(3)
        assert other_tab.faults == []


async def test_a_screen_reader_is_told_what_matters(narrow: Served, new_fan: NewFan) -> None:
    async with Api(narrow.url) as api:
        _, token = await api.enter()
        fan = await new_fan(narrow.url)
        await fan.join()
        announcer = fan.page.locator("#announcer")
        await expect(announcer).to_contain_text("Your place in the queue: 1. You are next.")
        await expect(announcer).to_have_attribute("aria-live", "polite")
        await api.leave(token)
    await expect(fan.page.get_by_role("status").get_by_text("It is your turn!")).to_be_visible()
    await fan.open_date("lanterns-1")
    grid = fan.page.get_by_role("grid", name="Seats.")
    await expect(grid.get_by_role("row")).to_have_count(5)
    await expect(grid.get_by_role("gridcell", name="Seat 1, ₩38,000, free")).to_be_visible()
    nameless = await fan.page.evaluate(
        "[...document.querySelectorAll('button, input, a')].filter((one) => "
        "!(one.getAttribute('aria-label') ?? one.textContent).trim()).length"
    )
    assert nameless == 0


async def test_a_hold_that_ends_is_taken_out_and_the_seat_is_free_again(
    start_service: StartService, new_fan: NewFan
) -> None:
    service = await start_service(BOOKING_HOLD_SECONDS="2")
    fan = await new_fan(service.url)
    await fan.enter()
    await fan.open_date("lanterns-1")
    await fan.hold(3)
    await fan.is_told("The hold on seat 3 has ended")
    await expect(fan.page.locator("#basket li")).to_have_count(0)
    await fan.sees_seat(3, "available")


@pytest.mark.parametrize(
    ("locale", "words"),
    [("en-GB", "so others come first: you can take it again in"), ("ko-KR", "다른 분께 먼저")],
)
async def test_who_let_a_hold_end_is_told_that_others_come_first(
    start_service: StartService, new_fan: NewFan, locale: str, words: str
) -> None:
    service = await start_service(BOOKING_HOLD_SECONDS="2", BOOKING_REHOLD_SECONDS="600")
    fan = await new_fan(service.url, locale=locale)
    await fan.enter()
    await fan.open_date("lanterns-1")
    await fan.hold(3)
    await expect(fan.page.locator("#basket li")).to_have_count(0)
    await fan.sees_seat(3, "available")
    await fan.seat(3).click()
    await fan.page.locator("#hold").click()
    await fan.is_told(words)
    await fan.hold(4)


async def test_a_dead_instance_is_waited_for_and_the_place_is_kept(
    narrow: Served, new_fan: NewFan
) -> None:
    async with Api(narrow.url) as api:
        _, token = await api.enter()
    fan = await new_fan(narrow.url)
    await fan.join()
    await fan.is_waiting(1)
    narrow.kill()
    await expect(fan.page.locator("#trouble")).to_contain_text("Trying again")
    await fan.is_waiting(1)
    await narrow.start()
    await expect(fan.page.locator("#trouble")).to_be_empty()
    async with Api(narrow.url) as api:
        await api.leave(token)
    await fan.is_inside()


async def test_a_payment_during_an_outage_is_made_once_when_it_is_over(
    start_service: StartService, new_fan: NewFan
) -> None:
    service = await start_service()
    fan = await new_fan(service.url)
    await fan.enter()
    await fan.open_date("harbour-1")
    await fan.hold(1)
    await fan.charge(100_000)
    await expect(fan.page.locator("#balance")).to_have_text("₩100,000")
    service.kill()
    await fan.pay()
    await expect(fan.page.locator("#trouble")).to_contain_text("Nothing you did is lost")
    await service.start()
    await expect(fan.tickets).to_have_count(1)
    user = (await fan.stored())["userId"]
    async with Api(service.url) as api:
        assert await api.balance(user) == 29_000


async def test_a_token_that_has_ended_brings_the_fan_back_to_the_start(
    start_service: StartService, new_fan: NewFan
) -> None:
    service = await start_service(BOOKING_ACTIVE_SECONDS="2")
    fan = await new_fan(service.url)
    await fan.enter()
    await fan.is_told("Your turn has ended")
    await expect(fan.join_button).to_be_visible()
    assert (await fan.stored())["token"] is None
    await fan.join_button.click()
    await fan.is_inside()


async def test_a_browser_that_forgot_its_token_is_told_what_it_can_do(
    narrow: Served, new_fan: NewFan
) -> None:
    fan = await new_fan(narrow.url)
    await fan.arrive()
    async with Api(narrow.url) as api:
        await api.enter((await fan.stored())["userId"])
    await fan.join_button.click()
    await expect(fan.page.get_by_text("You are in the queue already")).to_be_visible()
    await fan.page.get_by_role("button", name="Start as a new person").click()
    await fan.join_button.click()
    await fan.is_waiting(1)


async def test_leaving_is_asked_twice_and_frees_the_place(narrow: Served, new_fan: NewFan) -> None:
    async with Api(narrow.url) as api:
        await api.enter()
        fan = await new_fan(narrow.url)
        await fan.join()
        await fan.is_waiting(1)
        _, token = await api.enter()
        await fan.page.locator("#leave").click()
        await expect(fan.page.get_by_role("button", name="Stay")).to_be_focused()
        await fan.page.get_by_role("button", name="Leave the queue").click()
        await fan.is_told("You have left the queue")

        async def has_moved_up() -> bool:
            return bool((await api.status(token)).data["position"] == 1)

        await eventually(has_moved_up)
