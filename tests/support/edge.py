"""An edge on a real socket, in front of an application on stores in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Protocol, Self, cast

import aiohttp
import msgspec
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from booking_http import EdgeMetrics, EdgeServer, EdgeSettings, build_server
from tests.support.instance import Instance

ALICE = "aaaaaaaa-0000-4000-8000-000000000001"
BOB = "bbbbbbbb-0000-4000-8000-000000000002"


class Answered(msgspec.Struct):
    """An answer, read to its end."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def data(self) -> Any:
        document = self.json
        assert document["success"] is True, document
        return document["data"]

    @property
    def code(self) -> str:
        return str(self.json["code"])


class Edge:
    """The server, the application behind it, and a client."""

    def __init__(self, instance: Instance, settings: EdgeSettings) -> None:
        self.instance = instance
        self.metrics = EdgeMetrics(lambda: {"queue_waiting": 3.0, "commits_total": 7.0})
        self._raw: list[RawClient] = []
        self.server: EdgeServer = build_server(instance.services, settings, self.metrics)

    async def __aenter__(self) -> Self:
        await self.instance.start()
        await self.server.start("127.0.0.1", 0)
        self._session = aiohttp.ClientSession(skip_auto_headers=("Content-Type",))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._session.close()
        for client in self._raw:
            client.close()
        await self.server.stop(1.0)
        await self.instance.stop()

    async def __call__(
        self,
        method: str,
        target: str,
        json: Any = None,
        *,
        token: str | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answered:
        """Sends one request. ``target`` goes out as it is written."""
        sent = CIMultiDict(headers or {})
        if token is not None:
            sent["queue-token"] = token
        if json is not None:
            body = msgspec.json.encode(json)
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
        url = URL(f"http://127.0.0.1:{self.server.port}{target}", encoded=True)
        async with self._session.request(method, url, data=body, headers=sent) as answer:
            return Answered(answer.status, answer.headers, await answer.read())

    async def connect(self) -> RawClient:
        """A bare connection, closed with the edge at the latest."""
        client = await RawClient.to(self.server.port)
        self._raw.append(client)
        return client

    def adopt(self, client: RawClient) -> None:
        """Have it closed with the edge."""
        self._raw.append(client)

    async def enter(self, user: str) -> str:
        """Lines the user up; the token, which is inside unless the queue is full."""
        answer = await self("POST", "/queue/issue", {"userId": user})
        assert answer.status == 201, answer.body
        return str(answer.data["token"])

    async def hold(self, token: str, seat: str) -> str:
        answer = await self("POST", "/reservation", {"seatId": seat}, token=token)
        assert answer.status == 201, answer.body
        return str(answer.data["id"])


@asynccontextmanager
async def running(
    instance: Instance | None = None, settings: EdgeSettings | None = None
) -> AsyncIterator[Edge]:
    """An edge with one date of 50 seats, ``d1``, unless told otherwise."""
    async with Edge(instance or Instance(), settings or EdgeSettings()) as edge:
        yield edge


class RawClient:
    """A TCP connection that sends exactly what it is told."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def to(cls, port: int) -> Self:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    @property
    def transport(self) -> asyncio.Transport:
        """It can be told not to read."""
        return cast(asyncio.Transport, self.writer.transport)  # uvloop's are no subclass

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers by lower-case name, and body of the next answer."""
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 30)
        status_line, *lines = head.decode().rstrip().split("\r\n")
        pairs = (line.split(": ", 1) for line in lines)
        headers = {name.lower(): value for name, value in pairs}
        body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        return int(status_line.split()[1]), headers, body

    async def closed(self, within_s: float = 30.0) -> bytes:
        """Waits for the server to close; what it sent until then."""
        try:
            return await asyncio.wait_for(self.reader.read(), within_s)
        except ConnectionResetError:
            return b""

    def close(self) -> None:
        self.writer.close()


class Condition(Protocol):
    def __call__(self) -> bool: ...


async def eventually(
    condition: Condition,
    within_s: float = 30.0,
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Waits for the condition, with a limit."""
    loop = asyncio.get_running_loop()
    end = loop.time() + within_s
    while not condition():
        assert loop.time() < end, "it did not come true"
        await pause(0.005)
