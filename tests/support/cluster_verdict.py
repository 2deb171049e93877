"""Whether everything that a load was told is true at every instance, and the journal is sound."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Sequence
from typing import Any

from tests.support.api_client import AnyApi, Api, Reply, eventually
from tests.support.cluster import Cluster
from tests.support.load import Load
from tests.support.processes import python
from tests.support.stock import DATES
from tests.support.storm import Storm
from tests.support.verdict import all_is_true, expected_seats, shown_seats

ANSWERED_MAX_S = 30.0
VIEWS_AGREE_MAX_S = 30.0
"""A copy of a view is at most 2 s old, or says so."""


class PatientApi(AnyApi):
    """Asks again what was refused for a moment: on a busy machine an instance stands still now and
    then, and says that what it knows is too old."""

    async def call(self, method: str, path: str, **more: Any) -> Reply:
        end_s = time.monotonic() + ANSWERED_MAX_S
        while True:
            reply = await super().call(method, path, **more)
            if reply.status != 503 or time.monotonic() > end_s:
                return reply
            await asyncio.sleep(float(reply.headers["Retry-After"]))


async def all_is_true_everywhere(
    load: Load, cluster: Cluster, database_url: str, dates: Collection[str] = DATES
) -> None:
    """To be called when the load has settled; looks at all instances that run."""
    urls = [instance.url for instance in cluster.instances if instance.running]
    for url in urls:
        await _agrees(url, load, dates)
    async with PatientApi(urls, seed=1) as api:
        await all_is_true(load, api, dates, database_url)
    await asyncio.to_thread(audit_is_clean, database_url)


async def _agrees(url: str, storm: Storm, dates: Collection[str]) -> None:
    """Wait until the instance shows the seats that clients were told of."""

    async def same() -> bool:
        _, token = await api.enter()
        shown = await shown_seats(api, token, dates)
        await api.leave(token)
        return shown == expected_seats(storm)

    async with Api(url) as api:
        await eventually(same, within_s=VIEWS_AGREE_MAX_S, every_s=0.2)


def audit_is_clean(database_url: str) -> None:
    """`booking audit`, as an operator runs it."""
    command: Sequence[str] = ("-P", "-m", "booking.cli.main", "audit")
    with python(*command, environ={"BOOKING_DATABASE_URL": database_url}) as process:
        said, _ = process.communicate(timeout=60)
        assert process.returncode == 0, said
