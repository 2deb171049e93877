"""The few calls a fan makes, repeated as politely as the service asks for."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass
from random import Random
from typing import Any

import aiohttp
import msgspec

from booking.crowd.tally import Tally

CONNECTIONS_MAX = 64
"""Far below the service's own limit: the visitor has to get one too."""
TRIES_MAX = 8
RETRY_AFTER_DEFAULT_S = 1.0
RETRY_AFTER_MAX_S = 30.0
"""Whatever an answer says: a crowd is over in minutes."""
TIMEOUT_S = 20.0
_SAFE_TO_REPEAT = (429, 503)
_UNDER_WAY = "idempotency_key_in_flight"
"""The first request with this key: its outcome is told to whoever asks later."""


@dataclass(frozen=True, slots=True)
class Answer:
    """``data`` of a success, else ``code``; status 0 if there was no answer at all."""

    status: int
    data: Any = None
    code: str = ""

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300


class Calls:
    """One client for all fans of a crowd. To be used as a context manager."""

    def __init__(self, url: str, tally: Tally, draw: Random) -> None:
        self._url = url
        self._tally = tally
        self._draw = draw
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONNECTIONS_MAX),
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
        )

    async def __aenter__(self) -> Calls:
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self._session.close()

    async def call(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        body: dict[str, Any] | None = None,
        query: dict[str, str] | None = None,
        key: str | None = None,
        tries: int = TRIES_MAX,
    ) -> Answer:
        """One call, with one key for all its repeats: the given one, or a new one."""
        headers = {} if token is None else {"queue-token": token}
        if method == "POST":
            headers["Idempotency-Key"] = key or str(uuid.uuid4())
        for again in range(tries - 1, -1, -1):
            answer, wait_s = await self._once(method, path, headers, body, query)
            if answer.status not in (0, *_SAFE_TO_REPEAT) and answer.code != _UNDER_WAY:
                return answer
            self._tally.refused += 1
            if again:
                await asyncio.sleep(wait_s * self._draw.uniform(1.0, 1.5))
        return answer

    async def _once(
        self,
        method: str,
        path: str,
        headers: dict[str, str],
        body: dict[str, Any] | None,
        query: dict[str, str] | None,
    ) -> tuple[Answer, float]:
        """The answer, and how long to wait if it has to be asked for again."""
        try:
            async with self._session.request(
                method,
                self._url + path,
                headers=headers,
                json=body,
                params=query,
                allow_redirects=False,  # it would lead away from this machine
            ) as response:
                raw = await response.read()
                wait_s = _wait_s(response.headers.get("Retry-After", ""))
                return _answer(response.status, raw), wait_s
        except (aiohttp.ClientError, TimeoutError):
            return Answer(0, code="unreachable"), RETRY_AFTER_DEFAULT_S


def _answer(status: int, raw: bytes) -> Answer:
    if not raw:
        return Answer(status)
    try:
        decoded = msgspec.json.decode(raw)
    except msgspec.DecodeError:
        return Answer(status, code="not_json")
    if not isinstance(decoded, dict):
        return Answer(status, code="not_json")
    return Answer(status, decoded.get("data"), str(decoded.get("code", "")))


def _wait_s(retry_after: str) -> float:
    if not retry_after.isdigit():
        return RETRY_AFTER_DEFAULT_S
    return min(float(retry_after), RETRY_AFTER_MAX_S)
