"""The how-to about webhooks: the receiver of the page, fed by a service that sells."""

from __future__ import annotations

import re
import sys
import types
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientSession, web

from tests.support.api_client import eventually
from tests.support.catalogues import catalogue, concert, date
from tests.support.house import ROOT
from tests.support.service import StartService

PAGE = (ROOT / "docs" / "how-to" / "receive-webhooks.md").read_text(encoding="utf-8")
ADMIN = {"Authorization": "Bearer the-operators-token-9b7c-4f1d"}
SEAT = "d1-7"


class Page:
    """The receiver of the page, on a port that is free."""

    def __init__(self) -> None:
        self.module = types.ModuleType("receiver")
        self._runner: web.AppRunner | None = None
        self.port = 0

    def load(self, secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
        [code] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
        monkeypatch.setenv("WEBHOOK_SECRET", secret)
        monkeypatch.setitem(sys.modules, "receiver", self.module)
        exec(compile(code, "receive-webhooks.md", "exec"), self.module.__dict__)

    async def start(self) -> None:
        async def handle(request: web.Request) -> Any:
            return await self.module.receive(request)

        app = web.Application()
        app.router.add_post("/booking", handle)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        assert self._runner is not None
        await self._runner.cleanup()


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    page = Page()
    await page.start()
    yield page
    await page.stop()


async def test_the_receiver_of_the_page_adds_up_what_is_paid(
    start_service: StartService, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given the settings, the call and the receiver of the page, when a seat is paid for, then the
    receiver has its price, once, and refuses what is not signed."""
    given = dict(re.findall(r"(BOOKING_WEBHOOK\w+)=(\S+)", PAGE))
    dates = catalogue(concert("c1", date("d1", price=1_000)))
    token = ADMIN["Authorization"].split()[1]
    service = await start_service(dates, BOOKING_ADMIN_TOKEN=token, **given)
    [kind] = re.findall(r"--type (booking\.\S+)", PAGE)
    async with ClientSession(service.url, headers=ADMIN) as operator:
        url = f"http://127.0.0.1:{page.port}/booking"
        async with operator.post("/admin/webhooks", json={"url": url, "types": [kind]}) as answer:
            made = (await answer.json())["data"]
        page.load(made["secret"], monkeypatch)
        async with operator.post(f"/admin/webhooks/{made['id']}/test") as answer:
            assert (await answer.json())["data"]["status"] == 204
        async with operator.post(url, json={"type": kind}) as answer:
            assert answer.status == 401

    user, queue_token = await service.api.enter()
    await service.api.charge(user, 200_000)
    await service.api.reserve(queue_token, SEAT)
    await service.api.pay(queue_token, SEAT)

    async def added_up() -> bool:
        return bool(page.module.won == 1_000)

    await eventually(added_up)
    assert len(page.module.seen) == 2  # The test and the payment.
