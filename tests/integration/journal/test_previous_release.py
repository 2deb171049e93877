"""Instances of the release before are at work, during a migration and after it."""

from __future__ import annotations

import asyncpg
import pytest

from actors.journal.contract import Loss, Past
from actors.journal.postgres import PostgresJournal, located
from actors.placement.postgres import PostgresPlacement
from booking.schema import migrate
from tests.support.journal_rows import address_in, batch, ends, event

CLAIM = """
WITH locked AS (
    SELECT s.shard
    FROM shards AS s
    JOIN unnest($1::smallint[], $2::bigint[]) AS w (shard, epoch)
      ON s.shard = w.shard AND s.epoch = w.epoch
    {desired}
    ORDER BY s.shard
    FOR UPDATE OF s
), claimed AS (
    UPDATE shards AS s
    SET epoch = s.epoch + 1, owner = $3::text, incarnation = $4::text,
        claimed_at = now()
    FROM locked AS l
    WHERE s.shard = l.shard
    RETURNING s.shard, s.epoch, s.owner, s.incarnation, s.claimed_at
), remembered AS (
    INSERT INTO epochs (shard, epoch, owner, incarnation, claimed_at)
    SELECT shard, epoch, owner, incarnation, claimed_at FROM claimed
)
SELECT shard, epoch FROM claimed
"""
"""As release 0.1.0 sends it, in either form: it does not ask for losses."""


APPEND = """
WITH live AS (
    SELECT s.shard, s.epoch
    FROM shards AS s
    JOIN unnest($1::smallint[], $2::bigint[], $3::bigint[]) AS b (shard, epoch, seq)
      ON s.shard = b.shard AND s.epoch = b.epoch
    WHERE s.incarnation = $4::text
      AND (b.seq = 0 OR (SELECT j.epoch FROM journal AS j
                         WHERE j.shard = b.shard AND j.seq = b.seq) IS NOT NULL)
    ORDER BY s.shard
    FOR SHARE OF s
), rows AS (
    INSERT INTO journal (seq, epoch, entity, at_ms, shard, version, address, type, payload)
    SELECT $3[1] + 1, l.epoch, $5::bigint, 1, l.shard, 1, $6::text, 'Happened', '{{}}'
    FROM live AS l
)
SELECT shard FROM live
""".replace("{{}}", "{}")
SHARDS = """
SELECT s.epoch, s.incarnation, j.epoch AS past_epoch FROM shards AS s
LEFT JOIN journal AS j ON j.shard = s.shard AND j.seq = $2::bigint
WHERE s.shard = $1::smallint
"""
ENTITY = "SELECT seq FROM journal WHERE entity = $1 AND seq > $2 AND shard = $3 AND address = $4"
"""What it asks of the journal: fenced appends, its leases, an entity's tail."""


async def test_a_journal_in_use_goes_on_over_later_migrations(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given statements of the release before, prepared on a connection, when its journal is
    migrated under it and turned to another segment, then they go on as if nothing had happened,
    and what they write is in order for the release that comes after."""
    everything = migrate.known()
    with monkeypatch.context() as before:
        before.setattr(migrate, "known", lambda: everything[:14])
        await migrate.migrate(empty_database_url)
    address = address_in(5)
    _, entity, text = located(address)
    connection = await asyncpg.connect(empty_database_url)

    async def use(round_: int) -> None:
        run = f"one-{round_}"
        claimed = await connection.fetch(CLAIM.format(desired=""), [5], [round_ - 1], "one", run)
        assert [tuple(row) for row in claimed] == [(5, round_)]
        values = ([5], [round_], [round_ - 1], run, entity, text)
        assert await connection.fetch(APPEND, *values), "it is live"
        [known] = await connection.fetch(SHARDS, 5, round_)
        assert tuple(known) == (round_, run, round_)
        seqs = [row["seq"] for row in await connection.fetch(ENTITY, entity, 0, 5, text)]
        assert seqs == list(range(1, round_ + 1))

    await use(1)
    assert "0017_journal_partitions" in await migrate.migrate(empty_database_url)
    await use(2)
    journal = PostgresJournal(empty_database_url)
    await journal.connect()
    assert await journal.turn_journal(0)
    await use(3)
    assert await connection.fetchval("SELECT count(*) FROM journal_2") == 1
    [lease] = await journal.claim([(5, 3)], "two", "two-1")
    assert ends([lease]) == [(5, 4, 3)]
    assert not await journal.append(0, batch("two-1", rows=[event(address, 4, epoch=4)]))
    await connection.close()
    await journal.close()


async def test_who_may_read_the_journal_may_read_it_after_the_migration(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a role for reports that may read the table, then it may read the partitioned one."""
    everything = migrate.known()
    with monkeypatch.context() as before:
        before.setattr(migrate, "known", lambda: everything[:14])
        await migrate.migrate(empty_database_url)
    connection = await asyncpg.connect(empty_database_url)
    await connection.execute("GRANT SELECT ON journal TO pg_monitor")
    await migrate.migrate(empty_database_url)
    asked = "SELECT has_table_privilege('pg_monitor', 'journal', 'SELECT')"
    assert await connection.fetchval(asked)
    await connection.close()


@pytest.mark.parametrize("desired", ["", "WHERE s.desired = $3::text"])
async def test_the_release_before_cannot_claim_a_shard_that_lost_rows(
    journal: PostgresJournal, database: asyncpg.Connection, database_url: str, desired: str
) -> None:
    """Given a loss on shard 3, when 0.1.0 claims 3 and 4, then it gets 4 alone, and 3 once the loss
    is accepted."""
    placement = PostgresPlacement(database_url)
    await database.execute("UPDATE shards SET desired = 'old' WHERE shard IN (3, 4)")

    async def claim() -> set[int]:
        seen = await database.fetch("SELECT shard, epoch FROM shards WHERE shard IN (3, 4)")
        columns = zip(*seen, strict=True)
        claimed = CLAIM.format(desired=desired)
        return {row[0] for row in await database.fetch(claimed, *columns, "old", "old-1")}

    [lost] = await journal.claim([(3, 0)], "one", "one-1")
    loss = Loss(shard=3, known=Past(5, lost.epoch, "one-1"), served=1, kept_seq=0, entities=())
    assert await journal.report([loss], "one", "one-1") == {3}
    assert await claim() == {4}
    await placement.accept_losses([3], "ops")
    assert await claim() == {3, 4}
    await placement.close()
