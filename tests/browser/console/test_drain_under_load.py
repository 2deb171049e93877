"""An operator drains an instance of a real cluster in the console while people book."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from tests.browser.console.operator_page import Operator
from tests.support.cluster import ADMIN_TOKEN, cluster
from tests.support.cluster_verdict import all_is_true_everywhere
from tests.support.load import Load
from tests.support.stock import import_catalogue, seats_to_draw

INSTANCES = 3
MOVED_MAX_MS = 60_000
"""A third of the shards move in some seconds; a busy machine may need more."""


@pytest.mark.timeout(180)
@pytest.mark.asyncio(loop_scope="session")
async def test_an_instance_is_drained_and_nobody_who_books_notices(
    browser: Browser, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    await import_catalogue(database_url)
    async with (
        cluster(database_url, redis_url, tmp_path, INSTANCES) as running,
        Load(running.in_rotation, seats_to_draw(), seed=20240611) as load,
    ):
        await load.answers(100)
        page = await browser.new_page(viewport={"width": 1400, "height": 900})
        operator = Operator(page, running.instances[0].url)
        await operator.open(token=ADMIN_TOKEN)
        await expect(page.locator("#map button")).to_have_count(256)
        began_s = time.monotonic()
        await operator.button("Drain… c-2").click()
        await operator.answer("Drain c-2")
        await expect(operator.said).to_have_text("c-2 is being drained.")
        await expect(page.locator("#legend")).to_contain_text("c-2 0", timeout=MOVED_MAX_MS)
        await expect(page.locator("#instances")).to_contain_text("drained")
        print(f"drained in {time.monotonic() - began_s:.1f} s: {load.felt(began_s)}")
        assert await running.shards_of(running.by_name["c-2"]) == set()
        await expect(page.locator("#handovers li").first).to_contain_text("c-2 →")
        await expect(page.locator("#trail tbody tr").first).to_contain_text("kim (127.0.0.1)")
        await load.answers(50)
        # The browser writes down every 503, which a busy cluster may answer to a look.
        assert [each for each in operator.complaints if "503" not in each] == []
        await load.settle()
        assert load.failures == []
        await all_is_true_everywhere(load, running, database_url)
