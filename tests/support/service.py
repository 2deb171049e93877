"""Starts the whole service inside the test's event loop, on real servers."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Protocol

import msgspec

from booking.catalogue import document, store
from booking.server import Server
from booking.settings import Settings
from tests.support.api_client import Api

SECRET = "a-secret-for-tests-that-is-long-enough"


class Service:
    """A running instance and a client of it."""

    def __init__(self, app: Server) -> None:
        self.app = app
        self.url = f"http://127.0.0.1:{app.port}"
        self.api = Api(self.url)
        self._stopped = False

    async def stop(self) -> None:
        if not self._stopped:
            self._stopped = True
            await self.api.__aexit__(None, None, None)
            await self.app.stop(5.0)


class StartService(Protocol):
    """Starts a service with this catalogue; keyword arguments are settings by their names."""

    def __call__(self, catalogue: dict[str, Any], **settings: str) -> Awaitable[Service]: ...


async def start_service(
    database_url: str, redis_url: str, catalogue: dict[str, Any], settings: dict[str, str]
) -> Service:
    await store.save(database_url, document.parse(msgspec.json.encode(catalogue)))
    environment = {
        "BOOKING_DATABASE_URL": database_url,
        "BOOKING_REDIS_URL": redis_url,
        "BOOKING_TOKEN_SECRET": SECRET,
        "BOOKING_HOST": "127.0.0.1",
        "BOOKING_PORT": "0",
        "BOOKING_INSTANCE": "test",
    }
    return Service(await Server.start(Settings.from_env(environment | settings)))
