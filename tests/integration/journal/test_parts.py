"""A journal over several databases: what each is, is written down once and held to."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import asyncpg
import pytest

from booking.identity import Identity
from booking.schema import migrate, parts
from booking.schema.migrate import SchemaMismatch
from tests.support.servers import TestServers, run


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


async def test_a_journal_that_was_not_begun_may_still_be_spread(urls: list[str]) -> None:
    await parts.prepare(urls[:1])
    alone = await parts.check(urls[:1])
    await parts.prepare(urls)
    assert await parts.check(urls) == alone, "and keeps its name"


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
    await connection.execute("UPDATE journal_part SET part = 1, parts = 2")
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
    await connection.execute("UPDATE journal_part SET part = 0, parts = 1")
    await connection.close()

    await parts.prepare(urls[:2])
    await parts.check(urls[:2])


# -- who the journal is ----------------------------------------------------------------------------


async def execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


BEGIN = "INSERT INTO epochs VALUES (1, 1, 'anna', 'anna-1', now())"
LEAD = "UPDATE leadership SET holder = 'anna-1', expires_at = now() + interval '5 s'"


async def test_each_journal_has_a_name_of_its_own(urls: list[str]) -> None:
    one, two = [await identity(url) for url in urls[:2]]
    assert one.journal != two.journal
    assert one.cluster != two.cluster
    assert one.generation != two.generation
    assert one.generation > 0
    assert one == await identity(urls[0]), "made once"


async def identity(url: str) -> Identity:
    await parts.prepare([url])
    return await parts.check([url])


async def test_a_journal_of_an_earlier_release_is_named_by_the_migration(
    urls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In its first generation, in which the tokens of that release are accepted."""
    everything = migrate.known()
    with monkeypatch.context() as before:
        before.setattr(migrate, "known", lambda: everything[:7])
        await migrate.migrate(urls[0])
    await execute(urls[0], BEGIN)
    assert (await identity(urls[0])).generation == 0


async def test_all_databases_carry_the_same_identity(urls: list[str]) -> None:
    await parts.prepare(urls)
    found = await parts.check(urls)
    assert await parts.restored(urls)
    renewed = await parts.check(urls)
    assert renewed.journal == found.journal
    assert renewed.generation not in (found.generation, 0)
    assert renewed.renewed_ms > 1_000_000_000_000 > found.renewed_ms == 0


async def test_databases_of_two_generations_are_refused(urls: list[str]) -> None:
    await parts.prepare(urls[:2])
    await execute(urls[1], "UPDATE journal_part SET generation = 5")
    assert "run `booking restore-done`" in await told(urls[:2])
    await parts.restored(urls[:2])
    await parts.check(urls[:2])


async def test_a_generation_is_not_renewed_under_running_instances(urls: list[str]) -> None:
    found = await identity(urls[0])
    await execute(urls[0], LEAD)
    with pytest.raises(SchemaMismatch, match="stop every one"):
        await parts.restored(urls[:1])
    assert await parts.check(urls[:1]) == found


def test_a_copy_of_a_database_is_noticed(urls: list[str], servers: TestServers) -> None:
    """As a dump that is restored elsewhere."""
    original = run(identity(urls[0]))
    assert not run(parts.restored(urls[:1], noticed=True))
    with servers.copy_of(urls[0]) as copy:
        assert run(parts.check([copy])) == original
        assert run(parts.restored([copy], noticed=True))
        renewed = run(parts.check([copy]))
        assert renewed.cluster != original.cluster
        assert not run(parts.restored([copy], noticed=True)), "once"
    assert run(parts.check(urls[:1])) == original


async def test_a_fail_over_under_running_instances_is_no_restore(urls: list[str]) -> None:
    """They go on with the identity they have, and so do those that are started beside them."""
    found = await identity(urls[0])
    await execute(urls[0], LEAD, "UPDATE journal_part SET home = 'the server before'")
    assert not await parts.restored(urls[:1], noticed=True)
    await execute(urls[0], "UPDATE leadership SET expires_at = now()")
    assert not await parts.restored(urls[:1], noticed=True), "it is at home here now"
    assert await parts.check(urls[:1]) == found
