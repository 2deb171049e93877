"""The server's side of a websocket, played by a test."""

from __future__ import annotations

import json
import re
from typing import Any

from playwright.async_api import Request, Response, WebSocketRoute

from tests.browser.fan import Fan
from tests.support.api_client import eventually

HELLO = {"type": "hello", "heartbeatMs": 20_000, "reconnectJitterMs": 100}
FOREVER_MS = 25_000
"""Of the page's clock: many polls' worth, and less than the silence that makes it doubt."""


class Pushes:
    """The server's side of one websocket path, and a count of the polls it should save."""

    def __init__(self, fan: Fan, socket_path: str, poll_path: str) -> None:
        self._fan = fan
        self._socket_path = socket_path
        self._poll_path = poll_path
        self.sockets: list[WebSocketRoute] = []
        self.polls = 0
        self.answered = 0
        self.said: list[str] = []
        """By the page."""

    async def begin(self) -> None:
        self._fan.page.on("request", self._count)
        self._fan.page.on("response", self._count_answer)
        pattern = re.compile(re.escape(self._socket_path))
        await self._fan.page.route_web_socket(pattern, self._opened)

    def _opened(self, socket: WebSocketRoute) -> None:
        self.sockets.append(socket)
        socket.on_message(lambda message: self.said.append(str(message)))

    def _count(self, request: Request) -> None:
        self.polls += self._poll_path in request.url

    def _count_answer(self, answer: Response) -> None:
        self.answered += self._poll_path in answer.url

    async def polls_answered(self) -> int:
        """How many polls there were, when none of them is under way."""

        async def are_answered() -> bool:
            return self.polls == self.answered

        await eventually(are_answered)
        return self.polls

    async def opened(self, count: int) -> WebSocketRoute:
        async def are_there() -> bool:
            return len(self.sockets) >= count

        await eventually(are_there)
        return self.sockets[count - 1]

    async def polled(self, more_than: int) -> None:
        async def has_asked() -> bool:
            return self.polls > more_than

        await eventually(has_asked)

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
