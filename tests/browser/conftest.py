"""A service with a few concerts, and fans who look at its page in a real browser."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, async_playwright, expect

from booking.catalogue import document, store
from tests.browser.fan import Fan
from tests.support import chromium
from tests.support.catalogues import catalogue, concert, date
from tests.support.served import Served, served
from tests.support.servers import TestServers

WAIT_MAX_MS = 15_000
"""For anything that the page shows after a moment, on a machine that does other things too."""

DATES = 15
"""Of the shared service: one for each test of a module that wants one."""
ARENA_SEATS = 10_000
SHOWS = catalogue(
    concert(
        "lanterns", *(date(f"lanterns-{number}", price=38_000) for number in range(1, DATES + 1))
    ),
    concert("harbour", date("harbour-1", price=71_000)),
    concert("arena", date("arena-1", seats=ARENA_SEATS)),
)

StartService = Callable[..., Awaitable[Served]]
NewFan = Callable[..., Awaitable[Fan]]


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """Without a Chromium these tests are skipped; in continuous integration that is a failure."""
    path = chromium.find()
    if path is None and os.environ.get("CI"):
        pytest.fail(chromium.HOW_TO_GET_ONE)
    if path is None:
        pytest.skip(chromium.HOW_TO_GET_ONE)
    return path


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(chromium_path: str) -> AsyncIterator[Browser]:
    expect.set_options(timeout=WAIT_MAX_MS)
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(
            executable_path=chromium_path, args=list(chromium.ARGUMENTS)
        )
        yield running
        await running.close()


def starter(stack: ExitStack, servers: TestServers, directory: Path) -> StartService:
    async def start(shows: Any = SHOWS, **settings: str) -> Served:
        # In a thread: making a database runs an event loop of its own.
        database_url = await asyncio.to_thread(stack.enter_context, servers.database(migrated=True))
        if isinstance(shows, dict):
            shows = document.parse(msgspec.json.encode(shows))
        await store.save(database_url, shows)
        instance = stack.enter_context(served(database_url, servers.redis(), directory, **settings))
        await instance.start()
        return instance

    return start


@pytest.fixture
def start_service(servers: TestServers, tmp_path: Path) -> Iterator[StartService]:
    """Starts ``booking serve`` as a process, with these concerts and settings."""
    with ExitStack() as stack:
        yield starter(stack, servers, tmp_path)


@pytest_asyncio.fixture(loop_scope="session")
async def narrow(start_service: StartService) -> Served:
    """A service of this test's own that lets in one at a time."""
    return await start_service(BOOKING_QUEUE_MAX_ACTIVE="1")


@pytest.fixture(scope="module")
def _shared_stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def url(
    servers: TestServers, tmp_path_factory: pytest.TempPathFactory, _shared_stack: ExitStack
) -> str:
    """A service that lets everybody in, shared by the tests of a module, with a date for each. Such
    a module starts no other service: two at a time would meet in one Redis."""
    start = starter(_shared_stack, servers, tmp_path_factory.mktemp("shared"))
    return (await start()).url


@pytest.fixture(scope="module")
def _numbers() -> Iterator[int]:
    return iter(range(1, DATES + 1))


@pytest.fixture
def date_id(_numbers: Iterator[int]) -> str:
    """A date of the shared service that no other test touches; 50 seats at 38,000."""
    return f"lanterns-{next(_numbers)}"


@pytest_asyncio.fixture(loop_scope="session")
async def new_fan(browser: Browser) -> AsyncIterator[NewFan]:
    """Opens a browser of its own for each fan; keyword arguments are those of a new context.
    ``sockets=False`` closes every websocket at once, so that polls have to carry everything."""
    async with AsyncExitStack() as stack:
        fans: list[Fan] = []

        async def open_for(url: str, *, sockets: bool = True, **options: Any) -> Fan:
            context: BrowserContext = await browser.new_context(
                **{"locale": "en-GB", "viewport": {"width": 1280, "height": 900}} | options
            )
            stack.push_async_callback(context.close)
            context.set_default_timeout(WAIT_MAX_MS)
            if not sockets:
                await context.route_web_socket("**/*", lambda socket: socket.close(code=1011))
            fan = Fan(url, context, await context.new_page())
            fans.append(fan)
            return fan

        yield open_for
        for fan in fans:
            assert fan.faults == [], "the page has faults of its own"


@pytest_asyncio.fixture(loop_scope="session")
async def fan(new_fan: NewFan, url: str, date_id: str) -> Fan:
    """Somebody inside the shared service, in front of the seats of :func:`date_id`."""
    somebody = await new_fan(url)
    await somebody.enter()
    await somebody.open_date(date_id)
    return somebody
