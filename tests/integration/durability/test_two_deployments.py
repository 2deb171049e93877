"""Two deployments that share a Redis database, secrets and names of instances stay apart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from redis.asyncio import Redis

from booking.schema import parts
from tests.support.api_client import new_user
from tests.support.catalogues import catalogue, concert, date
from tests.support.journal_rows import until
from tests.support.service import Service, start_service

CATALOGUE = catalogue(concert("alpha", date("alpha-1")))
INSTANCES = ("web-1", "web-2")
CHARGES = 60


@asynccontextmanager
async def deployment(database_url: str, redis_url: str) -> AsyncIterator[list[Service]]:
    """Two instances, named as those of any other deployment, with the same secret."""
    async with AsyncExitStack() as stack:
        started = []
        for name in INSTANCES:
            service = await start_service(
                database_url, redis_url, CATALOGUE, {"BOOKING_INSTANCE": name}
            )
            stack.push_async_callback(service.stop)
            started.append(service)
        yield started


async def ready(service: Service) -> None:
    async def is_ready() -> bool:
        return (await service.api.call("GET", "/readyz")).status == 200

    await until(is_ready, limit_s=30)


@pytest.mark.timeout(120)
async def test_two_deployments_on_one_redis_stay_apart(
    database_url: str, empty_database_url: str, redis_url: str
) -> None:
    """As a staging that was given a copy of production's settings, but for the database."""
    await parts.prepare([empty_database_url])
    async with (
        deployment(database_url, redis_url) as production,
        deployment(empty_database_url, redis_url) as staging,
    ):
        for service in (*production, *staging):
            await ready(service)
            health = service.app.app.node
            assert len(health.members.others()) == 1, "the other one of its own"
        users = [new_user() for _ in range(CHARGES)]
        answers = await asyncio.gather(
            *(staging[n % 2].api.charge(user, 1_000) for n, user in enumerate(users))
        )
        assert {answer.status for answer in answers} == {200}
        assert [await staging[0].api.balance(user) for user in users] == [1_000] * CHARGES
        assert [await production[0].api.balance(user) for user in users] == [0] * CHARGES

        _, token = await staging[0].api.enter()
        assert (await production[0].api.dates(token)).code in ("token_invalid", "token_expired")

        for service in (production[0], staging[0]):
            told = bytes((await service.api.call("GET", "/metrics")).body).decode()
            assert "\nbooking_foreign_instances_total 2.0\n" in told
            assert "\nbooking_instances_alive 2.0\n" in told
        await each_has_its_own_leader(redis_url)


async def each_has_its_own_leader(redis_url: str) -> None:
    async with Redis.from_url(redis_url) as redis:
        keys = [key.decode() async for key in redis.scan_iter("*")]
    assert len([key for key in keys if key.endswith(":leader")]) == 2
    assert len([key for key in keys if ":member:" in key]) == 2 * len(INSTANCES)
    assert not {key for key in keys if key.count(":") < 2}, "every name is a cluster's"
    assert not [key for key in keys if key.startswith("booking:member:")]
