"""The journal's publication, as a follower of the write-ahead log reads it."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import asyncpg

from actors.journal.postgres import PostgresJournal
from booking.embedded import EmbeddedServers
from booking.schema import migrate
from tests.support.journal_rows import address_in, batch, event
from tests.support.servers import run, temporary_data_dir

PEEK = """
SELECT data FROM pg_logical_slot_peek_binary_changes(
    'follower', NULL, NULL, 'proto_version', '1', 'publication_names', 'booking_journal')
"""


def inserted(messages: list[bytes]) -> Iterator[tuple[str, dict[str, str | None]]]:
    """Table and columns of each insert of pgoutput."""
    relations: dict[int, tuple[str, list[str]]] = {}
    for data in messages:
        if data[:1] == b"R":
            (oid,) = struct.unpack_from("!I", data, 1)
            schema, name, rest = data[5:].split(b"\0", 2)
            (count,), rest, columns = struct.unpack_from("!H", rest, 1), rest[3:], []
            for _ in range(count):
                column, rest = rest[1:].split(b"\0", 1)
                columns.append(column.decode())
                rest = rest[8:]
            relations[oid] = f"{schema.decode()}.{name.decode()}", columns
        elif data[:1] == b"I":
            (oid,) = struct.unpack_from("!I", data, 1)
            table, columns = relations[oid]
            at, values = 8, list[str | None]()
            for _ in columns:
                if data[at : at + 1] == b"n":
                    values.append(None)
                    at += 1
                    continue
                (size,) = struct.unpack_from("!I", data, at + 1)
                values.append(data[at + 5 : at + 5 + size].decode())
                at += 5 + size
            yield table, dict(zip(columns, values, strict=True))


async def followed(dsn: str) -> tuple[list[tuple[str, int, int]], dict[int, list[int]], float]:
    """What the slot tells of appends to two shards, by a claim and over three segments."""
    await migrate.migrate(dsn)
    connection = await asyncpg.connect(dsn)
    await connection.execute("SELECT pg_create_logical_replication_slot('follower', 'pgoutput')")
    journal = PostgresJournal(dsn, lanes=2)
    await journal.claim([(1, 0), (2, 0)], "one", "one-1")
    for seq in range(1, 31):
        rows = [event(address_in(shard), seq) for shard in (1, 2)]
        assert not await journal.append(0, batch(rows=rows))
        if seq % 10 == 0:
            assert await journal.turn_journal(0)
    # What an archive leaves behind of what it takes.
    await connection.execute("CREATE TABLE last AS SELECT * FROM journal WHERE seq = 10")
    await connection.execute("UPDATE last SET segment = 0")
    await connection.execute("INSERT INTO journal SELECT * FROM last")
    messages = [row["data"] for row in await connection.fetch(PEEK)]
    told = [
        (table, int(row["shard"] or -1), int(row["seq"] or -1)) for table, row in inserted(messages)
    ]
    stored = await connection.fetch("SELECT shard, seq FROM journal WHERE segment > 0")
    kept = await connection.fetchval(
        "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::float8"
        " FROM pg_replication_slots"
    )
    await journal.close()
    await connection.close()
    by_shard = {shard: sorted(s for n, s in stored if n == shard) for shard in (1, 2)}
    return told, by_shard, kept


def test_a_slot_tells_of_every_committed_row_once_and_in_order() -> None:
    """Given a server with wal_level=logical and a slot, when two shards are written to over three
    segments, then the publication has each row once, in order for each shard, as of one table, and
    nothing of what archives leave behind."""
    with temporary_data_dir() as directory:
        servers = EmbeddedServers.start(directory, durable=False)
        try:
            run(_alter(servers.database_url))
        finally:
            servers.stop()
        servers = EmbeddedServers.start(directory, durable=False)
        try:
            told, stored, kept = run(followed(servers.database_url))
        finally:
            servers.stop(quick=True)
    assert {table for table, _, _ in told} == {"public.journal"}
    found = {shard: [seq for _, s, seq in told if s == shard] for shard in (1, 2)}
    assert found == stored == {shard: list(range(1, 31)) for shard in (1, 2)}
    assert kept > 0


async def _alter(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute("ALTER SYSTEM SET wal_level = 'logical'")
    await connection.close()
