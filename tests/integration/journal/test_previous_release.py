"""Instances of the release before are at work, during a migration and after it."""

from __future__ import annotations

import asyncpg
import pytest

from actors.journal.contract import Loss, Past
from actors.journal.postgres import PostgresJournal
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


async def test_a_journal_in_use_goes_on_over_later_migrations(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = migrate.known()
    with monkeypatch.context() as before:
        before.setattr(migrate, "known", lambda: everything[:8])
        await migrate.migrate(empty_database_url)
    journal = PostgresJournal(empty_database_url)
    await journal.connect()

    async def use(round_: int) -> None:
        """Each statement about shards, on connections that have prepared it before."""
        [lease] = await journal.claim([(5, round_ - 1)], "one", f"one-{round_}")
        assert ends([lease]) == [(5, round_, round_ - 1)]
        row = event(address_in(5), round_, epoch=round_)
        assert not await journal.append(0, batch(f"one-{round_}", rows=[row]))
        assert (await journal.shards())[5].incarnation == f"one-{round_}"
        await journal.ping()

    await use(1)
    assert "0013_claims" in await migrate.migrate(empty_database_url)
    await use(2)
    await journal.close()


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
