"""Takes the pictures of the documents: ``./scripts/test browser -m screenshots``. Not a part of the
usual run. It needs a Korean font (Debian: fonts-nanum)."""

from __future__ import annotations

import io
import time
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest
from PIL import Image
from playwright.async_api import Page, expect

from booking.catalogue import demo
from tests.browser.conftest import NewFan, StartService
from tests.browser.fan import Fan
from tests.support.api_client import Api
from tests.support.house import ROOT

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.screenshots]

IMAGES = ROOT / "docs" / "images"
COLOURS = 256
"""Of the palette: the page has few, and a picture is then a third of its size."""
DESK: dict[str, Any] = {"viewport": {"width": 1180, "height": 760}}
KOREAN: dict[str, Any] = {"locale": "ko-KR", "color_scheme": "dark"}
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 780}, "device_scale_factor": 2}
DATE = "glass-harbour-1"
ARENA = "starlight-arena-1"
OURS = (24, 25)


async def picture(page: Page, name: str) -> None:
    await page.mouse.move(0, 0)
    await page.wait_for_timeout(1_000)  # until what has just changed has stopped moving
    taken = await page.screenshot(animations="disabled")
    IMAGES.mkdir(exist_ok=True)
    image = Image.open(io.BytesIO(taken)).convert("RGB")
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(IMAGES / f"{name}.png", optimize=True)


async def busy_date(api: Api, date: str, seats: int, count: int) -> None:
    """Some seats of a date sold, some held."""
    draw = Random(7)
    wanted = [number for number in range(1, seats + 1) if number not in OURS]
    for index, number in enumerate(draw.sample(wanted, count)):
        user, token = await api.enter()
        await api.reserve(token, f"{date}-{number}")
        if index % 3:
            await api.charge(user, 200_000)
            await api.pay(token, f"{date}-{number}")


async def hold_two(fan: Fan) -> None:
    await fan.page.locator(f'[data-date="{DATE}"]').click()
    for number in OURS:
        await fan.seat(number).click()
        await fan.page.locator("#hold").click()
        await fan.has_held(number)
    for _ in range(2):
        await fan.page.locator("#notices button").first.click()


async def test_waiting(start_service: StartService, new_fan: NewFan) -> None:
    service = await start_service(
        demo.demo_catalogue(datetime.now(UTC)), BOOKING_QUEUE_ADMIT_PER_MINUTE="240"
    )
    async with Api(service.url) as api:
        for _ in range(200):
            await api.enter()
        light = await new_fan(service.url, **DESK)
        await light.join()
        dark = await new_fan(service.url, **PHONE, **KOREAN)
        await dark.join()
        end = time.monotonic() + 30
        while "No estimate" in await light.page.locator("#eta").inner_text():
            assert time.monotonic() < end
            await light.page.wait_for_timeout(500)
        await picture(light.page, "waiting")
        await picture(dark.page, "waiting-ko-dark")


async def test_inside(start_service: StartService, new_fan: NewFan) -> None:
    service = await start_service(demo.demo_catalogue(datetime.now(UTC)))
    async with Api(service.url) as api:
        await busy_date(api, DATE, 50, 22)
        await busy_date(api, ARENA, 10_000, 400)
    fan = await new_fan(service.url, **DESK)
    await fan.enter()
    await hold_two(fan)
    await fan.page.locator(".grid [data-state=available]").nth(12).click()
    await picture(fan.page, "seats")
    await fan.page.get_by_role("button", name="All dates").click()
    await fan.page.locator(f'[data-date="{ARENA}"]').click()
    await expect(fan.page.locator(".section").first).to_be_visible()
    await picture(fan.page, "arena")
    await fan.charge(1_000_000)
    await expect(fan.page.locator("#balance")).to_have_text("₩1,000,000")
    await fan.pay()
    await expect(fan.tickets).to_have_count(2)
    await picture(fan.page, "tickets")


async def test_inside_in_korean_and_dark(start_service: StartService, new_fan: NewFan) -> None:
    service = await start_service(demo.demo_catalogue(datetime.now(UTC)))
    async with Api(service.url) as api:
        await busy_date(api, DATE, 50, 22)
    fan = await new_fan(service.url, **DESK, **KOREAN)
    await fan.enter()
    await hold_two(fan)
    await picture(fan.page, "seats-ko-dark")
    phone = await new_fan(service.url, **PHONE, **KOREAN)
    await phone.enter()
    await phone.page.locator(f'[data-date="{DATE}"]').click()
    await phone.seat(22).click()
    await picture(phone.page, "seats-phone")
