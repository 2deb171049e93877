"""The rate of a queue holds across its owner's death: from the journal, not from a view."""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import pairwise

import asyncpg
import msgspec

from booking.entities import queue_address
from booking.queue.audit_run import run_queue
from tests.cluster.conftest import INSTANCES, StartCluster
from tests.support.api_client import Api, eventually, new_user
from tests.support.cluster import ADMIN_TOKEN, Cluster
from tests.support.told import Tell

FANS = 5_000
"""A quarter of a minute at the rate below: five seconds before the kill and ten after it."""
JOINING_TOGETHER = 50
RATE, INTERVAL_S = 3_334, 10
"""20,000 a minute, with an interval short enough to slide over the test many times."""
SERVED_AGAIN_MAX_S = 24.0


async def change(api: Api, **rules: object) -> None:
    """As an operator, through any instance."""
    headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
    reply = await api.call("PATCH", "/admin/queues/main", body=rules, headers=headers)
    assert reply.status == 200, reply


async def line_up(urls: list[str]) -> None:
    """All fans, spread over the instances."""
    apis = [Api(url) for url in urls]
    left = iter(range(FANS))

    async def one_after_the_other() -> None:
        for number in left:
            reply = await apis[number % len(apis)].issue(new_user(), key=f"fan-{number}")
            assert reply.status == 201, reply

    try:
        await asyncio.gather(*(one_after_the_other() for _ in range(JOINING_TOGETHER)))
    finally:
        for api in apis:
            await api.__aexit__(None, None, None)


async def admissions(database_url: str) -> list[tuple[int, int]]:
    """When how many came in, as journalled."""
    conn = await asyncpg.connect(database_url)
    try:
        rows = await conn.fetch(
            "SELECT payload FROM journal WHERE type IN ('Admitted', 'Entered')"
            " AND address = 'queue/main' ORDER BY seq"
        )
    finally:
        await conn.close()
    events = [msgspec.json.decode(row["payload"]) for row in rows]
    return [(event["at_ms"], event.get("count", 1)) for event in events]


async def kill_the_owner(running: Cluster) -> None:
    owner, _ = (await running.owners())[queue_address("main").slot]
    running.by_name[owner].kill()


async def test_a_rate_holds_exactly_while_the_queues_owner_dies(
    start_cluster: StartCluster, stocked_database_url: str, tell: Tell
) -> None:
    """Admissions stay evenly spread too."""
    settings = {"BOOKING_QUEUE_IDLE_SECONDS": "3600"}  # these fans do not poll
    async with start_cluster(**settings) as running:
        urls = running.in_rotation()
        async with Api(urls[0]) as api:
            rules = {"maxActive": 0, "admitPerInterval": RATE, "intervalS": INTERVAL_S}
            await change(api, mode="paused", **rules)
            await line_up(urls)
            await change(api, mode="open")
        admitted = 0

        async def so_many(wanted: int) -> bool:
            nonlocal admitted
            admitted = sum(count for _, count in await admissions(stocked_database_url))
            return admitted >= wanted

        await eventually(lambda: so_many(FANS // 3), within_s=30.0, every_s=0.2)
        if INSTANCES > 1:
            await kill_the_owner(running)
        await eventually(lambda: so_many(FANS), within_s=60.0, every_s=0.2)
    check(await admissions(stocked_database_url), tell)
    verdict = await run_queue([stocked_database_url], "main")
    assert verdict.ok, verdict.aspects
    assert (verdict.numbers, verdict.admitted, verdict.waiting) == (FANS, FANS, 0)


def check(came: list[tuple[int, int]], tell: Tell) -> None:
    """Even seconds but for one gap, which is short, and after which nobody is made up for. Where
    this machine stood still for a moment, a second lacks what the next has more."""
    per_second = RATE / INTERVAL_S
    gaps = [after - before for (before, _), (after, _) in pairwise(came)]
    longest_ms = max(gaps)
    gone_at = gaps.index(longest_ms)
    parts = [came[: gone_at + 1], came[gone_at + 1 :]]
    off: list[float] = []
    for part in parts:
        begin_ms = last_ms = part[0][0]
        seconds, still_ms = Counter[int](), Counter[int]()
        for at_ms, count in part:
            second = (at_ms - begin_ms) // 1000
            seconds[second] += count
            for each in (second - 1, second):
                still_ms[each] = max(still_ms[each], at_ms - last_ms)
            last_ms = at_ms
        full = range(max(seconds))
        assert len(full) > 3
        off += [
            max(0.0, abs(seconds[each] - per_second) / per_second - still_ms[each] / 1000)
            for each in full
        ]
    tell(f"longest gap {longest_ms} ms; seconds off the rate by at most {max(off):.1%} more")
    assert longest_ms < SERVED_AGAIN_MAX_S * 1000
    assert sum(share <= 0.05 for share in off) >= 0.9 * len(off)
