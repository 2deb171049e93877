"""A journal over several databases: each knows which part of which journal it is.

The mapping of shards to databases is part of every row's meaning. With a database left out, added,
or in another place, an instance would read some shards from where they are not and begin them anew,
selling sold seats again. So it is written down in each database, once, and compared at every start.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID, uuid4

import asyncpg

from actors.connections.postgres import texts
from booking.schema import migrate
from booking.schema.migrate import SchemaMismatch, connection_to

_SQL = texts("booking.schema", "parts.sql")

Recorded = tuple[UUID, int, int]
"""Journal, place of the database from 0, number of databases."""


async def prepare(dsns: Sequence[str]) -> list[list[str]]:
    """Bring every database to the newest version and write down which part it is; returns for each
    the names of the migrations that were applied now.

    Several may call this at once, and it may be called again after it was cut short. Raises
    :class:`SchemaMismatch` if the databases are not those of one journal in its order, and what
    asyncpg raises if one cannot be reached.
    """
    applied = [await migrate.migrate(dsn) for dsn in dsns]
    if len(dsns) > 1:
        await _record(dsns)
    await check(dsns)
    return applied


async def check(dsns: Sequence[str]) -> None:
    """Raise :class:`SchemaMismatch` unless these are all databases of one journal in its order,
    each at this program's version."""
    for number, dsn in enumerate(dsns):
        try:
            await migrate.check(dsn)
        except SchemaMismatch as error:
            where = f"{_name(number, dsns)}: " if len(dsns) > 1 else ""
            raise SchemaMismatch(f"{where}{error}") from None
    await match(dsns)


async def match(dsns: Sequence[str]) -> None:
    """As :func:`check`, whatever version they are at."""
    journals = set()
    for number, dsn in enumerate(dsns):
        recorded, _ = await _look(dsn)
        _compare(recorded, number, dsns)
        journals.add(recorded[0] if recorded else None)
    if len(journals) > 1:
        raise SchemaMismatch(
            "BOOKING_DATABASE_URL and BOOKING_JOURNAL_URLS name databases of different journals"
        )


def _compare(recorded: Recorded | None, number: int, dsns: Sequence[str]) -> None:
    if recorded is None and len(dsns) == 1:
        return
    if recorded is None:
        raise SchemaMismatch(
            f"{_name(number, dsns)} is not recorded as a part of this journal yet: "
            "run `booking migrate`"
        )
    _, part, parts = recorded
    if (part, parts) != (number, len(dsns)):
        raise SchemaMismatch(
            f"{_name(number, dsns)} is number {part + 1} of the {parts} databases of its journal: "
            "BOOKING_DATABASE_URL and BOOKING_JOURNAL_URLS have to name all of them, in the order "
            "they were first given"
        )


async def _record(dsns: Sequence[str]) -> None:
    """The first database decides about the journal's name; the others follow."""
    journal: UUID | None = None
    for number, dsn in enumerate(dsns):
        recorded, begun = await _look(dsn)
        if recorded is None and begun:
            raise SchemaMismatch(
                f"{_name(number, dsns)} holds a journal that was begun in one database: it cannot "
                "be spread by a setting, see docs/how-to/outgrow-one-postgres.md"
            )
        if recorded is None:
            recorded = await _write(dsn, (journal or uuid4(), number, len(dsns)))
        journal = journal or recorded[0]


async def _look(dsn: str) -> tuple[Recorded | None, bool]:
    """What is recorded, and whether shards were ever claimed."""
    try:
        async with connection_to(dsn) as connection:
            record = await connection.fetchrow(_SQL["recorded"])
            return (tuple(record) if record else None), await connection.fetchval(_SQL["begun"])
    except asyncpg.UndefinedTableError:
        return None, False  # of an earlier release, or not migrated yet


async def _write(dsn: str, wanted: Recorded) -> Recorded:
    """Record it, unless another starter just did; returns what is recorded now."""
    async with connection_to(dsn) as connection:
        await connection.execute(_SQL["record"], *wanted)
        record = await connection.fetchrow(_SQL["recorded"])
    assert record is not None, "what was written just now is gone"
    journal, part, count = record
    return journal, part, count


def _name(number: int, dsns: Sequence[str]) -> str:
    """The database without its address, which may hold a password."""
    return "the database" if len(dsns) == 1 else f"database {number + 1} of {len(dsns)}"
