"""Sends a call, reads its answer, and repeats it with the same key while that makes sense."""

import asyncio
import random
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import aiohttp
import msgspec

from booking_client.answers import Problem
from booking_client.errors import Refused, Unavailable, Unreachable, refusal

T = TypeVar("T")
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]

WORTH_REPEATING = frozenset((*Unavailable.codes, "rate_limited"))
"""Codes of moments that pass. ``queue_full`` is an outcome, stored under its key; whether to wait
out ``hold_cooling_down`` is for the caller to choose."""
_PASSING_STATUS = frozenset({429, 502, 503, 504})
"""From a proxy in between, whose answer is no problem document."""
_ENCODE = msgspec.json.Encoder().encode
_LOST = (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, TimeoutError)
"""The answer did not come, whatever became of the request."""


@dataclass(frozen=True, slots=True)
class Retry:
    """How patient a client is."""

    attempts_max: int = 8
    """About 15 s in all: longer than another instance takes to serve what a killed one did."""
    total_s: float = 30.0
    """For one call with all its attempts; a wait that would end later is not begun."""
    first_wait_s: float = 0.1
    """Doubled for each further attempt."""
    wait_max_s: float = 5.0
    """Of our own waits; what the service asks for is kept even if it is longer."""

    def wait_s(
        self, failures: int, asked_s: float | None, spent_s: float, draw: Callable[[], float]
    ) -> float | None:
        """Seconds to wait after so many failures; ``None``: give up. ``draw``: 0 to 1."""
        if failures >= self.attempts_max:
            return None
        own = min(self.wait_max_s, self.first_wait_s * 2 ** (failures - 1))
        wait = own * (0.5 + 0.5 * draw()) if asked_s is None else asked_s + own * draw()
        return wait if spent_s + wait <= self.total_s else None


def passes(error: Refused) -> bool:
    """Whether the same request may be answered differently in a moment."""
    if error.code:
        return error.code in WORTH_REPEATING
    return error.status in _PASSING_STATUS


class Answer(msgspec.Struct, frozen=True):
    """An answer as it came, good or bad."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Transport:
    """The connections to one service. ``headers`` go with every request. With ``keep_alive=False``
    each request opens its own connection, which no earlier restart can have closed."""

    def __init__(
        self,
        url: str,
        timeout_s: float,
        retry: Retry,
        *,
        headers: Mapping[str, str] | None = None,
        connections_max: int = 100,
        keep_alive: bool = True,
    ) -> None:
        self.url = url.rstrip("/")
        self._retry = retry
        self._timeout_s = timeout_s
        self._headers = headers
        self._connections_max = connections_max
        self._keep_alive = keep_alive
        self._session: aiohttp.ClientSession | None = None

    @property
    def session(self) -> aiohttp.ClientSession:
        """The session, made at the first use because it belongs to the loop that runs then."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                headers=self._headers,
                timeout=aiohttp.ClientTimeout(total=self._timeout_s),
                connector=aiohttp.TCPConnector(
                    limit=self._connections_max, force_close=not self._keep_alive
                ),
            )
        return self._session

    async def close(self) -> None:
        """End all connections."""
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
        """The ``data``. A POST gets a key. Raises :class:`Refused` and :class:`Unreachable`."""
        if method == "POST":
            key = key or str(uuid.uuid4())
        started, failures = time.monotonic(), 0
        while True:
            error: Refused | Unreachable
            try:
                answer = await self.request(
                    method, path, token=token, body=body, query=query, key=key
                )
            except Unreachable as lost:
                error, asked_s = lost, None
            else:
                if answer.status < 300:
                    return _data(kind, answer)
                error = refusal(_problem(answer), _retry_after_s(answer))
                if not passes(error):
                    raise error
                asked_s = error.retry_after_s
            failures += 1
            spent_s = time.monotonic() - started
            wait_s = self._retry.wait_s(failures, asked_s, spent_s, random.random)
            if wait_s is None:
                raise error
            await asyncio.sleep(wait_s)

    async def request(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        body: Any = None,
        query: Mapping[str, str] | None = None,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> Answer:
        """Send one request once; ``body`` goes as JSON, or unchanged if it is bytes. Raises
        :class:`Unreachable` if no answer comes, whatever became of the request."""
        sent = {} if headers is None else dict(headers)
        if token is not None:
            sent["queue-token"] = token
        if key is not None:
            sent["Idempotency-Key"] = key
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
        data = body if body is None or isinstance(body, bytes) else _ENCODE(body)
        total_s = self._timeout_s if timeout_s is None else timeout_s
        try:
            async with self.session.request(
                method,
                self.url + path,
                params=query,
                headers=sent,
                data=data,
                timeout=aiohttp.ClientTimeout(total=total_s),
                allow_redirects=False,
            ) as answer:
                return Answer(answer.status, answer.headers, await answer.read())
        except _LOST as lost:
            raise Unreachable(f"{method} {path}: {lost or type(lost).__name__}") from lost


class _Envelope(msgspec.Struct):
    data: msgspec.Raw


def _data(kind: type[T], answer: Answer) -> T:
    if answer.status == 204:
        return msgspec.convert(None, kind)
    try:
        data = msgspec.json.decode(answer.body, type=_Envelope).data
        return msgspec.json.decode(data, type=kind)
    except msgspec.DecodeError as error:
        raise Unreachable(f"an answer that is not the service's: {error}") from error


def _problem(answer: Answer) -> Problem:
    try:
        return msgspec.json.decode(answer.body, type=Problem)
    except msgspec.DecodeError:
        # Of something in between: a proxy without an instance behind it.
        return Problem("", answer.status, answer.body[:200].decode("utf-8", "replace"), "")


def _retry_after_s(answer: Answer) -> float | None:
    """Whole seconds; the date form is not in use here."""
    text = answer.headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 6 else None
