"""Sends a crowd, tells how it goes, and calls it back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from random import Random

from actors.tasks import Tasks
from booking.crowd.calls import Calls
from booking.crowd.fan import Fan
from booking.crowd.tally import Tally
from booking.crowd.target import CrowdError

FANS_MAX = 5_000
"""One process imitates so many without being late itself; a queue of thousands is seen well."""
SECONDS_MAX = 3_600
TELL_EVERY_S = 1.0
GOODBYE_MAX_S = 15.0
"""For everybody to give up their place at the end."""
HINT_AFTER_S = 15.0
"""By then everybody has come: see AWAY_S."""

NO_QUEUE = (
    "nobody has to wait: the service lets in more at once than there are fans. Send more with "
    "--fans, or start the service with fewer places, as in BOOKING_QUEUE_MAX_ACTIVE=50 ./scripts/up"
)


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
    async with Calls(url, tally, draw) as calls:
        if not (await calls.call("GET", "/livez", tries=1)).ok:
            raise CrowdError(
                f"nothing answers at {url}: start the service first, with ./scripts/up"
            )
        tally.refused = 0
        crowd = [Fan(calls, tally, draw, pace) for _ in range(fans)]
        tasks = Tasks("crowd")
        for number, fan in enumerate(crowd):
            tasks.spawn(fan.live(), f"fan-{number}")
        try:
            await _watch(tasks, tally, seconds, tell, hint)
        finally:
            await tasks.close()
            await _send_home(crowd)
    return tally


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


async def _send_home(crowd: list[Fan]) -> None:
    """Everybody gives up their place, so that real fans behind them do not wait for nobody."""
    try:
        async with asyncio.timeout(GOODBYE_MAX_S):
            await asyncio.gather(*(fan.leave(tries=1) for fan in crowd))
    except TimeoutError:
        raise CrowdError(
            f"the service did not take everybody's goodbye within {GOODBYE_MAX_S:.0f} s; their "
            f"places end by themselves"
        ) from None
