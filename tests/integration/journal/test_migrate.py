"""Migrations: applied once, in order, by one starter; anything else is refused in one line."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import chain

import asyncpg
import pytest

from booking.schema.migrate import SchemaMismatch, check, known, migrate

Starter = Callable[[str], Awaitable[object]]


@pytest.fixture
def labels() -> list[str]:
    return [migration.label for migration in known()]


async def execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


async def test_the_first_run_applies_everything_and_the_second_nothing(
    empty_database_url: str, labels: list[str]
) -> None:
    assert labels[0] == "0001_journal"
    assert await migrate(empty_database_url) == labels
    assert await migrate(empty_database_url) == []
    await check(empty_database_url)


async def test_two_starters_at_once_apply_each_migration_once(
    empty_database_url: str, labels: list[str]
) -> None:
    applied = await asyncio.gather(*(migrate(empty_database_url) for _ in range(4)))

    assert sorted(chain.from_iterable(applied)) == labels


async def test_a_migration_that_fails_leaves_nothing_of_itself(empty_database_url: str) -> None:
    await execute(empty_database_url, "CREATE TABLE wakes (in_the_way integer)")

    with pytest.raises(asyncpg.DuplicateTableError):
        await migrate(empty_database_url)

    connection = await asyncpg.connect(empty_database_url)
    assert await connection.fetchval("SELECT to_regclass('journal')") is None
    assert await connection.fetchval("SELECT to_regclass('schema_migrations')") is None
    await connection.close()


async def test_a_database_without_schema_is_refused_in_one_line(empty_database_url: str) -> None:
    with pytest.raises(SchemaMismatch, match=r"run `booking migrate`$") as refusal:
        await check(empty_database_url)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("refused", [check, migrate])
async def test_a_newer_database_is_refused_in_one_line(database_url: str, refused: Starter) -> None:
    await execute(
        database_url,
        "INSERT INTO schema_migrations (version, name, checksum) VALUES (9999, 'later', 'x')",
    )

    with pytest.raises(SchemaMismatch, match="newer than this program") as refusal:
        await refused(database_url)
    assert "\n" not in str(refusal.value)


LATER = (
    "INSERT INTO schema_migrations (version, name, checksum, compatible_from)"
    " VALUES ({version}, 'later', 'x', {compatible_from})"
)


async def test_a_newer_compatible_database_is_used_and_left_as_it_is(database_url: str) -> None:
    newest = known()[-1].version
    later = [LATER.format(version=newest + n, compatible_from=newest) for n in (1, 2)]
    await execute(database_url, *later)

    await check(database_url)
    assert await migrate(database_url) == []


@pytest.mark.parametrize("refused", [check, migrate])
async def test_one_incompatible_later_migration_is_refused(
    database_url: str, refused: Starter
) -> None:
    newest = known()[-1].version
    await execute(
        database_url,
        LATER.format(version=newest + 1, compatible_from=newest + 1),
        LATER.format(version=newest + 2, compatible_from=newest),
    )

    with pytest.raises(SchemaMismatch, match=f"it needs one that knows {newest + 1}") as refusal:
        await refused(database_url)
    assert "\n" not in str(refusal.value)


async def test_what_a_migration_declares_is_written_down_with_it(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    stored = await connection.fetch("SELECT version, compatible_from FROM schema_migrations")
    await connection.close()
    assert {row[0]: row[1] for row in stored} == {
        one.version: one.compatible_from for one in known()
    }
    assert [one.compatible_from for one in known()[:6]] == [1, 2, 3, 4, 5, 6], "released before"
    assert all(one.compatible_from < one.version for one in known()[6:]), "they only add"


@pytest.mark.parametrize("version", [1, 6])
async def test_a_database_of_an_earlier_release_has_only_to_be_migrated(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch, labels: list[str], version: int
) -> None:
    everything = known()
    with monkeypatch.context() as before:
        before.setattr("booking.schema.migrate.known", lambda: everything[:version])
        await migrate(empty_database_url)
    await execute(empty_database_url, "ALTER TABLE schema_migrations DROP compatible_from")

    refused = rf"version {version}, this program needs .*run `booking migrate`$"
    with pytest.raises(SchemaMismatch, match=refused):
        await check(empty_database_url)
    assert await migrate(empty_database_url) == labels[version:]
    await check(empty_database_url)


@pytest.mark.parametrize("refused", [check, migrate])
async def test_a_migration_changed_after_it_ran_is_refused_in_one_line(
    database_url: str, refused: Starter
) -> None:
    await execute(database_url, "UPDATE schema_migrations SET checksum = 'x' WHERE version = 1")

    with pytest.raises(SchemaMismatch, match=r"0001_journal .* another content") as refusal:
        await refused(database_url)
    assert "\n" not in str(refusal.value)


async def test_every_table_and_column_of_the_journal_says_what_it_is(database_url: str) -> None:
    tables = ["shards", "epochs", "journal", "snapshots", "outcomes", "wakes"]
    tables += ["leadership", "operator_log", "instance_beats", "snapshot_pages", "outcome_turn"]
    connection = await asyncpg.connect(database_url)
    bare = await connection.fetch(
        "SELECT c.relname, a.attname FROM pg_class c"
        " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0"
        " WHERE c.relname = ANY($1) AND c.relkind = 'r'"
        " AND (obj_description(c.oid, 'pg_class') IS NULL"
        "      OR col_description(c.oid, a.attnum) IS NULL)",
        tables,
    )
    await connection.close()
    assert bare == []
