"""Reloads, two fans at one map, the keyboard, languages, colours, a large hall, tickets."""

from __future__ import annotations

import io

import pytest
import zxingcpp
from PIL import Image
from playwright.async_api import Locator, expect

from tests.browser.conftest import ARENA_SEATS, NewFan
from tests.browser.fan import Fan
from tests.support.api_client import Api

pytestmark = pytest.mark.asyncio(loop_scope="session")

ARENA_MAX_MS = 15_000
"""From the click to the picture. It takes a fifth of a second; other tests run beside this one."""


# -- a reload --------------------------------------------------------------------------------------


async def test_a_reload_keeps_date_seat_and_balance(fan: Fan) -> None:
    await fan.hold(12)
    await fan.charge(40_000)
    await expect(fan.page.locator("#balance")).to_have_text("₩40,000")
    await fan.page.reload()
    await fan.sees_seat(12, "mine")
    await expect(fan.page.locator("#basket li")).to_contain_text("Concert lanterns")
    await expect(fan.page.locator("#basket li")).to_contain_text("4:5")  # not five minutes anew
    await expect(fan.page.locator("#balance")).to_have_text("₩40,000")
    await fan.page.go_back()
    await fan.is_inside()


# -- two at one map --------------------------------------------------------------------------------


@pytest.mark.parametrize("sockets", [True, False], ids=["with websockets", "with polls alone"])
async def test_fans_see_each_others_seats_turn(
    new_fan: NewFan, url: str, date_id: str, sockets: bool
) -> None:
    first = await new_fan(url, sockets=sockets)
    second = await new_fan(url, sockets=sockets)
    for fan in (first, second):
        await fan.enter()
        await fan.open_date(date_id)
        link = "Live" if sockets else "Checked every few seconds"
        await expect(fan.page.locator("#seats-link")).to_have_text(link)
    await first.hold(20)
    await first.sees_seat(20, "mine")
    await second.sees_seat(20, "held")
    await second.hold(21)
    await first.sees_seat(21, "held")
    await second.page.get_by_role("button", name="Give seat 21 back").click()
    await first.sees_seat(21, "available")
    await second.hold(22)
    await second.page.get_by_role("button", name="All dates").click()
    await second.page.get_by_role("button", name="Give up my turn").click()
    await second.page.get_by_role("button", name="Give up my turn").click()
    await expect(second.join_button).to_be_visible()
    await first.sees_seat(22, "available")

    await second.join_button.click()
    await second.is_inside()
    await second.open_date(date_id)
    await first.charge(38_000)
    await first.pay()
    await expect(first.tickets).to_have_count(1)
    await second.sees_seat(20, "sold")


# -- keyboard and screen reader --------------------------------------------------------------------


async def test_a_tab_that_comes_back_into_view_knows_what_the_other_has_done(
    new_fan: NewFan, url: str, date_id: str
) -> None:
    fan = await new_fan(url)
    await fan.enter()
    other = Fan(url, fan.context, await fan.context.new_page())
    await other.page.goto(url)
    await other.open_date(date_id)
    await other.hold(9)
    await fan.page.bring_to_front()
    await fan.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await fan.has_held(9)
    assert other.faults == []


async def test_on_a_phone_the_way_to_pay_is_in_sight(
    new_fan: NewFan, url: str, date_id: str
) -> None:
    fan = await new_fan(url, viewport={"width": 390, "height": 700})
    await fan.enter()
    await fan.open_date(date_id)
    await fan.seat(9).click()
    await fan.page.locator("#hold").click()
    to_pay = fan.page.get_by_role("button", name="Go to payment")
    await expect(to_pay).to_be_in_viewport()
    await to_pay.click()
    await expect(fan.page.locator(".pay")).to_be_in_viewport()
    await expect(to_pay).to_be_hidden()
    await expect(fan.page.locator("#basket h2")).to_be_in_viewport()
    await expect(fan.page.locator("#basket h2")).to_be_focused()


async def tab_to(fan: Fan, target: Locator, most: int = 100) -> None:
    for _ in range(most):
        await fan.page.keyboard.press("Tab")
        if await target.evaluate("element => element === document.activeElement"):
            return
    raise AssertionError(f"not reached with {most} tabs: {target}")


