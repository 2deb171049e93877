"""The journal's segments: begun while it is written to, without a row twice or left out."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial

import asyncpg
import pytest

from actors.connections.postgres import statements
from actors.journal.contract import ArchivedError, JournalCorruptedError, JournalError
from actors.journal.postgres import PostgresJournal, located
from tests.support.journal_rows import address_in, batch, event, snapshot, until

MONTH_MS = 30 * 24 * 3_600_000


@pytest.fixture
async def owner(journal: PostgresJournal) -> PostgresJournal:
    """A journal of which shard 1 is claimed."""
    assert await journal.claim([(1, 0)], "one", "one-1")
    return journal


async def write(journal: PostgresJournal, *seqs: int) -> None:
    assert not await journal.append(0, batch(rows=[event(address_in(1), seq) for seq in seqs]))


async def segments(database: asyncpg.Connection) -> dict[int, int]:
    found = await database.fetch("SELECT seq, segment FROM journal ORDER BY seq")
    return {row["seq"]: row["segment"] for row in found}


async def test_a_turned_journal_goes_on_gapless_in_another_table(
    owner: PostgresJournal, database: asyncpg.Connection
) -> None:
    """Given rows in a segment, when the journal is turned, then later ones are in the next and all
    are read as before."""
    await write(owner, 1, 2)
    assert await owner.turn_journal(0)
    await write(owner, 3)
    await write(owner, 4, 5)

    assert await segments(database) == {1: 1, 2: 1, 3: 2, 4: 2, 5: 2}
    assert [row.seq for row in await owner.read({1: 1}, 10)] == [2, 3, 4, 5]
    assert await owner.ends([1]) == {1: 5}
    assert (await owner.shards({1: 2}))[1].past.seq == 2
    assert (await owner.shards({1: 4}))[1].past.seq == 4
    [lease] = await owner.claim([(1, 1)], "two", "two-1")
    assert lease.last_seq == 5


async def test_a_segment_without_rows_or_of_today_is_not_closed(owner: PostgresJournal) -> None:
    assert not await owner.turn_journal(0), "it is empty"
    await write(owner, 1)
    assert not await owner.turn_journal(MONTH_MS), "it has just begun"
    assert await owner.turn_journal(0)


async def test_one_of_many_turns_it(owner: PostgresJournal, database: asyncpg.Connection) -> None:
    await write(owner, 1)
    turned = await asyncio.gather(
        *(owner.turn_journal(0) for _ in range(6)), return_exceptions=True
    )
    assert turned.count(True) == 1
    assert await database.fetchval("SELECT count(*) FROM journal_segments") == 2


async def test_no_seq_is_in_two_segments(
    owner: PostgresJournal, database: asyncpg.Connection
) -> None:
    """Given rows 1 and 2 in a closed segment, when 2 is written once more under a live lease, then
    that is the broken invariant that it is within one segment; and nothing is written behind a
    gap."""
    await write(owner, 1, 2)
    assert await owner.turn_journal(0)

    with pytest.raises(JournalCorruptedError):
        await write(owner, 2)
    with pytest.raises(JournalCorruptedError):
        await write(owner, 1)
    assert await owner.append(0, batch(rows=[event(address_in(1), 4)])) == {1}
    await write(owner, 3)
    with pytest.raises(JournalCorruptedError):
        await write(owner, 3)
    assert await segments(database) == {1: 1, 2: 1, 3: 2}


async def test_an_owner_turns_the_journal_while_it_writes(
    owner: PostgresJournal, database: asyncpg.Connection
) -> None:
    """Given appends one after the other, when the journal is turned five times meanwhile, then
    there is no gap, none is refused, and no segment begins before the one ahead has ended."""
    written: list[int] = []

    async def writing() -> None:
        for seq in range(1, 100_000):
            await write(owner, seq)
            written.append(seq)

    async def reached(enough: int) -> bool:
        return len(written) >= enough

    task = asyncio.create_task(writing())
    for _ in range(5):
        await until(partial(reached, len(written) + 20))
        turned = False
        while not turned:
            with suppress(JournalError):
                turned = await owner.turn_journal(0)
    await until(partial(reached, len(written) + 20))
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task

    found = await segments(database)
    assert list(found) == list(range(1, len(found) + 1))
    assert list(found.values()) == sorted(found.values())
    assert set(found.values()) == {1, 2, 3, 4, 5, 6}
    cuts = await database.fetch("SELECT segment, first_seq FROM journal_cuts WHERE shard = 1")
    firsts = {number: min(s for s, n in found.items() if n == number) for number in range(2, 7)}
    assert {row["segment"]: row["first_seq"] for row in cuts} == firsts


async def test_what_a_snapshot_has_passed_is_not_looked_into(
    owner: PostgresJournal, database: asyncpg.Connection
) -> None:
    """Given three segments and a snapshot at the end of the second, then an entity's tail is read
    from the third alone."""
    await write(owner, 1)
    await owner.turn_journal(0)
    await write(owner, 2)
    await owner.append(0, batch(snapshots=[snapshot(address_in(1), 2)]))
    await owner.turn_journal(0)
    await write(owner, 3)

    [loaded] = await owner.load([address_in(1)])
    assert (loaded.snapshot and loaded.snapshot.seq, [row.seq for row in loaded.rows]) == (2, [3])
    statement = statements("actors.journal", "journal.sql")["load"]
    _, entity, text = located(address_in(1))
    names = {"shards": [1], "entities": [entity], "addresses": [text]}
    values = statement.arguments({**names, "limit": 10, "with_snapshots": True})
    await database.execute("SET enable_seqscan = off")
    plan = await database.fetch(f"EXPLAIN (ANALYZE, COSTS OFF) {statement.text}", *values)
    steps = [line[0] for line in plan]
    looked = {
        step.split(" on ")[1].split()[0]
        for step in steps
        if "journal_" in step and " on " in step and "(actual" in step
    }
    assert "journal_3" in looked
    assert not looked & {"journal_0", "journal_1", "journal_2"}


async def test_an_entity_with_archived_events_is_not_read_from_the_rest(
    owner: PostgresJournal, database: asyncpg.Connection
) -> None:
    """Given a shard of which events are archived, when an entity is to be read without its
    snapshot, then that is refused, and no snapshot can be deleted."""
    await write(owner, 1, 2)
    await owner.append(0, batch(snapshots=[snapshot(address_in(1), 2)]))
    assert (await owner.load([address_in(1)], whole=True))[0].rows
    await database.execute("UPDATE journal SET segment = 0 WHERE seq = 2")

    with pytest.raises(ArchivedError, match="shard 1"):
        await owner.load([address_in(1)], whole=True)
    with pytest.raises(asyncpg.RaiseError, match=r"the snapshot of .* is needed"):
        await database.execute("DELETE FROM snapshots")
    assert await owner.load([address_in(2)], whole=True), "another shard's is whole"
