"""The operators' side on a real socket, in front of an instance on stores in memory
and a cluster made of dictionaries."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
from yarl import URL

from actors.consumers.contract import Consumer, Offsets
from booking.catalogue.domain import Schedule
from booking.webhooks.sending import Webhooks
from booking_http import AdminParts, EdgeMetrics, EdgeSettings, build_admin_server
from tests.support.edge import Answered
from tests.support.fake_audits import FakeAudits
from tests.support.fake_operations import FakeOperations
from tests.support.instance import Instance

TOKEN = "4f1d-the-operators-token-9b7c"


class AdminEdge:
    """The server, what is behind it, and a client that has the token."""

    def __init__(
        self,
        token: str = TOKEN,
        *,
        operations: FakeOperations | None = None,
        parts: AdminParts | None = None,
        serving: bool = True,
        consumers: Sequence[tuple[Consumer, Offsets]] = (),
        webhooks: Webhooks | None = None,
    ) -> None:
        self.webhooks = webhooks
        self.operations = operations or FakeOperations()
        self.instance = Instance(
            queue_max_active=1_000,
            queue_admit_per_minute=600,
            serving=serving,
            consumers=consumers,
        )
        self.audits = FakeAudits(self.operations.clock)
        self.metrics = EdgeMetrics()
        self.server = build_admin_server(
            self.instance.services,
            EdgeSettings(),
            self.metrics,
            parts or self._parts(token),
        )
        self._session: aiohttp.ClientSession | None = None

    def _parts(self, token: str) -> AdminParts:
        return AdminParts(
            token=token,
            operations=self.operations,
            queues=self.instance.services.queue,
            catalogue=self.instance.catalogue,
            audits=self.audits,
            consumers=self.instance.app.consumers,
            webhooks=self.webhooks,
        )

    @property
    def dates(self) -> dict[str, Schedule]:
        """All dates of the catalogue."""
        return self.instance.catalogue.current.schedules

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    async def start(self, port: int = 0) -> None:
        await self.instance.start()
        await self.server.start("127.0.0.1", port)
        self._session = aiohttp.ClientSession(skip_auto_headers=("Content-Type",))

    async def stop(self) -> None:
        if self._session is not None:
            await self._session.close()
        await self.server.stop(1.0)
        await self.instance.stop()

    async def __call__(
        self,
        method: str,
        target: str,
        json: Any = None,
        *,
        token: str | None = TOKEN,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answered:
        """Sends one request. ``target`` goes out as it is written."""
        assert self._session is not None
        sent = dict(headers or {})
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        if json is not None:
            body = msgspec.json.encode(json)
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
        url = URL(f"{self.url}{target}", encoded=True)
        data = None if body is None else io.BytesIO(body)  # as large bodies ought to be sent
        async with self._session.request(method, url, data=data, headers=sent) as answer:
            return Answered(answer.status, answer.headers, await answer.read())

    async def said(self) -> list[tuple[str, str, dict[str, Any]]]:
        """The audit trail, oldest first: who, what, detail."""
        lines = await self.operations.log(1_000, None)
        return [(line.who, line.what, line.detail) for line in reversed(lines)]


@asynccontextmanager
async def running_admin(
    token: str = TOKEN,
    *,
    operations: FakeOperations | None = None,
    parts: AdminParts | None = None,
    serving: bool = True,
) -> AsyncIterator[AdminEdge]:
    """With everything there is, unless ``parts`` are given."""
    edge = AdminEdge(token, operations=operations, parts=parts, serving=serving)
    await edge.start()
    try:
        yield edge
    finally:
        await asyncio.shield(edge.stop())
