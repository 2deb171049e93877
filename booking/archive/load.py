"""Loading archives back: all of them, since whoever needs one needs the journal from the first
event on.

::

    file -> a table -> read back -> (all segments are that far) -> into the journal, at once

Each step may be the last of a run that is killed: the next run goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import asyncpg

from actors.connections.postgres import texts
from booking.archive import files
from booking.archive.files import ArchiveError, Manifest
from booking.archive.run import alone, copy_of
from booking.schema.migrate import connection_to

_SQL = texts("booking.archive", "statements.sql")


async def load_back(
    dsn: str, journal: str, part: int, directory: Path, tell: Callable[[str], None]
) -> None:
    """Put all archived rows of one database of a journal back into it. Raises
    :class:`ArchiveError`, and what asyncpg does."""
    async with connection_to(dsn) as conn, alone(conn):
        manifests = []
        for row in await conn.fetch(_SQL["archived_segments"]):
            path = files.manifest_path(directory, journal, part, row["segment"])
            manifest = files.read_manifest(path, row["manifest"])
            await _load(conn, path.parent / manifest.file, manifest, here=row["here"])
            tell(f"segment {manifest.segment}: {manifest.rows:,} rows are back in the database")
            manifests.append(manifest)
        if not manifests:
            tell("nothing is archived")
            return
        async with conn.transaction():
            await conn.execute(_SQL["give_up_after"])
            await conn.execute(_SQL["hold_journal"])
            for manifest in manifests:
                await _attach(conn, manifest)
            await conn.execute(_SQL["forget_all_ends"])
        tell(f"segments 1 to {manifests[-1].segment} are in the journal again")


async def _load(conn: asyncpg.Connection, file: Path, manifest: Manifest, *, here: bool) -> None:
    """Have the rows in a table of their own, and read them back to the last one."""
    table = f"journal_{manifest.segment}"
    if not here:
        async with conn.transaction():
            await conn.execute(_SQL["create"].format(table=table, segment=manifest.segment))
            await conn.copy_records_to_table(
                table, records=files.records(file), columns=files.COLUMNS
            )
            await conn.execute(_SQL["index"].format(table=table))
    digest = sha256()

    async def take(data: bytes) -> None:
        digest.update(data)

    await copy_of(conn, manifest.segment)(output=take)
    if digest.hexdigest() != manifest.rows_sha256:
        await conn.execute(_SQL["drop"].format(table=table))
        raise ArchiveError(f"{file}: rows read back from {table} are others; {table} is dropped")


async def _attach(conn: asyncpg.Connection, manifest: Manifest) -> None:
    segment = manifest.segment
    await conn.execute(_SQL["attach"].format(table=f"journal_{segment}", segment=segment))
    if segment > 1:  # The first one has no cuts: nothing is before it.
        shards = manifest.shards.items()
        cuts = [(int(shard), segment, each.first) for shard, each in shards]
        await conn.executemany(_SQL["keep_cut"], cuts)
    await conn.execute(_SQL["not_archived"], segment)
