"""kill -9 of the owner of shards that a consumer follows, during commits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import asyncpg

from tests.cluster.conftest import UnderLoad
from tests.support.api_client import eventually
from tests.support.house import ROOT

FOLLOWED = """
import asyncio
import random

from actors.consumers.contract import Consumer

TABLES = "CREATE TABLE IF NOT EXISTS followed (n bigserial, shard smallint, seq bigint)"
ADD = "INSERT INTO followed (shard, seq) SELECT * FROM unnest($1::smallint[], $2::bigint[])"


async def follow(events, connection):
    await connection.execute(ADD, [e.shard for e in events], [e.seq for e in events])


async def hostile(events, connection):
    chance = random.random()
    if chance < 0.3:
        raise random.choice([ConnectionError, ValueError])("at random")
    await asyncio.sleep(chance)


good = Consumer(name="good", handle=follow, tables=TABLES)
bad = Consumer(name="bad", handle=hostile, limit_s=0.9)
"""
DONE_MAX_S = 30.0


async def test_a_consumer_has_every_event_once_though_owners_are_killed(
    under_load: UnderLoad, stocked_database_url: str, tmp_path: Path
) -> None:
    """Given a consumer beside a hostile one on three instances that sell, when one of them is
    killed and started again, then every event of the journal was done once, in order for each
    shard, and what buyers were told is true."""
    (tmp_path / "followed.py").write_text(FOLLOWED)
    paths = f"{tmp_path}:{ROOT}:{ROOT / 'http'}"
    names = "followed:good followed:bad"
    async with under_load(BOOKING_CONSUMERS=names, PYTHONPATH=paths) as (cluster, load):
        leader = await cluster.leader()
        victim = next(each for each in cluster.instances if each is not leader)
        victim.kill()
        await load.answers(200)
        await victim.start()
        await cluster.balanced()
        await load.answers(100)
        await load.settle()
        connection = await asyncpg.connect(stocked_database_url)
        try:
            await eventually(lambda: _all_done(connection), within_s=DONE_MAX_S, every_s=0.2)
            found = await connection.fetch("SELECT shard, seq FROM followed ORDER BY shard, n")
            assert [tuple(row) for row in found] == await _journal(connection)
        finally:
            await connection.close()


async def _all_done(connection: Any) -> bool:
    text = "SELECT (SELECT count(*) FROM followed) >= (SELECT count(*) FROM journal)"
    return bool(await connection.fetchval(text))


async def _journal(connection: Any) -> list[tuple[int, int]]:
    found = await connection.fetch("SELECT shard, seq FROM journal ORDER BY shard, seq")
    return [tuple(row) for row in found]
