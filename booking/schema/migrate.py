"""The migration runner: numbered SQL files, forward only.

Each ``NNNN_name.sql`` is applied once, in order, in a transaction with its line in
``schema_migrations``. A released file is never changed.

A file that only adds says so in a line ``-- compatible_from: N``: programs that know the migrations
up to N go on with it. So a release's migrations can be applied before its instances.
"""

import re
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from functools import cache
from hashlib import sha256
from importlib import resources

import asyncpg
import msgspec

from actors.connections.postgres import connected

LOCK = 0x626F6F6B696E67
"""The advisory lock that migrations hold: any number that is only ours ("booking" in ASCII)."""
LOCK_TIMEOUT_S = 60
"""How long one starter waits for another one's migrations, and a migration for a table lock."""
CONNECT_TIMEOUT_S = 10.0

POOLER_TRIES = 3
"""A pooler gives the connection used last to the next one who asks, unless others come between."""

_POOLED = (
    "the database is reached through a pooler in transaction mode (pool_mode=transaction): "
    "name the server itself, or a pooler in session mode"
)
_FILE_NAME = re.compile(r"(\d{4})_(\w+)\.sql")
_COMPATIBLE_FROM = re.compile(r"^-- compatible_from: (\d+)$", re.MULTILINE)

_CREATE_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version    integer     PRIMARY KEY,
    name       text        NOT NULL,
    checksum   text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""
_ADD_COMPATIBLE_FROM = (
    "ALTER TABLE schema_migrations ADD COLUMN IF NOT EXISTS compatible_from integer"
)
_APPLIED = """
SELECT version, name, checksum,
       -- In this way because databases of earlier releases do not have the column.
       coalesce((to_jsonb(applied) ->> 'compatible_from')::integer, version) AS compatible_from
FROM schema_migrations AS applied ORDER BY version
"""
_REMEMBER = """
INSERT INTO schema_migrations (version, name, checksum, compatible_from) VALUES ($1, $2, $3, $4)
"""


class SchemaMismatch(Exception):  # noqa: N818 -- named for what it says, as StopIteration is
    """The database's schema is not the one this program knows; one line for the operator."""


class Migration(msgspec.Struct, frozen=True):
    """One numbered file."""

    version: int
    name: str
    sql: str

    @property
    def label(self) -> str:
        """The file's name without its ending."""
        return f"{self.version:04}_{self.name}"

    @property
    def checksum(self) -> str:
        """Tells whether the file was changed after it was applied."""
        return sha256(self.sql.encode()).hexdigest()

    @property
    def compatible_from(self) -> int:
        """The oldest program that goes on with this migration, by the newest one it knows."""
        declared = _COMPATIBLE_FROM.search(self.sql)
        return self.version if declared is None else int(declared[1])


@cache
def known(package: str = "booking.schema") -> Sequence[Migration]:
    """The migrations of this program in a package, by version."""
    found = [
        Migration(int(match[1]), match[2], file.read_text("utf-8"))
        for file in resources.files(package).iterdir()
        if (match := _FILE_NAME.fullmatch(file.name))
    ]
    found.sort(key=lambda migration: migration.version)
    versions = [migration.version for migration in found]
    assert versions == sorted(set(versions)), f"migrations are misnumbered: {versions}"
    return found


def connection_to(dsn: str) -> AbstractAsyncContextManager[asyncpg.Connection]:
    """A connection for a task on the schema."""
    return connected(dsn, CONNECT_TIMEOUT_S, "booking migrate")


async def migrate(dsn: str) -> list[str]:
    """Bring the database to the newest version; returns the names of what was applied now.

    Several may call this at once. A newer database that this program can use is left as it is.
    Raises :class:`SchemaMismatch` if it cannot, and what asyncpg raises.
    """
    await refuse_pooler(dsn)
    async with connection_to(dsn) as connection:
        return await apply(connection)


async def apply(
    connection: asyncpg.Connection, migrations: Sequence[Migration] | None = None
) -> list[str]:
    """Apply these migrations in the connection's schema, as far as they are missing; their names.
    ``None``: those of the journal. Raises :class:`SchemaMismatch`."""
    labels: list[str] = []
    wanted = known() if migrations is None else migrations
    while (applied := await _apply_next(connection, wanted)) is not None:
        labels.append(applied)
    return labels


async def _apply_next(
    connection: asyncpg.Connection, migrations: Sequence[Migration]
) -> str | None:
    """Apply the first missing migration, under a lock of the transaction; its name or ``None``."""
    async with connection.transaction():
        await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_S}s'")
        await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
        await connection.execute(_CREATE_TABLE)
        await connection.execute(_ADD_COMPATIBLE_FROM)
        applied = await connection.fetch(_APPLIED)
        _compare(applied, migrations)
        missing = migrations[len(applied) :]
        if not missing:
            return None
        new = missing[0]
        await connection.execute(new.sql)
        row = (new.version, new.name, new.checksum, new.compatible_from)
        await connection.execute(_REMEMBER, *row)
        return new.label


async def refuse_pooler(dsn: str) -> None:
    """Raise :class:`SchemaMismatch` behind a pooler that hands out connections by the transaction:
    a session's settings would be somebody else's, a prepared statement nobody's."""
    try:
        async with connection_to(dsn) as one, connection_to(dsn) as other:
            for _ in range(POOLER_TRIES):
                pids = {await each.fetchval("SELECT pg_backend_pid()") for each in (one, other)}
                if len(pids) == 1:  # Two connections, and one process of the server behind both.
                    raise SchemaMismatch(_POOLED)
    except (asyncpg.InvalidSQLStatementNameError, asyncpg.DuplicatePreparedStatementError):
        raise SchemaMismatch(_POOLED) from None


async def check(dsn: str, migrations: Sequence[Migration] | None = None) -> None:
    """Raise :class:`SchemaMismatch` unless the database is one this program can go on with.
    ``None``: as the journal's."""
    await refuse_pooler(dsn)
    wanted = known() if migrations is None else migrations
    try:
        async with connection_to(dsn) as connection:
            applied = await connection.fetch(_APPLIED)
    except asyncpg.UndefinedTableError:
        applied = []
    if not applied:
        raise SchemaMismatch("the database has no booking schema yet: run `booking migrate`")
    _compare(applied, wanted)
    if missing := wanted[len(applied) :]:
        raise SchemaMismatch(
            f"the database schema is at version {applied[-1]['version']}, this program needs "
            f"{missing[-1].version}: run `booking migrate`"
        )


def _compare(applied: Sequence[asyncpg.Record], migrations: Sequence[Migration]) -> None:
    """One must be the beginning of the other, and the rest be compatible."""
    newest = migrations[-1].version
    needed = max((one["compatible_from"] for one in applied if one["version"] > newest), default=0)
    if needed > newest:
        raise SchemaMismatch(
            f"the database schema is at version {applied[-1]['version']}, newer than this program, "
            f"which knows {newest}; it needs one that knows {needed}: use a newer program"
        )
    for record, migration in zip(applied, migrations, strict=False):
        if (record["version"], record["checksum"]) != (migration.version, migration.checksum):
            raise SchemaMismatch(
                f"migration {record['version']:04}_{record['name']} was applied to the database "
                f"with another content than this program's {migration.label}: "
                "use the program that made it"
            )
