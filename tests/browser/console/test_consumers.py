"""Consumers of events in the operators' console."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import expect

from actors.consumers.contract import Consumer
from booking.accounts.domain.account import Charged
from tests.browser.console.operator_page import Operator
from tests.support.admin_edge import AdminEdge
from tests.unit.admin.test_consumers import USER, Notes

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def admin() -> AsyncIterator[AdminEdge]:
    """With a consumer that cannot take the second of three events."""
    notes = Notes()
    edge = AdminEdge(consumers=[(Consumer(name="notes", handle=notes.handle), notes.effects)])
    for number in range(1, 4):
        edge.instance.seed(USER, Charged(f"chg-{number}", 1_000, number * 1_000))
    await edge.start()
    yield edge
    await edge.stop()


async def test_an_event_that_stopped_one_is_left_out_with_a_reason(
    operator: Operator, admin: AdminEdge
) -> None:
    await operator.open()
    row = operator.page.locator("#consumers tbody tr")
    await expect(row).to_contain_text("stopped", timeout=15_000)
    await expect(row).to_contain_text(f"shard {USER.slot} after seq 1: ValueError")
    await row.get_by_role("button", name="Skip… consumer notes").click()
    dialog = operator.page.locator("#dialog")
    await expect(dialog).to_contain_text(f"Leave out event 2 of shard {USER.slot}")
    await dialog.get_by_label("Reason").fill("a test account")
    await dialog.get_by_role("button", name="Leave it out").click()
    await expect(row).to_contain_text("running", timeout=15_000)
    await expect(row).to_contain_text(f"left out shard {USER.slot} seq 2: a test account")
    assert [what for _, what, _ in await admin.said()] == ["consumer_skip"]
