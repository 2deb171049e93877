"""kill -9 in the middle of a storm: whatever a client was told before is still true after."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest

from tests.support.api_client import Api, eventually
from tests.support.forms import slow
from tests.support.served import Served, served
from tests.support.storm import Storm
from tests.support.verdict import all_is_true

SEED = int(os.environ.get("BOOKING_TEST_SEED", "20240611"))
"""Says when the service is killed; the interleaving is the machine's."""
CLIENTS = 40


async def survive(
    instance: Served, database_url: str, dates: Sequence[str], seats: Sequence[str], rounds: int
) -> None:
    random = Random(SEED)
    await instance.start()
    async with Storm([instance.url], seats, clients=CLIENTS, seed=SEED) as storm:
        for _ in range(rounds):
            await storm.answers(random.randint(200, 600))
            instance.kill()
            await instance.start()
        await storm.answers(200)
        await storm.settle()
        assert any(one.status == 0 for one in storm.failures), "nobody noticed the crashes"
        async with Api(instance.url) as api:
            await all_is_true(storm, api, dates, database_url)


@pytest.mark.parametrize("rounds", [3, slow(10, limit_s=600)])
async def test_nothing_acknowledged_is_lost_when_the_service_is_killed(
    stocked_database_url: str,
    redis_url: str,
    tmp_path: Path,
    dates: list[str],
    seats: list[str],
    rounds: int,
) -> None:
    with served(stocked_database_url, redis_url, tmp_path) as instance:
        await survive(instance, stocked_database_url, dates, seats, rounds)


async def test_a_seat_rests_from_its_last_holder_over_a_crash(
    stocked_database_url: str, redis_url: str, tmp_path: Path, seats: list[str]
) -> None:
    rules = {"BOOKING_HOLD_SECONDS": "1", "BOOKING_REHOLD_SECONDS": "600"}
    with served(stocked_database_url, redis_url, tmp_path, **rules) as instance:
        await instance.start()
        async with Api(instance.url) as api:
            _, ann = await api.enter()
            assert (await api.reserve(ann, seats[0])).status == 201
            await eventually(lambda: _rests(api, ann, seats[0]))
            instance.kill()
            await instance.start()
        async with Api(instance.url) as api:
            assert await _rests(api, ann, seats[0])
            _, bob = await api.enter()
            assert (await api.reserve(bob, seats[0])).status == 201


async def _rests(api: Api, token: str, seat: str) -> bool:
    return (await api.reserve(token, seat)).code == "hold_cooling_down"
