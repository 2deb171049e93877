"""A plain client of the HTTP API for tests: the calls by name, answers as they are."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import Any, Self

import msgspec

from booking_client import AsyncBooking
from booking_client.transport import Answer


class Reply:
    """Status, headers and decoded body of one answer."""

    def __init__(self, answer: Answer) -> None:
        self.status = answer.status
        self.headers = answer.headers
        is_json = answer.body and "json" in answer.headers.get("Content-Type", "")
        self.body: Any = msgspec.json.decode(answer.body) if is_json else answer.body

    @property
    def data(self) -> Any:
        assert isinstance(self.body, dict), self
        assert self.body.get("success") is True, self
        return self.body["data"]

    @property
    def code(self) -> str:
        assert isinstance(self.body, dict), self
        return str(self.body["code"])

    def __repr__(self) -> str:
        return f"<{self.status} {self.body}>"


class Api:
    """Speaks to one base URL. Every call returns a :class:`Reply`, whatever its status."""

    def __init__(self, url: str, connections: int = 600, *, fresh: bool = False) -> None:
        """``fresh``: a new connection for each call, as a server may close an idle one at the very
        moment when something is sent over it."""
        self.url = url
        self._booking = AsyncBooking(
            url, timeout_s=20, connections_max=connections, keep_alive=not fresh
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self._booking.close()

    async def call(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        token: str | None = None,
        key: str | None = None,
        headers: dict[str, str] | None = None,
        **query: str,
    ) -> Reply:
        answer = await self._booking.request(
            method, path, token=token, body=body, query=query, key=key, headers=headers
        )
        return Reply(answer)

    # -- the calls --------------------------------------------------------------------------------

    async def issue(self, user: str, key: str | None = None, queue: str | None = None) -> Reply:
        body = {"userId": user} if queue is None else {"userId": user, "queue": queue}
        return await self.call("POST", "/queue/issue", body=body, key=key)

    async def status(self, token: str) -> Reply:
        return await self.call("GET", "/queue/status", token=token)

    async def leave(self, token: str) -> Reply:
        return await self.call("DELETE", "/queue", token=token)

    async def dates(self, token: str) -> Reply:
        return await self.call("GET", "/concert/available-dates", token=token)

    async def seats(self, token: str, date: str, **query: Any) -> Reply:
        return await self.call(
            "GET", "/concert/available-seats", token=token, concertScheduleId=date, **query
        )

    async def reserve(self, token: str, seat: str, key: str | None = None) -> Reply:
        return await self.call("POST", "/reservation", body={"seatId": seat}, token=token, key=key)

    async def release(self, token: str, reservation: str) -> Reply:
        return await self.call("DELETE", f"/reservation/{reservation}", token=token)

    async def charge(self, user: str, amount: int, key: str | None = None) -> Reply:
        return await self.call(
            "POST", "/user/charge", body={"userId": user, "amount": amount}, key=key
        )

    async def balance(self, user: str) -> int:
        reply = await self.call("GET", "/user/check", userId=user)
        return int(reply.data["balance"])

    async def history(self, user: str, **query: Any) -> Reply:
        return await self.call("GET", "/user/history", userId=user, **query)

    async def pay(self, token: str, seat: str, key: str | None = None) -> Reply:
        return await self.call("POST", "/payment", body={"seatId": seat}, token=token, key=key)

    # -- shorthands -------------------------------------------------------------------------------

    async def enter(self, user: str | None = None) -> tuple[str, str]:
        """A user (a fresh one unless given) who has been let in, and the token."""
        user = user or new_user()
        reply = await self.issue(user)
        assert reply.status == 201, reply
        return user, reply.data["token"]


def new_user() -> str:
    return str(uuid.uuid4())


async def eventually(
    look: Callable[[], Awaitable[bool]], *, within_s: float = 30.0, every_s: float = 0.02
) -> None:
    """Wait for a condition, with a limit."""
    end = time.monotonic() + within_s
    while not await look():
        assert time.monotonic() < end, f"not so within {within_s} s"
        await asyncio.sleep(every_s)


class AnyApi(Api):
    """Speaks to a different one of several instances at each call."""

    def __init__(self, urls: Sequence[str], seed: int) -> None:
        super().__init__(urls[0])
        self._apis = [Api(url) for url in urls]
        self._random = Random(seed)

    async def __aexit__(self, *raised: object) -> None:
        await asyncio.gather(*(api.__aexit__(*raised) for api in self._apis))

    async def call(self, method: str, path: str, **more: Any) -> Reply:
        return await self._random.choice(self._apis).call(method, path, **more)
