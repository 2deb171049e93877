"""Archiving: what may go is written, read back, and only then leaves the database.

::

    snapshots of all entities -> file -> manifest -> read back -> out of the journal -> dropped

Each step may be the last of a run that is killed: the next run goes on from there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
from attrs import define

from actors.address import Address
from actors.behaviour import Behaviour
from actors.connections.postgres import texts
from actors.core.folding import Folding
from actors.journal.contract import Journal, JournalError, part_number
from booking.archive import files
from booking.archive.files import ArchiveError, Manifest, ShardRange
from booking.schema.migrate import connection_to

_SQL = texts("booking.archive", "statements.sql")
TOGETHER = 200
"""Entities of which snapshots are made in one piece."""
NAMED_MAX = 5
"""Entities that a refusal names."""

LOCK = 0x61726368697665
"""The advisory lock of a run: any number that is only ours ("archive" in ASCII)."""

Tell = Callable[[str], None]
Offsets = Mapping[str, Mapping[int, int]]
"""Of each consumer of events, by shard, the last event that it is done with."""


@asynccontextmanager
async def alone(conn: asyncpg.Connection) -> AsyncIterator[None]:
    """Of those who move segments of this database. Until the connection ends."""
    if not await conn.fetchval(_SQL["alone"], LOCK):
        raise ArchiveError("another run moves segments of this database")
    yield


def copy_of(conn: asyncpg.Connection, segment: int) -> Callable[..., Any]:
    """Gives the lines of a segment to an ``output``."""
    query = _SQL["rows"].format(table=f"journal_{segment}")
    # With a quote and a delimiter that JSON has not, a line is the text as it is.
    return partial(conn.copy_from_query, query, format="csv", delimiter="\x02", quote="\x01")


@define(eq=False)
class Archiver:
    """Archives one database of a journal. ``behaviours`` make the snapshots that are missing;
    those of other kinds are large, and only an owner knows which pages there are."""

    dsn: str
    part: int
    parts: int
    journal_name: str
    journal: Journal
    behaviours: Mapping[str, Behaviour]
    offsets: Offsets
    directory: Path
    tell: Tell
    _conn: asyncpg.Connection = None  # type: ignore[assignment]  # there from run() on

    async def run(self, before: datetime, *, close: bool) -> bool:
        """Archive all segments that were closed by then; whether nothing else held one back.
        Raises :class:`ArchiveError`, and what asyncpg and the journal do."""
        async with connection_to(self.dsn) as self._conn, alone(self._conn):
            if close:
                await self._conn.fetchval(_SQL["turn"])
            for row in await self._conn.fetch(_SQL["segments"]):
                if row["archived_at"] is not None:
                    await self._execute("drop", row["segment"])
                elif row["closed_at"] is None or row["closed_at"] > before:
                    self.tell(f"segment {row['segment']}: has rows of later, and stays")
                    return True
                elif reasons := await self._held_back(row["segment"]):
                    for reason in reasons:
                        self.tell(f"segment {row['segment']}: {reason}")
                    return False
                else:
                    await self._archive(row)
        return True

    async def _execute(self, name: str, segment: int, *values: Any) -> None:
        await self._conn.execute(_SQL[name].format(table=f"journal_{segment}"), *values)

    async def _ends(self, segment: int) -> dict[int, ShardRange]:
        found = await self._conn.fetch(_SQL["ends"].format(table=f"journal_{segment}"))
        return {row["shard"]: ShardRange(row["rows"], row["first"], row["last"]) for row in found}

    # -- what holds it back ------------------------------------------------------------------------

    async def _held_back(self, segment: int) -> list[str]:
        """Why the segment is still needed, in words."""
        ends = await self._ends(segment)
        strays = [n for n in ends if part_number(n, self.parts) != self.part]
        if strays:
            return [f"has rows of shard {strays[0]}, which does not live here: run booking audit"]
        for shard, each in ends.items():
            if each.rows != each.last - each.first + 1:
                return [f"shard {shard} has gaps in it: run booking audit"]
        reasons = []
        for consumer, seqs in self.offsets.items():
            late = [n for n, each in ends.items() if seqs.get(n, 0) < each.last]
            if late:
                n = late[0]
                reasons.append(
                    f"consumer {consumer} needs it: in {len(late)} shards, as in shard {n}, where"
                    f" it is at {seqs.get(n, 0)} of {ends[n].last}"
                )
        if await self._conn.fetchval(_SQL["follower"]):
            reasons.append("booking audit --follow runs, and reads what entities did before")
        return reasons or await self._snapshots(segment)

    async def _snapshots(self, segment: int) -> list[str]:
        """Make the snapshots that are missing, as far as that is ours."""
        left: list[str] = []
        query = _SQL["without_snapshot"].format(table=f"journal_{segment}")
        async with connection_to(self.dsn) as reader, reader.transaction():
            cursor = await reader.cursor(query)
            while found := await cursor.fetch(TOGETHER):
                addresses = [Address.parse(row["address"]) for row in found]
                large = [a for a in addresses if a.kind not in self.behaviours]
                left += [address.text for address in large]
                await self._put_snapshots([a for a in addresses if a not in large])
        if not left:
            return []
        names = ", ".join(left[:NAMED_MAX])
        words = f"no snapshot has passed {len(left)} entities yet ({names})"
        return [f"{words}: an instance makes one once they are at rest"]

    async def _put_snapshots(self, addresses: Sequence[Address]) -> None:
        folding, rows = Folding(self.journal), []
        for loaded in await self.journal.load(addresses):
            behaviour = self.behaviours[loaded.address.kind]
            address = loaded.address
            try:
                folded = await folding.fold(behaviour, loaded)
                state = behaviour.encode_state(folded.state)
            except JournalError:
                raise
            except Exception as error:
                raise ArchiveError(f"{address.text} cannot be read: {error}") from error
            # Under no epoch of its own: what it says follows from rows that are committed.
            rows.append((address.slot, address.text, folded.seq, 0, state))
        if rows:
            columns = [list(column) for column in zip(*rows, strict=True)]
            await self._conn.execute(_SQL["put_snapshots"], *columns)

    # -- one segment -------------------------------------------------------------------------------

    async def _archive(self, row: asyncpg.Record) -> None:
        segment = row["segment"]
        path = files.manifest_path(self.directory, self.journal_name, self.part, segment)
        ends = {str(n): each for n, each in (await self._ends(segment)).items()}
        if not path.exists():
            await self._write(path, row, ends)
        manifest = files.check(path)
        if manifest.shards != ends:
            raise ArchiveError(f"{path}: has other rows than segment {segment}")
        async with self._conn.transaction():
            await self._execute("give_up_after", segment)
            await self._execute("hold_journal", segment)
            await self._execute("forget_ends", segment)
            await self._execute("keep_ends", segment)
            await self._execute("detach", segment)
            await self._execute("forget_cuts", segment, segment)
            await self._execute("archived", segment, segment, files.file_sha256(path))
        await self._execute("drop", segment)
        self.tell(f"segment {segment}: {manifest.rows:,} rows are in {path.parent / manifest.file}")

    async def _write(self, path: Path, row: asyncpg.Record, ends: dict[str, ShardRange]) -> None:
        file = path.with_suffix(".jsonl.gz")
        copy = copy_of(self._conn, row["segment"])
        rows_sha256 = await files.write_rows(file, lambda take: copy(output=take))
        manifest = Manifest(
            journal=self.journal_name,
            part=self.part,
            segment=row["segment"],
            began_at=row["began_at"].isoformat(),
            closed_at=row["closed_at"].isoformat(),
            file=file.name,
            sha256=files.file_sha256(file),
            rows_sha256=rows_sha256,
            rows=sum(each.rows for each in ends.values()),
            shards=ends,
        )
        files.write_manifest(path, manifest)
