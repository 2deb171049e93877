"""The operators' side of a cluster made of dictionaries, and somebody in front of its console."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio
from playwright.async_api import Browser

from tests.browser.console.operator_page import Operator
from tests.support.admin_edge import AdminEdge


@pytest_asyncio.fixture(loop_scope="session")
async def admin() -> AsyncIterator[AdminEdge]:
    """The operators' side of a cluster made of dictionaries."""
    edge = AdminEdge()
    await edge.start()
    yield edge
    await edge.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def operator(browser: Browser, admin: AdminEdge) -> AsyncIterator[Operator]:
    """Somebody in front of that cluster's console; at the end nothing was wrong in the page."""
    page = await browser.new_page(viewport={"width": 1400, "height": 900})
    operator = Operator(page, admin.url)
    yield operator
    await page.close()
    assert operator.complaints == []
