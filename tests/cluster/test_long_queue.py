"""kill -9 of the owner of a long queue: the next one reads it cold, in time."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from bench.waiting import user_of, write_queue
from booking.catalogue.domain import MAIN_QUEUE
from booking.entities import queue_address
from tests.cluster.conftest import INSTANCES
from tests.support.api_client import Api, eventually, new_user
from tests.support.cluster import cluster
from tests.support.forms import slow
from tests.support.told import Tell

SERVED_AGAIN_MAX_S = 24.0
"""Three times the promise for any instance that is killed: the machine may stand still."""
MOVED_MAX_S = 60.0
"""The next owner reads all of it ahead, while the first one serves."""
SHARD = queue_address(MAIN_QUEUE).slot
TAIL = 2_000
"""Of them come behind the snapshot."""
SETTINGS: dict[str, Any] = {
    "BOOKING_QUEUE_IDLE_SECONDS": "3600",  # nobody polls
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("waiting", [50_000, slow(1_000_000, limit_s=600)])
@pytest.mark.skipif(INSTANCES < 3, reason="there have to be two to go on")
async def test_a_long_queue_survives_its_owner_soon_and_whole(
    stocked_database_url: str, redis_url: str, tmp_path: Path, tell: Tell, waiting: int
) -> None:
    """Given a queue of very many and its owner killed, when the next one has taken it over, then
    new ones get the next numbers, whoever was there keeps the place, nobody is missing, and it was
    taken over once. And when it is moved, the same is true."""
    await write_queue(stocked_database_url, waiting, TAIL)
    async with cluster(stocked_database_url, redis_url, tmp_path, INSTANCES, **SETTINGS) as running:
        owner, epoch = (await running.owners())[SHARD]
        victim = running.by_name[owner]
        other = next(one for one in running.instances if one is not victim)
        async with Api(other.url, fresh=True) as api:
            before = [await api.issue(new_user()) for _ in range(3)]
            assert [reply.status for reply in before] == [201] * 3
            assert [one.data["number"] for one in before] == [waiting + n for n in (1, 2, 3)]
            ahead = [one.data["ahead"] for one in before]
            assert ahead == sorted(ahead)
            victim.kill()
            began_s = time.monotonic()

            async def taken() -> bool:
                return (await api.issue(new_user())).status == 201

            await eventually(taken, within_s=SERVED_AGAIN_MAX_S)
            taken_s = time.monotonic() - began_s

            async def told() -> bool:
                now = [await api.status(one.data["token"]) for one in before]
                return [one.data.get("ahead") for one in now] == ahead

            await eventually(told, within_s=SERVED_AGAIN_MAX_S)
            for number in (2, waiting // 2, waiting - TAIL, waiting):
                again = await api.issue(user_of(number))
                assert (again.status, again.code) == (409, "already_queued"), number
            now = (await running.owners())[SHARD]
            assert now[0] != owner
            assert now[1] == epoch + 1, "taken over once"
            to = min({one.name for one in running.instances} - {owner, now[0]})
            assert (await running.operate(f"/shards/{SHARD}/move", {"to": to})).data

            async def moved() -> bool:
                return (await running.owners())[SHARD] == (to, now[1] + 1)

            await eventually(moved, within_s=MOVED_MAX_S)
            await eventually(taken, within_s=SERVED_AGAIN_MAX_S)
            await eventually(told, within_s=SERVED_AGAIN_MAX_S)
        await running.note_pauses()
        pause_ms = max(ms for (shard, _), ms in running.pauses_ms.items() if shard == SHARD)
        tell(
            f"killed with {waiting:,} waiting: takes new ones after {taken_s:.2f} s; "
            f"pause of a move {pause_ms:.0f} ms"
        )
