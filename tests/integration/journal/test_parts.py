"""A journal over several databases: what each is, is written down once and held to."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import asyncpg
import pytest

from booking.schema import migrate, parts
from booking.schema.migrate import SchemaMismatch
from tests.support.servers import TestServers


@pytest.fixture
def urls(servers: TestServers) -> Iterator[list[str]]:
    """Three databases without any table."""
    with (
        servers.database(migrated=False) as one,
        servers.database(migrated=False) as two,
        servers.database(migrated=False) as three,
    ):
        yield [one, two, three]


async def told(urls: list[str]) -> str:
    with pytest.raises(SchemaMismatch) as refused:
        await parts.check(urls)
    return str(refused.value)


async def test_all_databases_are_migrated_and_remember_their_place(urls: list[str]) -> None:
    labels = [migration.label for migration in migrate.known()]
    assert await parts.prepare(urls) == [labels, labels, labels]
    assert await parts.prepare(urls) == [[], [], []]
    await parts.check(urls)


async def test_a_journal_in_one_database_needs_nothing_written_down(urls: list[str]) -> None:
    await parts.prepare(urls[:1])
    await parts.check(urls[:1])
    await parts.prepare(urls)
    await parts.check(urls)


async def test_databases_left_out_added_or_in_another_order_are_refused(urls: list[str]) -> None:
    one, two, three = urls
    await parts.prepare([one, two])
    await migrate.migrate(three)

    assert "the database is number 1 of the 2 databases" in await told([one])
    assert "database 1 of 2 is number 2 of the 2 databases" in await told([two, one])
    assert "number 1 of the 2 databases" in await told([one, two, three])
    assert "database 2 of 2 is not recorded" in await told([one, three])
    with pytest.raises(SchemaMismatch, match="number 1 of the 2 databases"):
        await parts.prepare([one, two, three])
    await parts.check([one, two])


async def test_databases_of_two_journals_are_refused(urls: list[str]) -> None:
    one, two, three = urls
    await parts.prepare([one, two])
    await migrate.migrate(three)
    connection = await asyncpg.connect(three)
    await connection.execute("INSERT INTO journal_part VALUES (true, gen_random_uuid(), 1, 2)")
    await connection.close()
    assert "different journals" in await told([one, three])


async def test_a_journal_that_was_begun_in_one_database_is_not_spread(urls: list[str]) -> None:
    await migrate.migrate(urls[0])
    connection = await asyncpg.connect(urls[0])
    await connection.execute("INSERT INTO epochs VALUES (1, 1, 'anna', 'anna-1', now())")
    await connection.close()

    with pytest.raises(SchemaMismatch, match="begun in one database"):
        await parts.prepare(urls)
    await parts.check(urls[:1])


async def test_several_may_prepare_at_once_and_go_on_where_one_was_cut_short(
    urls: list[str],
) -> None:
    await asyncio.gather(*(parts.prepare(urls[:2]) for _ in range(4)))
    connection = await asyncpg.connect(urls[1])
    await connection.execute("DELETE FROM journal_part")
    await connection.close()

    await parts.prepare(urls[:2])
    await parts.check(urls[:2])
