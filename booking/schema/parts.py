"""The identity of a journal, and which part of it each of its databases holds.

A journal is named once, by a migration; a restore from a backup renews its generation. With a
database left out, added or in another place, an instance would read some shards from where they are
not. So the order is written down in each database, once, and compared at every start.
"""

import secrets
from collections.abc import Sequence
from typing import Any

import asyncpg
import msgspec

from actors.connections.postgres import texts
from booking.identity import Identity
from booking.schema import migrate
from booking.schema.migrate import SchemaMismatch, connection_to

_SQL = texts("booking.schema", "parts.sql")
_HERE = _SQL["here"]

GENERATION_BITS = 60
"""Random ones, so that no restore, of whatever backup, gives the number of an earlier one again."""


class PartRecord(msgspec.Struct, frozen=True):
    """What one database says of itself."""

    identity: Identity
    part: int
    parts: int


async def prepare(dsns: Sequence[str]) -> list[list[str]]:
    """Bring every database to the newest version and write down which part it is; returns for each
    the names of the migrations that were applied now. Several may call this at once. Raises
    :class:`SchemaMismatch` if these are not one journal in its order, and what asyncpg raises."""
    applied = [await migrate.migrate(dsn) for dsn in dsns]
    if len(dsns) > 1:
        await _record(dsns)
    await check(dsns)
    return applied


async def check(dsns: Sequence[str]) -> Identity:
    """The journal's identity. Raises :class:`SchemaMismatch` unless these are its current parts."""
    for number, dsn in enumerate(dsns):
        try:
            await migrate.check(dsn)
        except SchemaMismatch as error:
            where = f"{_name(number, dsns)}: " if len(dsns) > 1 else ""
            raise SchemaMismatch(f"{where}{error}") from None
    recorded = await match(dsns)
    assert recorded is not None, "a migration writes it"
    return recorded.identity


async def match(dsns: Sequence[str]) -> PartRecord | None:
    """As :func:`check`, whatever version they are at; what the first of them says."""
    found = []
    for number, dsn in enumerate(dsns):
        recorded = await _look(dsn)
        _compare(recorded, number, dsns)
        found.append(recorded)
    if len({one and one.identity.journal for one in found}) > 1:
        raise SchemaMismatch(
            "BOOKING_DATABASE_URL and BOOKING_JOURNAL_URLS name databases of different journals"
        )
    if len({one and one.identity.generation for one in found}) > 1:
        raise SchemaMismatch(
            "the databases of the journal are of different generations: run `booking restore-done`"
        )
    return found[0]


async def restored(dsns: Sequence[str], *, noticed: bool = False) -> bool:
    """Begin another generation of the journal, after a restore from a backup; whether it was done.

    With ``noticed``, only if a database is a copy of the one that was last migrated, and nobody
    runs on it; a fail-over under running instances is none. Raises :class:`SchemaMismatch` while
    instances run, and as :func:`check`.
    """
    for number, dsn in enumerate(dsns):
        _compare(await _look(dsn), number, dsns)
    states = [await _fetch(dsn, "state") for dsn in dsns]
    live = states[0]["live"]
    if noticed and (live or not any(state["moved"] for state in states)):
        for dsn in dsns:
            await _fetch(dsn, "settle")
        return False
    if live:
        raise SchemaMismatch(
            "instances still run on this journal, or did some seconds before: stop every one of "
            "them first, and then repeat this"
        )
    generation = secrets.randbits(GENERATION_BITS) or 1
    for dsn in dsns:
        await _fetch(dsn, "renew", generation)
    return True


def _compare(recorded: PartRecord | None, number: int, dsns: Sequence[str]) -> None:
    if recorded is None and len(dsns) == 1:
        return
    if recorded is None or (recorded.parts == 1 < len(dsns)):
        raise SchemaMismatch(
            f"{_name(number, dsns)} is not recorded as a part of this journal yet: "
            "run `booking migrate`"
        )
    if (recorded.part, recorded.parts) != (number, len(dsns)):
        raise SchemaMismatch(
            f"{_name(number, dsns)} is number {recorded.part + 1} of the {recorded.parts} "
            "databases of its journal: BOOKING_DATABASE_URL and BOOKING_JOURNAL_URLS have to name "
            "all of them, in the order they were first given"
        )


async def _record(dsns: Sequence[str]) -> None:
    """The first database decides about the journal's identity; the others follow."""
    first: Identity | None = None
    for number, dsn in enumerate(dsns):
        recorded = await _look(dsn)
        assert recorded is not None, "a migration writes it"
        if recorded.parts == 1:
            if (await _fetch(dsn, "begun"))[0]:
                raise SchemaMismatch(
                    f"{_name(number, dsns)} holds a journal that was begun in one database: it "
                    "cannot be spread by a setting, see docs/how-to/outgrow-one-postgres.md"
                )
            own = first or recorded.identity
            await _fetch(dsn, "record", own.journal, number, len(dsns), own.generation)
            recorded = await _look(dsn)
            assert recorded is not None, "what was written just now is gone"
        first = first or recorded.identity


async def _look(dsn: str) -> PartRecord | None:
    """What is recorded; nothing in a database of an earlier release, or not migrated yet."""
    try:
        found = await _fetch(dsn, "identity")
    except asyncpg.UndefinedTableError:
        return None
    if found is None:
        return None
    journal, part, parts, generation, renewed_ms = found
    return PartRecord(Identity(journal, generation, renewed_ms), part, parts)


async def _fetch(dsn: str, name: str, *values: object) -> Any:
    """The first row of a statement."""
    async with connection_to(dsn) as connection:
        return await connection.fetchrow(_SQL[name].replace("{here}", _HERE), *values)


def _name(number: int, dsns: Sequence[str]) -> str:
    """The database without its address, which may hold a password."""
    return "the database" if len(dsns) == 1 else f"database {number + 1} of {len(dsns)}"
