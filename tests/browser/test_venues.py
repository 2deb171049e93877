"""Halls of every kind on the fan's page: seats by section, row and label, standing room, prices."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from playwright.async_api import expect

from booking.catalogue.demo import demo_catalogue
from booking.catalogue.document import encode
from tests.browser.conftest import NewFan, starter
from tests.browser.fan import Fan
from tests.support.catalogues import concert, date
from tests.support.servers import TestServers

pytestmark = pytest.mark.asyncio(loop_scope="session")

PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 780}, "has_touch": True}
MARKUP = "<img src=x onerror=alert(1)>"
"""What a careless or hostile catalogue has for a name."""


def a_hostile_venue() -> dict[str, Any]:
    """A seat, a row, a section, a category and a house with markup for names."""
    seat = {"row": MARKUP[:20], "label": MARKUP[:20], "category": "c"}
    sections = [{"name": f"{MARKUP}{n}", "seats": [seat]} for n in range(2)]
    standing = {"name": f'"{MARKUP}', "standing": 2, "category": "c"}
    category = {"id": "c", "name": MARKUP, "colour": "#aa0000"}
    return {
        "id": "odd", "name": MARKUP, "city": MARKUP, "timeZone": "Asia/Seoul",
        "categories": [category], "sections": [*sections, standing],
    }  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def url(
    servers: TestServers, tmp_path_factory: pytest.TempPathFactory, _shared_stack: ExitStack
) -> str:
    """A service with the demo season, and one date in a house of odd names."""
    shows = msgspec.json.decode(encode(demo_catalogue(datetime.now(UTC))))
    odd = date("odd-1") | {"venue": "odd"}
    del odd["totalSeats"]
    shows["concerts"].append(concert("odd", odd) | {"name": MARKUP})
    shows["venues"].append(a_hostile_venue())
    start = starter(_shared_stack, servers, tmp_path_factory.mktemp("venues"))
    return (await start(shows)).url


async def opens(fan: Fan, date_id: str) -> None:
    await fan.page.locator(f'[data-date="{date_id}"]').click()
    await expect(fan.page.locator(".grid .state, .section").first).to_be_visible()


async def pays(fan: Fan) -> None:
    await fan.page.locator("#hold").click()
    await expect(fan.page.locator("#basket li")).to_be_visible()
    await fan.charge(200_000)
    await fan.pay()
    await expect(fan.tickets).to_have_count(1)


async def has_no_sideways_scroll(fan: Fan) -> None:
    wider = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert await fan.page.evaluate(wider) == 0


async def test_a_theatre_seat_is_chosen_by_row_and_the_ticket_tells_it(
    new_fan: NewFan, url: str
) -> None:
    """The fan is in London: times are those of the venue, with the year, and say so."""
    fan = await new_fan(url, timezone_id="Europe/London")
    await fan.enter()
    await opens(fan, "glass-garden-1")
    await expect(fan.page.locator(".lead")).to_contain_text("19:00 GMT+9 ·")
    await expect(fan.page.locator(".lead")).to_contain_text("Persimmon Theatre · Seoul")
    await expect(fan.page.locator("#prices")).to_have_text(
        "VIP ₩160,000R ₩130,000S ₩90,000A ₩60,000"
    )
    await expect(fan.page.locator('[data-section="Balcony"]')).to_contain_text("₩130,000")
    await fan.page.locator('[data-section="Stalls"]').click()
    await fan.page.get_by_role("gridcell", name="Stalls, row V, seat 34, ₩90,000").click()
    await expect(fan.page.locator("#chosen")).to_contain_text("Place for a wheelchair")
    last = fan.page.get_by_role("gridcell", name="Stalls, row V, seat 34,")
    await last.press("ArrowUp")
    await fan.page.keyboard.press("Home")
    await expect(
        fan.page.get_by_role("gridcell", name="Stalls, row U, seat 1,", exact=False).first
    ).to_be_focused()
    await pays(fan)
    ticket = fan.tickets.first
    await expect(ticket).to_contain_text("Stalls, row V, seat 34")
    await expect(ticket).to_contain_text("Persimmon Theatre")
    await expect(ticket).to_contain_text("GMT+9")
    open_at = datetime.now(UTC) + timedelta(days=120)
    await expect(ticket).to_contain_text(f"{open_at:%b %Y}, 19:00")


async def test_two_together_are_held_by_one_press_and_paid(new_fan: NewFan, url: str) -> None:
    fan = await new_fan(url, **PHONE)
    await fan.enter()
    await opens(fan, "glass-garden-1")
    await fan.page.locator("#find-two").click()
    basket = fan.page.locator("#basket li")
    await expect(basket).to_have_count(2)
    await expect(basket.nth(0)).to_contain_text("Stalls, row D, seat 17")
    await expect(basket.nth(1)).to_contain_text("Stalls, row D, seat 18")
    await fan.charge(320_000)
    await fan.pay()
    await expect(fan.tickets).to_have_count(2)
    await has_no_sideways_scroll(fan)


async def test_a_place_to_stand_needs_no_choice_among_four_hundred(
    new_fan: NewFan, url: str
) -> None:
    fan = await new_fan(url, **PHONE)
    await fan.enter()
    await opens(fan, "cellar-echoes-1")
    floor = fan.page.locator('[data-section="Floor"]')
    await expect(floor).to_contain_text("400 seats left")
    await floor.click()
    await expect(fan.page.locator("#chosen strong")).to_contain_text("Floor, place ")
    await has_no_sideways_scroll(fan)
    await pays(fan)
    await expect(fan.tickets.first).to_contain_text("Floor, place ")


async def test_an_arena_is_seen_whole_and_by_blocks_on_a_phone(new_fan: NewFan, url: str) -> None:
    fan = await new_fan(url, **PHONE)
    await fan.enter()
    await opens(fan, "starlight-arena-1")
    await expect(fan.page.locator(".section")).to_have_count(38)
    house = fan.page.locator(".house")
    size = await house.bounding_box()
    assert size is not None
    # The middle of the house is the floor: the first blocks in front of the middle, F2.
    await house.click(position={"x": size["width"] / 2, "y": size["height"] * 0.35})
    await expect(fan.page.get_by_role("heading", name="F2")).to_be_focused()
    await expect(fan.page.get_by_role("gridcell")).to_have_count(400)
    await fan.page.locator("#find").click()
    await expect(fan.page.locator("#chosen strong")).to_have_text("F2, row 1, seat 1")
    await has_no_sideways_scroll(fan)
    await pays(fan)


async def test_markup_in_a_catalogue_is_shown_and_not_run(new_fan: NewFan, url: str) -> None:
    fan = await new_fan(url)
    await fan.enter()
    await opens(fan, "odd-1")
    await expect(fan.page.locator("h1")).to_have_text(MARKUP)
    await expect(fan.page.locator("#prices")).to_contain_text(MARKUP)
    section = fan.page.locator(".section").first
    await expect(section).to_contain_text(f"{MARKUP}0")
    await section.click()
    await expect(fan.page.get_by_role("gridcell")).to_have_text(MARKUP[:20])
    await fan.page.get_by_role("button", name="All sections").click()
    await expect(section).to_be_focused()
    assert await fan.page.locator("img").count() == 0
