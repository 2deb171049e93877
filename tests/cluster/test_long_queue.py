"""kill -9 of the owner of a queue in which 100,000 wait: the next one reads it cold, in time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from actors.address import stable_hash
from booking.catalogue.domain import MAIN_QUEUE
from booking.entities import queue_address
from booking.queue.domain.events import Joined, Policy
from booking.queue.entity import QueueBehaviour
from tests.cluster.conftest import INSTANCES
from tests.support.api_client import Api, eventually, new_user
from tests.support.cluster import cluster
from tests.support.told import Tell

WAITING = 100_000
SERVED_AGAIN_MAX_S = 8.0
"""The promise for any instance that is killed; the aim is 3 s."""
COLUMNS = ("shard", "seq", "epoch", "entity", "at_ms", "version", "address", "type", "payload")
SETTINGS: dict[str, Any] = {
    "BOOKING_QUEUE_MAX_ACTIVE": "100",
    "BOOKING_QUEUE_IDLE_SECONDS": "3600",  # nobody polls
}


def joined(count: int) -> Iterator[tuple[object, ...]]:
    """So many who joined, as the journal has them: without any snapshot, which is the worst."""
    address, codec = queue_address(MAIN_QUEUE), QueueBehaviour(lambda: Policy(100, 0, 600_000))
    shard, entity, at_ms = address.slot, stable_hash(address.text), time.time_ns() // 1_000_000
    for number in range(1, count + 1):
        event = Joined(new_user(), number, at_ms, new_user())
        kind, version, payload = codec.encode_event(event)
        yield shard, number, 1, entity, at_ms, version, address.text, kind, payload.decode()


async def fill(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        await connection.copy_records_to_table("journal", records=joined(WAITING), columns=COLUMNS)
        await connection.execute(
            "UPDATE shards SET epoch = 1, owner = 'before', incarnation = 'before@1'"
            " WHERE shard = $1",
            queue_address(MAIN_QUEUE).slot,
        )
        await connection.execute("ANALYZE journal")
    finally:
        await connection.close()


@pytest.mark.slow
@pytest.mark.skipif(INSTANCES == 1, reason="there has to be a next one")
async def test_a_queue_of_100_000_survives_its_owner_soon(
    stocked_database_url: str, redis_url: str, tmp_path: Path, tell: Tell
) -> None:
    await fill(stocked_database_url)
    async with cluster(stocked_database_url, redis_url, tmp_path, INSTANCES, **SETTINGS) as running:
        owner, _ = (await running.owners())[queue_address(MAIN_QUEUE).slot]
        victim = running.by_name[owner]
        other = next(one for one in running.instances if one is not victim)
        async with Api(other.url, fresh=True) as api:
            before = await api.issue(new_user())
            assert before.status == 201
            assert before.data["number"] == WAITING + 1
            victim.kill()
            began_s = time.monotonic()

            async def told() -> bool:
                return (await api.status(before.data["token"])).status == 200

            async def taken() -> bool:
                reply = await api.issue(new_user())
                return reply.status == 201 and bool(reply.data["number"] > WAITING + 1)

            await eventually(taken, within_s=SERVED_AGAIN_MAX_S)
            taken_s = time.monotonic() - began_s
            await eventually(told, within_s=SERVED_AGAIN_MAX_S)
        tell(f"killed with {WAITING:,} waiting: takes new ones after {taken_s:.2f} s")
