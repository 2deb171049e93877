"""Segments of outcomes: emptied whole, turned by one instance, and read by the release before."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial

import asyncpg
import pytest

from actors.connections.postgres import statements
from actors.journal.contract import JournalError
from actors.journal.postgres import PostgresJournal
from tests.support.journal_rows import batch, outcome, until

DAY_MS = 24 * 3_600_000
LATE = 9**15
"""Milliseconds: later than now."""

PREVIOUS_WRITE = """
INSERT INTO outcomes (at_ms, shard, command, fingerprint, reply, epoch)
SELECT r.at_ms, r.shard, r.command, r.fingerprint, r.reply, 1
FROM unnest($1::bigint[], $2::smallint[], $3::bytea[], $4::bytea[], $5::bytea[])
     AS r (at_ms, shard, command, fingerprint, reply)
ON CONFLICT (shard, command) DO NOTHING
"""
PREVIOUS_READ = """
SELECT o.reply FROM unnest($1::smallint[], $2::bytea[]) AS k (shard, command)
JOIN outcomes AS o ON o.shard = k.shard AND o.command = k.command
"""
PREVIOUS_PURGE = """
WITH old AS (
    SELECT ctid FROM outcomes WHERE at_ms < $1 ORDER BY at_ms LIMIT 5000 FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM outcomes WHERE ctid = ANY(ARRAY(SELECT ctid FROM old)) RETURNING 1
)
SELECT count(*) FROM gone
"""
"""The statements of the release that knows of no segments."""


@pytest.fixture
async def owner(journal: PostgresJournal) -> PostgresJournal:
    """A journal of which shard 1 is claimed."""
    assert await journal.claim([(1, 0)], "one", "one-1")
    return journal


def command(number: int) -> bytes:
    return number.to_bytes(16, "big")


async def store(journal: PostgresJournal, *numbers: int) -> None:
    rows = [outcome(1, number) for number in numbers]
    assert not await journal.append(0, batch(outcomes=rows))


async def _reached(written: list[int], enough: int) -> bool:
    return len(written) >= enough


async def found(journal: PostgresJournal, numbers: range) -> set[int]:
    rows = await journal.outcomes([(1, command(number)) for number in numbers])
    return {int.from_bytes(key, "big") for key in rows}


async def test_a_segment_goes_whole_and_no_row_alone(
    owner: PostgresJournal, database: asyncpg.Connection
) -> None:
    """Deleting a row for each request would leave as many dead ones to vacuum."""
    await store(owner, 1)
    files = "SELECT array_agg(pg_relation_filenode(oid)) FROM pg_class WHERE relname = $1"
    before = await database.fetchval(files, "outcomes_0")

    assert await database.execute("DELETE FROM outcomes") == "DELETE 0"
    for _ in range(2):
        assert await owner.turn_outcomes(0)
        assert await found(owner, range(3)) == {1}
        assert await database.fetchval(files, "outcomes_0") == before
    assert await owner.turn_outcomes(0)

    assert await found(owner, range(3)) == set()
    assert await database.fetchval(files, "outcomes_0") != before, "emptied as a file"


async def test_of_many_who_turn_at_once_one_does(
    owner: PostgresJournal, database: asyncpg.Connection
) -> None:
    await database.execute("UPDATE outcome_turn SET turned_at = now() - interval '25 h'")

    turned = await asyncio.gather(*(owner.turn_outcomes(DAY_MS) for _ in range(6)))

    assert sorted(turned) == [False] * 5 + [True]
    assert await database.fetchval("SELECT segment FROM outcome_turn") == 1


async def test_a_clock_that_was_ahead_for_a_while_delays_no_turn(
    owner: PostgresJournal, database: asyncpg.Connection
) -> None:
    await database.execute("UPDATE outcome_turn SET turned_at = now() + interval '9 y'")

    assert not await owner.turn_outcomes(DAY_MS)

    assert await database.fetchval("SELECT turned_at <= clock_timestamp() FROM outcome_turn")


async def test_appends_and_turns_do_not_lose_each_others_work(owner: PostgresJournal) -> None:
    """Given an owner that appends without a pause, when segments turn under it, then every append
    succeeds, and every outcome written since the turn before the last is there."""
    written: list[int] = []
    turned_after: list[int] = []

    async def append() -> None:
        while len(turned_after) < 7:
            await store(owner, len(written))
            written.append(len(written))

    async def turn() -> None:
        while len(turned_after) < 7:
            enough = len(written) + 3
            await until(partial(_reached, written, enough))
            begun = len(written)
            with suppress(JournalError):  # For want of a lock: it gives up first.
                assert await owner.turn_outcomes(0)
                turned_after.append(begun)

    await asyncio.gather(append(), turn())

    left = await found(owner, range(len(written)))
    assert left >= set(written[turned_after[-2] :])
    assert 0 not in left


async def test_two_releases_know_each_others_outcomes(
    owner: PostgresJournal, database: asyncpg.Connection
) -> None:
    """Given a shard that moves between instances of two releases, each finds what the other one
    answered, and the older one's purge takes nothing, wherever a row lies."""
    write = await database.prepare(PREVIOUS_WRITE)
    await write.fetch([LATE, LATE], [1, 1], [command(1), command(2)], [b"f"] * 2, [b"before"] * 2)
    await store(owner, 3)
    await owner.turn_outcomes(0)
    await store(owner, 4)
    await write.fetch([LATE], [1], [command(5)], [b"f"], [b"before"])

    read = await database.fetch(PREVIOUS_READ, [1] * 6, [command(n) for n in range(6)])
    assert sorted(record[0] for record in read) == [b"before"] * 3 + [b"done"] * 2
    assert await found(owner, range(6)) == {1, 2, 3, 4, 5}
    assert await database.fetchval(PREVIOUS_PURGE, LATE + 1) == 0
    assert await found(owner, range(6)) == {1, 2, 3, 4, 5}


async def test_what_the_release_before_wrote_ends_with_its_segment(
    owner: PostgresJournal, database: asyncpg.Connection
) -> None:
    """Given rows of the release before, when the newest is older than two turns are apart, then
    the next turn forgets them."""
    now_ms = int(await owner.now_ms() or 0)
    turned_back = "UPDATE outcome_turn SET turned_at = now() - interval '25 h'"
    for age_days, left in [(1, {1, 2}), (3, set())]:
        ages_ms = [now_ms - 9 * DAY_MS, now_ms - age_days * DAY_MS]
        await database.execute("TRUNCATE ONLY outcomes")
        await database.execute(
            PREVIOUS_WRITE, ages_ms, [1, 1], [command(1), command(2)], [b"f"] * 2, [b"r"] * 2
        )
        await database.execute(turned_back)
        assert await owner.turn_outcomes(DAY_MS)
        assert await found(owner, range(3)) == left


async def test_a_plan_for_empty_segments_looks_keys_up(owner: PostgresJournal) -> None:
    """A plan is made once, while the segments are empty, and kept while they grow."""
    await owner.outcomes([(1, command(1))])
    connection = owner._pool._links[-1]._connection
    assert connection is not None
    query = statements("actors.journal", "journal.sql")["outcomes"].text
    await connection.execute(f"PREPARE planned (smallint[], bytea[]) AS {query}")
    plan = await connection.fetch("EXPLAIN EXECUTE planned ('{1}', '{x}')")

    text = "\n".join(line[0] for line in plan)
    assert all(f"outcomes_{segment}_pkey" in text for segment in range(3))
    assert "Seq Scan" not in text
