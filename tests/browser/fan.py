"""A fan in front of the page: what there is to see, and what there is to do, by its meaning."""

from __future__ import annotations

import json
import re
from typing import Any

from playwright.async_api import BrowserContext, ConsoleMessage, Locator, Page, Request, expect

_NETWORK = re.compile(r"Failed to load resource|WebSocket connection to|net::ERR_")
"""What Chromium writes for refused requests and closed sockets, which the page is made for."""


class Fan:
    """One person with a browser of their own."""

    def __init__(self, url: str, context: BrowserContext, page: Page) -> None:
        self.url = url
        self.context = context
        self.page = page
        self.faults: list[str] = []
        """Uncaught errors, violations of the content policy, anything else written as an error."""
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", self._heard)
        page.on("request", self._asked)

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not _NETWORK.search(message.text):
            self.faults.append(message.text)

    def _asked(self, request: Request) -> None:
        if not request.url.startswith((f"{self.url}/", "data:")):
            self.faults.append(f"asked elsewhere: {request.url}")

    # -- doing ------------------------------------------------------------------------------------

    async def arrive(self) -> None:
        await self.page.goto(self.url)
        await expect(self.join_button).to_be_visible()

    async def join(self) -> None:
        await self.arrive()
        await self.join_button.click()

    async def enter(self) -> None:
        """Join a queue that lets in at once."""
        await self.join()
        await self.is_inside()

    async def open_date(self, date: str) -> None:
        await self.page.locator(f'[data-date="{date}"]').click()
        await expect(self.page.get_by_role("grid")).to_be_visible()

    async def hold(self, number: int) -> None:
        await self.seat(number).click()
        await self.page.locator("#hold").click()
        await self.has_held(number)

    async def charge(self, amount: int) -> None:
        await self.page.get_by_label("Amount in won").fill(str(amount))
        await self.page.locator("#charge button[type=submit], #charge button:not([type])").click()

    async def pay(self) -> None:
        await self.page.locator(".pay").click()

    # -- seeing -----------------------------------------------------------------------------------

    @property
    def join_button(self) -> Locator:
        return self.page.locator("#join")

    @property
    def place(self) -> Locator:
        return self.page.locator("#place")

    @property
    def notices(self) -> Locator:
        return self.page.locator("#notices")

    @property
    def tickets(self) -> Locator:
        return self.page.locator("article.ticket")

    def seat(self, number: int) -> Locator:
        return self.page.locator(f'.grid [data-seat="{number}"]')

    async def is_waiting(self, place: int) -> None:
        await expect(self.place).to_have_text(str(place))

    async def is_inside(self) -> None:
        await expect(self.page.locator(".concerts [data-date]").first).to_be_visible()

    async def sees_seat(self, number: int, state: str) -> None:
        await expect(self.seat(number)).to_have_attribute("data-state", state)

    async def has_held(self, number: int) -> None:
        await expect(self.page.locator(f'#basket [data-seat="{number}"]')).to_be_visible()

    async def is_told(self, words: str) -> None:
        await expect(self.notices.get_by_text(words, exact=False).first).to_be_visible()

    async def stored(self) -> dict[str, Any]:
        """What the page keeps over a reload."""
        text = await self.page.evaluate("localStorage.getItem('booking.fan.1')")
        found: dict[str, Any] = json.loads(text)
        return found
