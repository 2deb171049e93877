"""An instance stands still for ten seconds and goes on: it writes nothing and says nothing of what
was its own before.

The others take its shards over meanwhile. The moment that matters is the first after the resume:
requests that were sent while it stood still lie in its sockets and are read before anything else.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from random import Random

import pytest

from booking_client import Unreachable
from tests.cluster.conftest import INSTANCES, UnderLoad
from tests.support.api_client import AnyApi, Api, eventually
from tests.support.cluster import Cluster
from tests.support.forms import slow
from tests.support.load import Load
from tests.support.served import Served
from tests.support.told import Tell

FROZEN_S = 10.0
LEAVERS = 20
VIEW_AGE_MAX_S = 2.0
"""What changed longer ago than this has to show in every copy of a view."""
WATCHED_S = 3.0
"""After the resume: long enough for its own clocks and heartbeats to notice."""
SEND_S = 0.3
"""For requests to reach the sockets of the process that stands still."""

VIEWER = "5f0c1c7e-3d3b-4c59-9a53-0a1f3c1f7f12"

pytestmark = pytest.mark.skipif(INSTANCES == 1, reason="somebody else has to take over")


class Leavers:
    """Users whose places the instance knows before it stands still, and who leave meanwhile."""

    def __init__(self, tokens: Sequence[str]) -> None:
        self.tokens = tokens

    @classmethod
    async def known_to(cls, victim: Served) -> Leavers:
        async with Api(victim.url) as api:
            entered = await asyncio.gather(*(api.enter() for _ in range(LEAVERS)))
        return cls([token for _, token in entered])

    async def leave(self, urls: Sequence[str]) -> None:
        async with AnyApi(urls, seed=5) as api:

            async def gone() -> bool:
                replies = await asyncio.gather(*(api.leave(token) for token in self.tokens))
                return all(reply.status in (204, 401) for reply in replies)

            await eventually(gone)

    async def stale_at(self, victim: Served) -> int:
        """How many of them it still takes for people in the queue."""
        async with Api(victim.url, fresh=True) as api:
            replies = await asyncio.gather(
                *(api.status(token) for token in self.tokens), return_exceptions=True
            )
        for reply in replies:
            if isinstance(reply, BaseException):
                assert isinstance(reply, Unreachable), reply
        return sum(1 for reply in replies if getattr(reply, "status", 0) == 200)


async def frozen_once(cluster: Cluster, load: Load, victim: Served, tell: Tell) -> None:
    others = [each for each in cluster.instances if each is not victim]
    leavers = await Leavers.known_to(victim)
    at_s = time.monotonic()
    victim.freeze()
    away_s = await cluster.served_again_s(through=others)
    await leavers.leave([each.url for each in others])
    sold: set[str] = set()
    while time.monotonic() - at_s < FROZEN_S:
        if time.monotonic() - at_s < FROZEN_S - VIEW_AGE_MAX_S - SEND_S:
            sold = {seat for one in load.accounts.values() for seat, _ in one.paid.values()}
        await load.answers(10)
    early = [
        asyncio.create_task(load.read_meter(victim.url, user)) for user in load.meters for _ in "ab"
    ]
    early_leavers = asyncio.create_task(leavers.stale_at(victim))
    await asyncio.sleep(SEND_S)
    victim.thaw()
    answered = sum(await asyncio.gather(*early))
    assert await early_leavers == 0, "told of a place that had been given up"
    answered += await watched(cluster, load, victim, leavers, sold)
    await cluster.balanced()
    tell(
        f"frozen {victim.name}: every shard answers again after "
        f"{away_s:.2f} s; {answered} reads of it afterwards, none stale"
    )
    tell(f"  {load.felt(at_s)}")


async def watched(
    cluster: Cluster, load: Load, victim: Served, leavers: Leavers, sold: set[str]
) -> int:
    """Read from the resumed instance for some time; how often it answered."""
    answered = 0
    began_s = time.monotonic()
    async with Api(victim.url, fresh=True) as api:
        while time.monotonic() - began_s < WATCHED_S:
            reads = (load.read_meter(victim.url, user) for user in load.meters)
            answered += sum(await asyncio.gather(*reads))
            assert await leavers.stale_at(victim) == 0
            await no_sold_seat_is_offered(api, sold)
    return answered


async def no_sold_seat_is_offered(api: Api, sold: set[str]) -> None:
    entered = await api.call("POST", "/queue/issue", body={"userId": VIEWER})
    if entered.status != 201:
        assert entered.status == 503 or entered.code == "already_queued", entered
        return
    token = entered.data["token"]
    counted = await api.dates(token)
    assert counted.status in (200, 503), counted
    if counted.status == 200:
        reserved = sum(each["reservedSeats"] for each in counted.data)
        assert reserved >= len(sold), "the dates count fewer seats than were sold long ago"
    for date in ("rare", "big"):
        listed = await api.seats(token, date)
        assert listed.status in (200, 503), listed
        if listed.status == 200:
            assert sold.isdisjoint(each["id"] for each in listed.data), "a sold seat is offered"
    left = await api.leave(token)
    assert left.status in (204, 503), left


@pytest.mark.timeout(240)
@pytest.mark.parametrize("times", [1, slow(20, limit_s=1_200)])
async def test_an_instance_that_stood_still_says_nothing_from_its_past(
    under_load: UnderLoad, random: Random, tell: Tell, times: int
) -> None:
    """The leader first, which has more to forget; then whoever it may be."""
    async with under_load() as (cluster, load):
        await frozen_once(cluster, load, await cluster.leader(), tell)
        for _ in range(times - 1):
            await frozen_once(cluster, load, random.choice(cluster.instances), tell)
