"""Posts one event to one endpoint, signed as Standard Webhooks has it; tells what came of it."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from standardwebhooks.webhooks import Webhook

from booking.events.contract import MEDIA_TYPE
from booking.webhooks.addresses import Network, permitted
from booking.webhooks.contract import ENDPOINTS_MAX, AttemptResult, Posting

TIMEOUT_S = 15.0
"""From the name to the end of the answer: what Standard Webhooks gives receivers at least."""
ANSWER_BYTES_MAX = 16 * 1024
"""Read of an answer, so that its connection can be used again; of more nobody learns."""


class RefusedAddressError(OSError):
    """An address that webhooks may not reach."""


class Poster:
    """Used by one loop. ``allowed`` are the private networks that it may reach, also without
    TLS."""

    def __init__(self, allowed: Sequence[Network] = (), timeout_s: float = TIMEOUT_S) -> None:
        self._allowed = allowed
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._sessions: dict[str, aiohttp.ClientSession] = {}

    def _session(self, scheme: str) -> aiohttp.ClientSession:
        """One for each scheme: their connections may go to different places."""
        if scheme not in self._sessions:
            self._sessions[scheme] = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=0,
                    resolver=_Names(),
                    socket_factory=partial(_socket, self._allowed, scheme == "https"),
                ),
                timeout=self._timeout,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                headers={"User-Agent": "booking-webhooks"},
            )
        return self._sessions[scheme]

    async def post(self, posting: Posting) -> AttemptResult:
        """Make one attempt. Raises nothing that a receiver could cause."""
        began_s = time.monotonic()
        body = posting.body.encode()
        try:
            session = self._session(posting.url.partition(":")[0])
            async with session.post(
                posting.url, data=body, headers=signed(posting), allow_redirects=False
            ) as answer:
                await answer.content.read(ANSWER_BYTES_MAX)
                status, after = answer.status, answer.headers.get("Retry-After", "")
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            return AttemptResult(0, _words(error), took_ms=_since_ms(began_s))
        trouble = "" if 200 <= status < 300 else f"answered {status}"
        after_s = float(after) if after.isascii() and after.isdigit() else 0.0
        return AttemptResult(status, trouble, after_s, _since_ms(began_s))

    async def close(self) -> None:
        """Close every connection."""
        for session in self._sessions.values():
            await session.close()


def signed(posting: Posting) -> dict[str, str]:
    """The headers of an attempt that is made now: while two secrets hold, both sign."""
    now = datetime.now(UTC)
    secrets = filter(None, (posting.secret, posting.old_secret))
    signatures = (Webhook(each).sign(posting.event, now, posting.body) for each in secrets)
    return {
        "Content-Type": MEDIA_TYPE,
        "webhook-id": posting.event,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


def _socket(allowed: Sequence[Network], public: bool, info: Any) -> socket.socket:
    """For a connection that is about to be made to exactly this address."""
    family, kind, protocol, _, address = info
    if not permitted(address[0], allowed, public=public):
        raise RefusedAddressError(f"webhooks may not reach {address[0]}")
    return socket.socket(family, kind, protocol)


class _Names(AbstractResolver):
    """Looks names up in threads of its own: one whose name servers are silent for half a minute
    holds up neither other endpoints nor a connection to a database."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(ENDPOINTS_MAX, "webhook-name")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        look = partial(socket.getaddrinfo, host, port, family, socket.SOCK_STREAM)
        found = await asyncio.get_running_loop().run_in_executor(self._threads, look)
        flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=port,
                family=kind,
                proto=protocol,
                flags=flags,
            )
            for kind, _, protocol, _, address in found
        ]

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def _since_ms(began_s: float) -> int:
    return round((time.monotonic() - began_s) * 1000)


def _words(error: BaseException) -> str:
    """For operators."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, RefusedAddressError):
        cause = cause.__cause__
    if cause is not None:
        return str(cause)
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        reason = getattr(error.certificate_error, "verify_message", "")
        return f"no answer: its certificate is refused: {reason}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return f"no answer: {type(error).__name__}"
