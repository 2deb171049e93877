"""A migration is applied while instances of the release before it are at work."""

from __future__ import annotations

import pytest

from actors.journal.postgres import PostgresJournal
from booking.schema import migrate
from tests.support.journal_rows import address_in, batch, ends, event


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
    assert "0012_outcome_segments" in await migrate.migrate(empty_database_url)
    await use(2)
    await journal.close()
