"""What the page does with pushed frames and closed sockets: the other end is played by the test."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from playwright.async_api import Request, WebSocketRoute, expect

from tests.browser.conftest import NewFan, StartService
from tests.browser.fan import Fan
from tests.support.api_client import Api, eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

HELLO = {"type": "hello", "heartbeatMs": 20_000, "reconnectJitterMs": 100}
FOREVER_MS = 25_000
"""Of the page's clock: many polls' worth, and less than the silence that makes it doubt."""
SILENCE_MS = 30_500
PONG_MAX_MS = 11_000


class Pushes:
    """The server's side of one websocket path, and a count of the polls it should save."""

    def __init__(self, fan: Fan, socket_path: str, poll_path: str) -> None:
        self._fan = fan
        self._socket_path = socket_path
        self._poll_path = poll_path
        self.sockets: list[WebSocketRoute] = []
        self.polls = 0
        self.said: list[str] = []
        """By the page."""

    async def begin(self) -> None:
        self._fan.page.on("request", self._count)
        pattern = re.compile(re.escape(self._socket_path))
        await self._fan.page.route_web_socket(pattern, self._opened)

    def _opened(self, socket: WebSocketRoute) -> None:
        self.sockets.append(socket)
        socket.on_message(lambda message: self.said.append(str(message)))

    def _count(self, request: Request) -> None:
        self.polls += self._poll_path in request.url

    async def opened(self, count: int) -> WebSocketRoute:
        async def are_there() -> bool:
            return len(self.sockets) >= count

        await eventually(are_there, within_s=15)
        return self.sockets[count - 1]

    async def polled(self, more_than: int) -> None:
        async def has_asked() -> bool:
            return self.polls > more_than

        await eventually(has_asked, within_s=15)

    def push(self, frame: dict[str, Any]) -> None:
        self.sockets[-1].send(json.dumps(frame))

    def seats(self, seq: int, changed: list[Any], *, snapshot: bool = False) -> None:
        data = {"concertScheduleId": "", "version": seq, "snapshot": snapshot, "changed": changed}
        self.push({"type": "seats", "seq": seq, "data": data})

    def place(self, seq: int, position: int, **changes: Any) -> None:
        data = {
            "status": "pending",
            "position": position,
            "ahead": position - 1,
            "etaSeconds": 90,
            "etaKnown": True,
            "pollAfterMs": 1_000,
        }
        self.push({"type": "queue", "seq": seq, "data": data | changes})


async def waiting_fan(start_service: StartService, new_fan: NewFan) -> tuple[Fan, Pushes]:
    """Waits behind one user, with the socket open and the page's clock in our hands."""
    service = await start_service(BOOKING_QUEUE_MAX_ACTIVE="1")
    async with Api(service.url) as api:
        await api.enter()
    fan = await new_fan(service.url)
    pushes = Pushes(fan, "/queue/ws", "/queue/status")
    await pushes.begin()
    await fan.page.clock.install()
    await fan.join()
    await pushes.opened(1)
    pushes.push(HELLO)
    return fan, pushes


async def test_pushed_places_are_shown_and_save_the_polls(
    start_service: StartService, new_fan: NewFan
) -> None:
    fan, pushes = await waiting_fan(start_service, new_fan)
    pushes.place(1, 42)
    await fan.is_waiting(42)
    await expect(fan.page.locator("#link")).to_have_text("Live")
    await expect(fan.page.locator("#eta")).to_have_text("About 2 minutes to go")
    polls = pushes.polls
    await fan.page.clock.fast_forward(FOREVER_MS)
    pushes.place(2, 41)
    await fan.is_waiting(41)
    await fan.page.clock.fast_forward(FOREVER_MS)
    pushes.place(4, 39)  # a slow reader skips
    await fan.is_waiting(39)
    assert pushes.polls == polls


