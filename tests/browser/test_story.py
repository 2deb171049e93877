"""The whole story with two fans: waiting, entering, seats that move, paying, the ticket."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.browser.conftest import NewFan
from tests.support.served import Served

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize("sockets", [True, False], ids=["with websockets", "with polls alone"])
async def test_two_fans_book_one_after_the_other(
    narrow: Served, new_fan: NewFan, sockets: bool
) -> None:
    first = await new_fan(narrow.url, sockets=sockets)
    second = await new_fan(narrow.url, sockets=sockets)

    await first.enter()
    await second.join()
    await second.is_waiting(1)
    await expect(second.page.locator("#ahead")).to_have_text("You are next")
    link = "Live" if sockets else "Checked every few seconds"
    await expect(second.page.locator("#link")).to_have_text(link)

    await first.open_date("lanterns-1")
    await first.hold(14)
    await first.sees_seat(14, "mine")
    await expect(first.page.locator(".pay")).to_be_disabled()
    await first.charge(38_000)
    await expect(first.page.locator("#balance")).to_have_text("₩38,000")
    await first.pay()
    await expect(first.tickets).to_have_count(1)
    await expect(first.tickets).to_contain_text("Concert lanterns")
    await expect(first.tickets).to_contain_text("14")

    await second.is_inside()  # the first one's payment has made room
    await second.open_date("lanterns-1")
    await second.sees_seat(14, "sold")
    await second.seat(14).click(force=True)  # it says that it is disabled
    await expect(second.page.locator("#hold")).to_have_count(0)
    await second.hold(15)