async def test_everything_can_be_done_with_the_keyboard_alone(
    new_fan: NewFan, url: str, date_id: str
) -> None:
    fan = await new_fan(url)
    press = fan.page.keyboard.press
    await fan.arrive()
    await press("Tab")
    await expect(fan.page.locator("#skip")).to_be_focused()
    await tab_to(fan, fan.join_button)
    await press("Enter")
    await fan.is_inside()
    await tab_to(fan, fan.page.locator(f'[data-date="{date_id}"]'))
    await press("Enter")
    await expect(fan.page.get_by_role("heading", level=1)).to_be_focused()

    await tab_to(fan, fan.seat(1))
    for key, number in (("ArrowRight", 2), ("ArrowDown", 12), ("End", 20), ("Home", 11)):
        await press(key)
        await expect(fan.seat(number)).to_be_focused()
    await expect(fan.page.locator('.grid [tabindex="0"]')).to_have_count(1)
    await press("Enter")
    await expect(fan.seat(11)).to_have_attribute("aria-selected", "true")
    await expect(fan.page.locator("#announcer")).to_have_text("Seat 11, ₩38,000, chosen")
    await press("Enter")
    await fan.has_held(11)
    await expect(fan.page.locator("#basket h2")).to_be_focused()

    await tab_to(fan, fan.page.get_by_label("Amount in won"))
    await press("Enter")  # what is missing is already there
    await expect(fan.page.locator(".pay")).to_be_focused()
    await press("Enter")
    await expect(fan.tickets).to_have_count(1)
    await expect(fan.page.get_by_role("heading", level=1)).to_be_focused()


# -- languages and colours -------------------------------------------------------------------------


async def test_korean_and_dark_by_the_browsers_own_settings(
    new_fan: NewFan, url: str, date_id: str
) -> None:
    fan = await new_fan(url, locale="ko-KR", color_scheme="dark")
    await fan.arrive()
    await expect(fan.page.locator("html")).to_have_attribute("lang", "ko")
    await expect(fan.join_button).to_have_text("대기열 들어가기")
    await expect(fan.page.locator("body")).to_have_css("background-color", "rgb(19, 18, 24)")
    await fan.join_button.click()
    await fan.is_inside()
    await fan.open_date(date_id)
    await fan.hold(4)
    await expect(fan.page.locator("#basket li")).to_contain_text("4번 좌석")

    await fan.page.get_by_role("button", name="View in English").click()
    await expect(fan.page.locator("#basket li")).to_contain_text("Seat 4")
    await fan.sees_seat(4, "mine")
    await fan.page.reload()
    await expect(fan.page.locator("html")).to_have_attribute("lang", "en")


async def test_english_and_light_for_everybody_else(new_fan: NewFan, url: str) -> None:
    fan = await new_fan(url, locale="fr-FR", color_scheme="light")
    await fan.arrive()
    await expect(fan.join_button).to_have_text("Join the queue")
    await expect(fan.page.locator("body")).to_have_css("background-color", "rgb(246, 245, 241)")


# -- a large hall ----------------------------------------------------------------------------------


async def test_ten_thousand_seats_are_shown_fast_and_move(new_fan: NewFan, url: str) -> None:
    fan = await new_fan(url)
    await fan.enter()
    took_ms = await fan.page.evaluate(
        """async () => {
            const began = performance.now();
            document.querySelector('[data-date="arena-1"]').click();
            const shown = () => document.querySelector(".section .left:not(:empty)");
            while (!shown()) await new Promise(requestAnimationFrame);
            return performance.now() - began;
        }"""
    )
    print(f"10,000 seats took {took_ms:.0f} ms")
    assert took_ms < ARENA_MAX_MS
    section = fan.page.locator('[data-section="C"]')
    await expect(fan.page.locator(".section")).to_have_count(ARENA_SEATS // 250)
    async with Api(url) as api:
        _, token = await api.enter()
        await api.reserve(token, "arena-1-600")
    await expect(section).to_contain_text("249 seats left")
    await section.click()
    await expect(fan.page.get_by_role("gridcell")).to_have_count(250)
    await fan.sees_seat(600, "held")
    await fan.hold(601)
    await fan.page.get_by_role("button", name="All sections").click()
    await expect(section).to_be_focused()
    await expect(section).to_contain_text("248 seats left")
    await fan.page.locator("#find").click()
    await expect(fan.seat(1)).to_be_focused()


# -- tickets ---------------------------------------------------------------------------------------


def read(image: Image.Image) -> str:
    found = zxingcpp.read_barcodes(
        image, formats=zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCode)
    )
    assert len(found) == 1, f"{len(found)} codes found"
    return found[0].text


async def test_the_ticket_on_the_screen_names_its_payment(
    new_fan: NewFan, url: str, date_id: str
) -> None:
    fan = await new_fan(url, color_scheme="dark")
    await fan.enter()
    await fan.open_date(date_id)
    await fan.hold(30)
    await fan.hold(31)
    await fan.charge(76_000)
    await fan.pay()
    await expect(fan.tickets).to_have_count(2)
    codes = fan.page.get_by_role("img", name="QR code")
    texts = set()
    for index in range(2):
        await codes.nth(index).evaluate("picture => picture.decode()")
        taken = await codes.nth(index).screenshot()
        texts.add(read(Image.open(io.BytesIO(taken)).convert("L")))
    user = (await fan.stored())["userId"]
    async with Api(url) as api:
        paid = (await api.call("GET", "/payments", userId=user)).data["items"]
    assert texts == {f"booking:ticket:{payment['id']}" for payment in paid}

    await fan.page.locator("#again").click()
    await expect(fan.join_button).to_be_visible()
    await fan.page.get_by_role("button", name="My tickets (2)").click()
    await expect(fan.tickets).to_have_count(2)
