"""Whatever breaks in an instance ends it: a part that has ended by itself would be missed by nobody
but its callers."""

from __future__ import annotations

import asyncio
import gc

from actors.tasks import Tasks
from tests.support.catalogues import catalogue, concert, date
from tests.support.served import free_port
from tests.support.service import StartService

SHOWS = catalogue(concert("alpha", date("alpha-1")))


async def test_no_group_of_tasks_fails_unnoticed(start_service: StartService) -> None:
    service = await start_service(
        SHOWS,
        BOOKING_ADMIN_TOKEN="7c0e-of-the-operators-51fb",
        BOOKING_ADMIN_PORT=str(free_port()),
    )
    loop = asyncio.get_running_loop()
    gc.collect()
    groups = [each for each in gc.get_objects() if isinstance(each, Tasks)]
    ours = [group for group in groups if group.failed.get_loop() is loop]
    assert len(ours) >= 6, "app, audits, both edges, cluster, links, runtime"
    watched = service.app.failures
    assert [group for group in ours if group.failed not in watched] == []


async def test_a_part_that_breaks_is_told_as_what_ended_the_instance(
    start_service: StartService,
) -> None:
    service = await start_service(SHOWS)
    ended = asyncio.ensure_future(service.app.failed())
    broken = AssertionError("a broken invariant")
    service.app.failures[-1].set_result(broken)
    async with asyncio.timeout(30):
        assert await ended is broken
