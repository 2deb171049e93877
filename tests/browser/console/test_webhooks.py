"""Webhooks in the operators' console."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import expect

from booking.webhooks.sending import Webhooks
from booking.webhooks.store import WebhookStore
from tests.browser.console.operator_page import Operator
from tests.integration.webhooks.conftest import LOOPBACK
from tests.support.admin_edge import AdminEdge
from tests.support.receivers import receiving

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def admin(database_url: str) -> AsyncIterator[AdminEdge]:
    webhooks = Webhooks(WebhookStore(database_url), LOOPBACK, "/booking/test")
    edge = AdminEdge(webhooks=webhooks)
    await edge.start()
    yield edge
    await edge.stop()
    await webhooks.close()


async def test_one_is_added_tested_disabled_and_deleted(
    operator: Operator, admin: AdminEdge
) -> None:
    """Given an operator in front of the console, when they add a webhook, then they are told its
    secret once; they test it, disable it and delete it, and the trail says so."""
    async with receiving() as receiver:
        await operator.open()
        await operator.button("Add a webhook…").click()
        await operator.dialog.get_by_label("Address").fill(receiver.url)
        await operator.dialog.get_by_label("What it is").fill("settlement")
        await operator.answer("Add it")
        await expect(operator.dialog).to_contain_text("whsec_")
        await operator.answer("I have it")
        row = operator.page.locator("#webhooks tbody tr")
        await expect(row).to_contain_text(f"settlement; {receiver.url}; all events")
        await row.get_by_role("button", name="Test webhook").click()
        await expect(operator.said).to_contain_text("answered 204")
        await row.get_by_role("button", name="Disable… webhook").click()
        await operator.answer("Disable")
        await expect(row).to_contain_text("disabled")
        await row.get_by_role("button", name="Delete… webhook").click()
        await operator.answer("Delete it")
        await expect(row).to_have_count(0)
    assert [what for _, what, _ in await admin.said()] == [
        "webhook_create",
        "webhook_change",
        "webhook_delete",
    ]
