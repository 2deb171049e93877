"""Receivers of webhooks on real sockets, and events to tell them of."""

from __future__ import annotations

import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from aiohttp import web
from standardwebhooks.webhooks import Webhook

from actors.consumers.contract import Event
from booking.accounts.domain.account import Charged
from booking.entities import account_address
from tests.support.instance import START_MS
from tests.support.journals import user_id

Answer = Callable[[int], Awaitable[web.StreamResponse] | web.StreamResponse]
"""What is answered to the request of this number, from 1."""
FUTURE_MS = 4_000_000_000_000
"""After whenever an endpoint is made."""


def well(number: int) -> web.Response:
    return web.Response(status=204)


def answering(*statuses: int) -> Answer:
    """These, and the last one for ever."""
    return lambda number: web.Response(status=statuses[min(number, len(statuses)) - 1])


class Receiver:
    """Keeps what it was sent, in order: headers and body."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.requests: list[tuple[dict[str, str], str]] = []
        self.open = 0
        self.open_most = 0
        self.url = ""

    @property
    def seen(self) -> Counter[str]:
        """How often each id came."""
        return Counter(headers["webhook-id"] for headers, _ in self.requests)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.requests.append((headers, await request.text()))
        number = len(self.requests)
        self.open += 1
        self.open_most = max(self.open, self.open_most)
        try:
            answer = self.answer(number)
            return await answer if isinstance(answer, Awaitable) else answer
        finally:
            self.open -= 1

    def verify(self, secret: str) -> list[Any]:
        """The bodies, each signed with this secret."""
        return [Webhook(secret).verify(body, headers) for headers, body in self.requests]


@asynccontextmanager
async def receiving(
    answer: Answer = well, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Receiver]:
    receiver = Receiver(answer)
    runner = web.ServerRunner(web.Server(receiver.handle), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    where = "http://127.0.0.1" if tls is None else "https://localhost"
    receiver.url = f"{where}:{runner.addresses[0][1]}/in"
    try:
        yield receiver
    finally:
        await runner.cleanup()


def charged(seq: int, shard: int = 7, at_ms: int = FUTURE_MS) -> Event:
    """A public event of the id ``<shard>-<seq>``."""
    data = Charged(f"chg-{seq}", 1_000, seq * 1_000)
    return Event(shard, seq, account_address(user_id(seq)), at_ms, "Charged", data)


def long_ago(seq: int) -> Event:
    return charged(seq, at_ms=START_MS - 20 * 365 * 86_400_000)


async def tell(dsn: str, handle: Any, events: Sequence[Event]) -> None:
    """As a consumer's runner does, in a transaction."""
    connection = await asyncpg.connect(dsn)
    try:
        async with connection.transaction():
            await handle(events, connection)
    finally:
        await connection.close()
