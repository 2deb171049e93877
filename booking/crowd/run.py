"""Sends a crowd to a service on this machine, tells how it goes, and calls it back."""

import asyncio
import ipaddress
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from urllib.parse import urlsplit

from actors.tasks import Tasks
from booking.crowd.fan import Fan, Tally
from booking_client import AsyncBooking, Retry, Unreachable

FANS_MAX = 5_000
"""One process imitates so many without being late itself; a queue of thousands is seen well."""
SECONDS_MAX = 3_600
CONNECTIONS_MAX = 64
"""Far below the service's own limit: the visitor has to get one too."""
TIMEOUT_S = 20.0
TELL_EVERY_S = 1.0
GOODBYE_MAX_S = 15.0
"""For everybody to give up their place at the end."""
HINT_AFTER_S = 15.0
"""By then everybody has come: see AWAY_S."""

NO_QUEUE = (
    "nobody has to wait: the service lets in more at once than there are fans. Send more with "
    "--fans, or start the service with fewer places, as in BOOKING_QUEUE_MAX_ACTIVE=50 ./scripts/up"
)


class CrowdError(Exception):
    """A crowd cannot be sent there. ``str()`` is one line."""


def loopback_url(url: str) -> str:
    """The URL without a final slash; :class:`CrowdError` unless its host is this machine."""
    parts = urlsplit(url)
    try:
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise CrowdError(f"{url} is not a URL: {error}") from error
    if parts.scheme != "http" or not host or parts.username or parts.query or parts.fragment:
        raise CrowdError(f"{url} is not of the form http://127.0.0.1:8080")
    try:
        found = socket.getaddrinfo(host, port or 80, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise CrowdError(f"{host} has no address: {error}") from error
    addresses = {str(address[4][0]) for address in found}
    if not all(ipaddress.ip_address(one.partition("%")[0]).is_loopback for one in addresses):
        raise CrowdError(f"{host} is not this machine: a crowd is for trying a service of your own")
    return url.rstrip("/")


async def run(
    url: str,
    *,
    fans: int,
    seconds: float,
    tell: Callable[[str], None],
    hint: Callable[[str], None],
    pace: float = 1.0,
) -> Tally:
    """The whole visit. ``tell`` gets a line each second, ``hint`` at most one.
    :class:`CrowdError` if nothing answers there."""
    tally = Tally()
    draw = Random()  # noqa: S311 - nothing of it is secret
    async with _client(url, _Patience(tally=tally)) as booking:
        await _look(booking, url)
        crowd = [Fan(booking, tally, draw, pace) for _ in range(fans)]
        tasks = Tasks("crowd")
        for number, fan in enumerate(crowd):
            tasks.spawn(fan.live(), f"fan-{number}")
        try:
            await _watch(tasks, tally, seconds, tell, hint)
        finally:
            await tasks.close()
            async with _client(url, _GOODBYE) as goodbye:
                await _send_home(crowd, goodbye)
    return tally


def _client(url: str, retry: Retry) -> AsyncBooking:
    return AsyncBooking(url, timeout_s=TIMEOUT_S, retry=retry, connections_max=CONNECTIONS_MAX)


_GOODBYE = Retry(attempts_max=3, first_wait_s=1.0)
"""The first try of a request that was cut off may be under way; the second comes a second later."""


@dataclass(frozen=True)
class _Patience(Retry):
    """As much of it as somebody has who wants a seat, and a count of what it is needed for."""

    total_s: float = 120.0
    first_wait_s: float = 1.0
    tally: Tally = field(default_factory=Tally)

    def wait_s(
        self, failures: int, asked_s: float | None, spent_s: float, draw: Callable[[], float]
    ) -> float | None:
        self.tally.refused += 1
        return super().wait_s(failures, asked_s, spent_s, draw)


async def _look(booking: AsyncBooking, url: str) -> None:
    with suppress(Unreachable):
        if (await booking.request("GET", "/livez")).status == 200:
            return
    raise CrowdError(f"nothing answers at {url}: start the service first, with ./scripts/up")


async def _watch(
    tasks: Tasks,
    tally: Tally,
    seconds: float,
    tell: Callable[[str], None],
    hint: Callable[[str], None],
) -> None:
    began = time.monotonic()
    hinted = False
    while (left_s := began + seconds - time.monotonic()) > 0:
        tell(tally.line(left_s))
        if not hinted and time.monotonic() - began > HINT_AFTER_S:
            hinted = True
            if not tally.ever_waited:
                hint(NO_QUEUE)
        done, _ = await asyncio.wait({tasks.failed}, timeout=min(TELL_EVERY_S, left_s))
        if done:
            raise tasks.failed.result()


async def _send_home(crowd: list[Fan], booking: AsyncBooking) -> None:
    """Everybody gives up their place, so that real fans behind them do not wait for nobody."""
    try:
        async with asyncio.timeout(GOODBYE_MAX_S):
            await asyncio.gather(*(fan.leave(booking) for fan in crowd))
    except TimeoutError:
        raise CrowdError(
            f"the service did not take everybody's goodbye within {GOODBYE_MAX_S:.0f} s; their "
            f"places end by themselves"
        ) from None
