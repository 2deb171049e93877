"""What the journal does when the server is away, slow or killed."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import NoReturn

import asyncpg
import pytest

from actors.journal.contract import Journal, JournalError
from actors.journal.postgres import PostgresJournal
from booking.embedded import EmbeddedServers
from booking.schema.migrate import migrate
from tests.support.journal_rows import address_in, batch, event, until
from tests.support.servers import own_servers, silent_server

ADDRESS = address_in(3)


async def hang_up(database: asyncpg.Connection) -> None:
    """Ends all other connections to the database, as a failing server does."""
    await database.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )


async def until_back(journal: Journal) -> None:
    async def answers() -> bool:
        try:
            await journal.ping()
        except JournalError:
            return False
        return True

    await until(answers)


async def test_an_idle_connection_that_was_lost_costs_one_error_at_most(
    journal: PostgresJournal, database: asyncpg.Connection
) -> None:
    await journal.claim([(3, 0)], "one", "one-1")
    await journal.append(0, batch(rows=[event(ADDRESS, 1)]))
    await hang_up(database)

    # Whether the end of the connection has been noticed by now is a matter of microseconds.
    with suppress(JournalError):
        await journal.append(0, batch(rows=[event(ADDRESS, 2)]))

    await until_back(journal)
    [loaded] = await journal.load([ADDRESS])
    after = event(ADDRESS, len(loaded.rows) + 1)
    assert not await journal.append(0, batch(rows=[after]))
    [loaded] = await journal.load([ADDRESS])
    assert [row.seq for row in loaded.rows] in ([1, 2], [1, 2, 3])


async def test_a_connection_lost_in_the_middle_of_an_append_is_an_error(
    journal: PostgresJournal, database: asyncpg.Connection
) -> None:
    await journal.claim([(3, 0)], "one", "one-1")
    async with database.transaction():
        await database.execute("SELECT 1 FROM shards WHERE shard = 3 FOR UPDATE")
        append = asyncio.create_task(journal.append(0, batch(rows=[event(ADDRESS, 1)])))
        await until_waiting(database)
        await hang_up(database)
        with pytest.raises(JournalError):
            await append


async def until_waiting(database: asyncpg.Connection) -> None:
    async def waiting() -> bool:
        count = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        return bool(await database.fetchval(count))

    await until(waiting)


@pytest.fixture
async def hasty(database_url: str) -> AsyncIterator[PostgresJournal]:
    journal = PostgresJournal(database_url, timeout_s=5.0, pool_size=1)
    await journal.connect()
    yield journal
    await journal.close()


async def test_an_append_that_times_out_ends_on_the_server_too(
    hasty: PostgresJournal, database: asyncpg.Connection
) -> None:
    await hasty.claim([(3, 0)], "one", "one-1")
    async with database.transaction():
        await database.execute("SELECT 1 FROM shards WHERE shard = 3 FOR UPDATE")
        with pytest.raises(JournalError, match=r"in time|QueryCanceled"):
            await hasty.append(0, batch(rows=[event(ADDRESS, 1)]))

        async def nobody_waits() -> bool:
            count = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            return not await database.fetchval(count)

        await until(nobody_waits)

    assert not await hasty.append(0, batch(rows=[event(ADDRESS, 1)]))


async def test_waiting_for_a_busy_connection_ends_in_time_too(
    hasty: PostgresJournal, database: asyncpg.Connection
) -> None:
    async with database.transaction():
        await database.execute("LOCK TABLE shards")
        pings = [asyncio.create_task(hasty.ping()) for _ in range(3)]
        results = await asyncio.wait_for(asyncio.gather(*pings, return_exceptions=True), 30)
    assert all(isinstance(result, JournalError) for result in results), results


async def test_an_append_that_was_cancelled_does_not_spoil_the_next_one(
    journal: PostgresJournal, database: asyncpg.Connection
) -> None:
    await journal.claim([(3, 0)], "one", "one-1")
    async with database.transaction():
        await database.execute("SELECT 1 FROM shards WHERE shard = 3 FOR UPDATE")
        append = asyncio.create_task(journal.append(0, batch(rows=[event(ADDRESS, 1)])))
        await until_waiting(database)
        append.cancel()
        with pytest.raises(asyncio.CancelledError):
            await append
        await hang_up(database)

    await until_back(journal)
    [lease] = await journal.claim([(3, 1)], "one", "one-1")
    row = event(ADDRESS, lease.last_seq + 1, lease.epoch)
    assert not await journal.append(0, batch(rows=[row]))


async def test_every_connection_waits_for_the_disk_and_gives_up_with_the_client(
    database_url: str, database: asyncpg.Connection
) -> None:
    name = await database.fetchval("SELECT current_database()")
    await database.execute(f'ALTER DATABASE "{name}" SET synchronous_commit = off')
    journal = PostgresJournal(database_url, timeout_s=2.5)
    await journal.connect()
    ask = "SELECT current_setting('synchronous_commit'), current_setting('statement_timeout')"
    connections = [journal._lanes[0]._connection, journal._pool._links[-1]._connection]
    for connection in connections:
        assert connection is not None
        assert list(await connection.fetchrow(ask) or ()) == ["on", "2500ms"]
    await journal.close()


async def test_a_server_that_is_not_there_is_an_error_at_once_and_each_time() -> None:
    url = "postgresql://nobody@127.0.0.1:1/nothing"
    with pytest.raises(JournalError):
        await PostgresJournal(url).connect()
    journal = PostgresJournal(url)
    for _ in range(3):
        with pytest.raises(JournalError):
            await journal.append(0, batch(rows=[event(ADDRESS, 1)]))
    await journal.close()


async def test_a_server_that_accepts_and_never_answers_is_an_error_in_time() -> None:
    async with silent_server() as port:
        journal = PostgresJournal(f"postgresql://nobody@127.0.0.1:{port}/nothing", timeout_s=0.2)
        with pytest.raises(JournalError, match="in time"):
            await journal.ping()
        await journal.close()


async def test_a_closed_journal_answers_nothing(journal: PostgresJournal) -> None:
    await journal.close()
    with pytest.raises(JournalError, match="closed"):
        await journal.ping()
    with pytest.raises(JournalError, match="closed"):
        await journal.append(0, batch(rows=[event(ADDRESS, 1)]))


async def test_closing_cuts_off_what_is_under_way(
    journal: PostgresJournal, database: asyncpg.Connection
) -> None:
    await journal.claim([(3, 0)], "one", "one-1")
    async with database.transaction():
        await database.execute("SELECT 1 FROM shards WHERE shard = 3 FOR UPDATE")
        append = asyncio.create_task(journal.append(0, batch(rows=[event(ADDRESS, 1)])))
        await until_waiting(database)
        await journal.close()
        with pytest.raises(JournalError):
            await append


@pytest.fixture
def own_server() -> Iterator[EmbeddedServers]:
    """A PostgreSQL that a test may kill; whoever watches it starts it again."""
    with own_servers(redis_url="unix:///nowhere") as servers:
        yield servers


async def test_a_killed_server_comes_back_with_all_that_was_acknowledged(
    own_server: EmbeddedServers,
) -> None:
    """The journal goes on without a restart of the service."""
    await migrate(own_server.database_url)
    journal = PostgresJournal(own_server.database_url)
    await journal.connect()
    [lease] = await journal.claim([(3, 0)], "one", "one-1")
    acked = 0

    async def append_until_it_fails() -> NoReturn:
        nonlocal acked
        while True:
            await journal.append(0, batch(rows=[event(ADDRESS, acked + 1, lease.epoch)]))
            acked += 1

    appending = asyncio.create_task(append_until_it_fails())

    async def some_acked() -> bool:
        return acked >= 20

    await until(some_acked)
    os.kill(own_server.pids["postgres"], signal.SIGKILL)
    with pytest.raises(JournalError):
        await appending

    await until_back(journal)
    [again] = await journal.claim([(3, lease.epoch)], "one", "one-1")
    assert again.last_seq in {acked, acked + 1}, "only the one without answer may be there or not"
    assert not await journal.append(0, batch(rows=[event(ADDRESS, again.last_seq + 1, 2)]))
    [loaded] = await journal.load([ADDRESS])
    assert [row.seq for row in loaded.rows] == list(range(1, again.last_seq + 2))
    await journal.close()