async def test_a_silent_connection_is_asked_and_given_up_without_an_answer(
    start_service: StartService, new_fan: NewFan
) -> None:
    fan, pushes = await waiting_fan(start_service, new_fan)
    pushes.place(1, 42)
    await fan.is_waiting(42)
    polls = pushes.polls
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
    start_service: StartService, new_fan: NewFan, code: int
) -> None:
    fan, pushes = await waiting_fan(start_service, new_fan)
    pushes.place(1, 42)
    await fan.is_waiting(42)
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


async def test_after_a_final_close_only_polls_go_on(
    start_service: StartService, new_fan: NewFan
) -> None:
    fan, pushes = await waiting_fan(start_service, new_fan)
    pushes.place(1, 42)
    await fan.is_waiting(42)
    polls = pushes.polls
    await pushes.sockets[0].close(code=1008)
    await pushes.polled(more_than=polls)  # at once: is the token at its end?
    await fan.is_waiting(1)
    await fan.page.clock.run_for(120_000)
    await pushes.polled(more_than=polls + 2)
    assert len(pushes.sockets) == 1


async def test_a_frame_of_an_unknown_form_makes_the_page_ask(
    start_service: StartService, new_fan: NewFan
) -> None:
    fan, pushes = await waiting_fan(start_service, new_fan)
    pushes.place(1, 42)
    await fan.is_waiting(42)
    pushes.sockets[0].send("[]")
    await fan.is_waiting(1)


# -- seats -----------------------------------------------------------------------------------------


async def watching_fan(new_fan: NewFan, url: str, date_id: str) -> tuple[Fan, Pushes]:
    fan = await new_fan(url)
    pushes = Pushes(fan, "/concert/seats/ws", "/available-seats")
    await pushes.begin()
    await fan.page.clock.install()
    await fan.enter()
    await fan.open_date(date_id)
    await pushes.opened(1)
    pushes.push(HELLO)
    return fan, pushes


def seat(number: int, state: str) -> dict[str, Any]:
    return {"seatNumber": number, "state": state}


async def test_pushed_seats_are_shown_and_save_the_polls(
    new_fan: NewFan, url: str, date_id: str
) -> None:
    fan, pushes = await watching_fan(new_fan, url, date_id)
    every = [seat(number, "sold" if number == 5 else "available") for number in range(1, 51)]
    pushes.seats(7, every, snapshot=True)
    await fan.sees_seat(5, "sold")
    await expect(fan.page.locator("#seats-link")).to_have_text("Live")
    await expect(fan.page.locator("#free")).to_contain_text("49 of 50 seats are free")
    polls = pushes.polls
    pushes.seats(8, [seat(6, "held")])
    await fan.sees_seat(6, "held")
    await fan.page.clock.fast_forward(FOREVER_MS)
    pushes.seats(9, [seat(6, "available")])
    await fan.sees_seat(6, "available")
    assert pushes.polls == polls


DOUBTFUL = {
    "a gap": {"type": "seats", "seq": 12, "data": {"changed": [seat(6, "held")]}},
    "an unknown seat": {"type": "seats", "seq": 8, "data": {"changed": [seat(51, "held")]}},
    "an unknown form": {"type": "seats", "seq": 8, "data": {"moved": []}},
    "a short snapshot": {
        "type": "seats",
        "seq": 8,
        "data": {"snapshot": True, "changed": [seat(6, "held")]},
    },
    "no type": {},
}


async def test_in_doubt_the_page_fetches_the_seats(new_fan: NewFan, url: str, date_id: str) -> None:
    fan, pushes = await watching_fan(new_fan, url, date_id)
    every = [seat(number, "sold" if number == 5 else "available") for number in range(1, 51)]
    for frame in DOUBTFUL.values():
        pushes.push({"type": "news"})  # not known, not our business
        pushes.seats(7, every, snapshot=True)
        await fan.sees_seat(5, "sold")
        pushes.push(frame)
        await fan.page.clock.run_for(1_000)
        await fan.sees_seat(5, "available")  # what HTTP says
