"""What only the real journal can get wrong: equal hashes, plans, statements."""

from __future__ import annotations

import re

import asyncpg
import pytest

from actors.connections.postgres import numbered, statements, texts
from actors.journal.contract import PageRow, SnapshotRow
from actors.journal.postgres import PostgresJournal, located
from tests.support.journal_rows import address_in, batch, event


async def test_two_entities_with_equal_hashes_are_not_mixed(
    journal: PostgresJournal, database: asyncpg.Connection
) -> None:
    mine, twin = address_in(3), address_in(3, 1)
    await journal.claim([(3, 0)], "one", "one-1")
    await journal.append(0, batch(rows=[event(mine, 1), event(twin, 2), event(mine, 3)]))
    await database.execute("UPDATE journal SET entity = $1", located(mine)[1])

    [loaded] = await journal.load([mine])

    assert [row.seq for row in loaded.rows] == [1, 3]
    assert [row.seq for row in await journal.history(mine, ["Happened"], 9)] == [3, 1]


async def test_a_plan_for_empty_tables_uses_the_keys_of_full_ones(
    journal: PostgresJournal, database: asyncpg.Connection
) -> None:
    """Statements are prepared before the first row is written and planned only once."""
    address = address_in(3)
    await journal.load([address])
    await journal.history(address, ["Happened"], 5)
    await journal.claim([(3, 0)], "one", "one-1")
    connection = journal._pool._links[-1]._connection
    assert connection is not None
    load = statements("actors.journal", "journal.sql")["load"]
    await connection.execute(
        f"PREPARE load (smallint[], bigint[], text[], boolean, bigint) AS {load.text}"
    )
    plan = await connection.fetch("EXPLAIN EXECUTE load ('{3}', '{1}', '{x}', true, 40)")

    text = "\n".join(line[0] for line in plan)
    assert "journal_entity" in text
    assert "Seq Scan" not in text


async def test_every_statement_can_be_prepared(database: asyncpg.Connection) -> None:
    for name, query in statements("actors.journal", "journal.sql").items():
        prepared = await database.prepare(query.text)
        assert len(prepared.get_parameters()) == len(query.parameters), name


@pytest.mark.parametrize("file", ["append.sql", "journal.sql"])
def test_every_statement_says_what_it_is_for(file: str) -> None:
    from importlib import resources

    source = resources.files("actors.journal").joinpath(file).read_text("utf-8")
    named = re.findall(r"^-- name: \w+\n(.*)$", source, re.MULTILINE)
    assert len(named) == len(texts("actors.journal", file))
    assert all(line.startswith("-- ") for line in named)


def test_parameters_are_numbered_by_first_use_and_casts_are_left_alone() -> None:
    query = numbered("SELECT :b::int[], :a, :b, x::text")
    assert query.text == "SELECT $1::int[], $2, $1, x::text"
    assert query.arguments({"a": 1, "b": [2]}) == [[2], 1]
    with pytest.raises(KeyError):
        query.arguments({"a": 1})


async def test_a_word_with_the_separator_in_it_is_a_crash_and_nothing_is_written(
    journal: PostgresJournal,
) -> None:
    address = address_in(3)
    await journal.claim([(3, 0)], "one", "one-1")

    with pytest.raises(AssertionError):
        await journal.append(0, batch(rows=[event(address, 1, payload=b'{"n":\x1f1}')]))

    [loaded] = await journal.load([address])
    assert list(loaded.rows) == []


async def test_a_snapshot_of_the_release_before_has_no_pages(
    journal: PostgresJournal, database: asyncpg.Connection
) -> None:
    """Given a snapshot with pages, when a program that knows of no pages writes a newer one over
    it, then that one is read without pages."""
    mine = address_in(3)
    await journal.claim([(3, 0)], "one", "one-1")
    page = PageRow(3, 1, mine, 0, 10, b"page")
    await journal.append(0, batch(pages=[page], snapshots=[SnapshotRow(3, 1, mine, 10, b"h", 1)]))
    await database.execute(
        "INSERT INTO snapshots (seq, epoch, shard, address, state) VALUES (20, 1, 3, $1, 'all')"
        " ON CONFLICT (shard, address) DO UPDATE SET seq = excluded.seq, epoch = excluded.epoch,"
        " state = excluded.state WHERE snapshots.seq <= excluded.seq",
        mine.text,
    )
    [loaded] = await journal.load([mine])
    assert loaded.snapshot == SnapshotRow(3, 1, mine, 20, b"all", 0)
