"""What the page does with pushed places and closed sockets: the other end is played by the test."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio
from playwright.async_api import expect

from tests.browser.conftest import NewFan
from tests.browser.fan import Fan
from tests.browser.pushes import FOREVER_MS, HELLO, Pushes
from tests.support.api_client import Api, eventually
from tests.support.served import Served

pytestmark = pytest.mark.asyncio(loop_scope="session")

SILENCE_MS = 30_500
PONG_MAX_MS = 11_000


Waiting = tuple[Fan, Pushes]


@pytest_asyncio.fixture(loop_scope="session")
async def waiting(narrow: Served, new_fan: NewFan) -> Waiting:
    """Somebody behind one user, with the socket open and the page's clock in our hands, who was
    told to be the 42nd: a place that only a push can have come by."""
    async with Api(narrow.url) as api:
        await api.enter()
    fan = await new_fan(narrow.url)
    pushes = Pushes(fan, "/queue/ws", "/queue/status")
    await pushes.begin()
    await fan.page.clock.install()
    await fan.join()
    await pushes.opened(1)
    pushes.push(HELLO)
    pushes.place(1, 42)
    await fan.is_waiting(42)
    return fan, pushes


async def test_pushed_places_are_shown_and_save_the_polls(waiting: Waiting) -> None:
    fan, pushes = waiting
    await expect(fan.page.locator("#link")).to_have_text("Live")
    await expect(fan.page.locator("#eta")).to_have_text("About 2 minutes to go")
    polls = await pushes.polls_answered()
    await fan.page.clock.fast_forward(FOREVER_MS)
    pushes.place(2, 41)
    await fan.is_waiting(41)
    await fan.page.clock.fast_forward(FOREVER_MS)
    pushes.place(4, 39)  # a slow reader skips
    await fan.is_waiting(39)
    assert pushes.polls == polls


async def test_those_who_wait_are_shown_what_is_left(waiting: Waiting) -> None:
    fan, pushes = waiting
    shown = fan.page.locator("#stock")
    for seq, (left, held, words) in enumerate(
        [
            (1_234, 7, "1,234 seats are free"),
            (0, 7, "No seat is free at the moment. 7 are held by others"),
            (0, 0, "Everything is sold out."),
        ],
        start=2,
    ):
        pushes.place(seq, 42, seatsLeft=left, seatsHeld=held)
        await expect(shown).to_contain_text(words)
    pushes.place(9, 42)
    await expect(shown).to_be_hidden()


async def test_a_scheduled_opening_is_counted_down_to(waiting: Waiting) -> None:
    fan, pushes = waiting
    opens = datetime.now(UTC) + timedelta(hours=1, minutes=1)
    pushes.place(2, 42, etaKnown=False, opensAt=opens.isoformat())
    await expect(fan.place).to_have_text(re.compile(r"^1:0[01]:\d\d$"))
    await expect(fan.page.locator("#ahead")).to_have_text("41 others wait with you")
    await expect(fan.page.locator("#eta")).to_contain_text("Places are drawn then")
    await fan.page.clock.fast_forward(3_600_000)
    await expect(fan.place).to_have_text(re.compile(r"^[01]:\d\d$"))
    pushes.place(3, 7)
    await fan.is_waiting(7)
    await expect(fan.page.locator("#ahead")).to_have_text("6 people are ahead of you")
    await fan.page.clock.run_for(2_000)  # nothing counts down any more
    await fan.is_waiting(7)


async def test_a_silent_connection_is_asked_and_given_up_without_an_answer(
    waiting: Waiting,
) -> None:
    fan, pushes = waiting
    polls = await pushes.polls_answered()
    for pings in (1, 2):
        await fan.page.clock.run_for(SILENCE_MS)

        async def has_asked(pings: int = pings) -> bool:
            return pushes.said == [json.dumps({"type": "ping"}, separators=(",", ":"))] * pings

        await eventually(has_asked)
        if pings == 1:
            pushes.push({"type": "pong"})
            pushes.place(2, 41)
            await fan.is_waiting(41)
    assert pushes.polls == polls
    await fan.page.clock.run_for(PONG_MAX_MS)
    await expect(fan.page.locator("#link")).to_have_text("Checked every few seconds")
    await fan.is_waiting(1)  # what HTTP says
    await fan.page.clock.run_for(1_000)
    await pushes.opened(2)


@pytest.mark.parametrize("code", [1012, 1001])
async def test_after_a_restart_the_socket_comes_back_and_polls_bridge_the_time(
    waiting: Waiting, code: int
) -> None:
    fan, pushes = waiting
    if code == 1012:
        pushes.push({"type": "reconnect", "afterMs": 1_500})
    await pushes.sockets[0].close(code=code)
    await expect(fan.page.locator("#link")).to_have_text("Checked every few seconds")
    await fan.page.clock.run_for(2_000)
    await fan.is_waiting(1)  # what HTTP says
    await pushes.opened(2)
    pushes.push(HELLO)
    pushes.place(1, 40)
    await fan.is_waiting(40)


async def test_after_a_final_close_only_polls_go_on(waiting: Waiting) -> None:
    fan, pushes = waiting
    polls = await pushes.polls_answered()
    await pushes.sockets[0].close(code=1008)
    await pushes.polled(more_than=polls)  # at once: is the token at its end?
    await fan.is_waiting(1)
    await fan.page.clock.run_for(120_000)
    await pushes.polled(more_than=polls + 2)
    assert len(pushes.sockets) == 1


async def test_a_frame_of_an_unknown_form_makes_the_page_ask(waiting: Waiting) -> None:
    fan, pushes = waiting
    pushes.sockets[0].send("[]")
    await fan.is_waiting(1)
