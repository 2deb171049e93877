"""An operator in front of the console, by what a person reads and presses."""

from __future__ import annotations

from playwright.async_api import Locator, Page

from tests.support.admin_edge import TOKEN

WAIT_MAX_MS = 15_000
"""For anything that the page shows after a moment, on a machine that does other things too."""


class Operator:
    """The console in one page, by what a person reads on it."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.complaints: list[str] = []
        """What the browser wrote into its own console: errors, and what the policy forbade."""
        page.set_default_timeout(WAIT_MAX_MS)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on(
            "console",
            lambda message: (
                self.complaints.append(message.text)
                if message.type in ("error", "warning")
                else None
            ),
        )

    async def open(self, token: str = TOKEN, user: str = "kim") -> None:
        """Opens the page and shows the token."""
        await self.page.goto(f"{self.url}/admin/console")
        await self.page.get_by_label("Operators' token").fill(token)
        await self.page.get_by_label("Your name").fill(user)
        await self.page.get_by_role("button", name="Open", exact=True).click()

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    @property
    def dialog(self) -> Locator:
        return self.page.get_by_role("dialog")

    async def answer(self, name: str) -> None:
        """Presses this button of the open dialog, which closes."""
        await self.dialog.get_by_role("button", name=name, exact=True).click()

    def shard(self, number: int) -> Locator:
        return self.page.locator("#map button").nth(number)

    def row(self, instance: str) -> Locator:
        return self.page.locator("#instances tbody tr").filter(has_text=instance)

    @property
    def said(self) -> Locator:
        return self.page.locator("#status")
