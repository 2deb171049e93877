"""One call: sent, read, and sent again with the same key for as long as that makes sense."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

import aiohttp
import msgspec

from booking_client.answers import Problem
from booking_client.errors import Refused, Unreachable, refusal
from booking_client.retry import Retry, passes

T = TypeVar("T")
Method = Literal["GET", "POST", "DELETE"]

_ENCODE = msgspec.json.Encoder().encode
_LOST = (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, TimeoutError)
"""The answer did not come, whatever became of the request."""


class Transport:
    """The connections to one service."""

    def __init__(self, url: str, timeout_s: float, retry: Retry) -> None:
        self.url = url.rstrip("/")
        self._retry = retry
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._session: aiohttp.ClientSession | None = None

    @property
    def session(self) -> aiohttp.ClientSession:
        """Made at the first use, because it belongs to the event loop that runs then."""
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout)
        return self._session

    async def close(self) -> None:
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    async def call(
        self,
        kind: type[T],
        method: Method,
        path: str,
        *,
        token: str | None = None,
        body: Any = None,
        query: Mapping[str, str] | None = None,
        key: str | None = None,
    ) -> T:
        """The ``data`` of the answer. A POST gets a key of its own if the caller brings none, so
        that repeating it is safe. :class:`Refused`, :class:`Unreachable`."""
        headers = {} if token is None else {"queue-token": token}
        if method == "POST":
            headers["Idempotency-Key"] = key or str(uuid.uuid4())
            headers["Content-Type"] = "application/json"
        data = None if body is None else _ENCODE(body)
        started, failures = time.monotonic(), 0
        while True:
            error: Refused | Unreachable
            try:
                return await self._once(kind, method, path, query, headers, data)
            except _LOST as lost:
                error = Unreachable(f"{method} {path}: {lost or type(lost).__name__}")
                error.__cause__ = lost
                asked_s = None
            except Refused as refused:
                if not passes(refused):
                    raise
                error, asked_s = refused, refused.retry_after_s
            failures += 1
            spent_s = time.monotonic() - started
            wait_s = self._retry.wait_s(failures, asked_s, spent_s, random.random)
            if wait_s is None:
                raise error
            await asyncio.sleep(wait_s)

    async def _once(
        self,
        kind: type[T],
        method: Method,
        path: str,
        query: Mapping[str, str] | None,
        headers: Mapping[str, str],
        data: bytes | None,
    ) -> T:
        async with self.session.request(
            method,
            self.url + path,
            params=query,
            headers=headers,
            data=data,
            allow_redirects=False,
        ) as answer:
            return read(kind, answer.status, answer.headers, await answer.read())


class _Envelope(msgspec.Struct):
    data: msgspec.Raw


def read(kind: type[T], status: int, headers: Mapping[str, str], body: bytes) -> T:
    """The data of a good answer; raises what a bad one says."""
    if status == 204:
        return msgspec.convert(None, kind)
    if status < 300:
        try:
            return msgspec.json.decode(msgspec.json.decode(body, type=_Envelope).data, type=kind)
        except msgspec.DecodeError as error:
            raise Unreachable(f"an answer that is not the service's: {error}") from error
    raise refusal(_problem(status, body), retry_after_s(headers))


def _problem(status: int, body: bytes) -> Problem:
    try:
        return msgspec.json.decode(body, type=Problem)
    except msgspec.DecodeError:
        # Of something in between: a proxy without an instance behind it.
        return Problem("", status, body[:200].decode("utf-8", "replace"), "")


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Whole seconds; the date form is not in use here."""
    text = headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 6 else None
