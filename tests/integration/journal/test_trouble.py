"""What a server may do to a statement: waited out, and told as the server tells it."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from actors.connections.postgres import Link, connected, is_ours, numbered, trouble
from actors.journal.contract import JournalError
from actors.journal.postgres import PostgresJournal
from booking.schema import migrate
from tests.support.journal_rows import address_in, batch, event, until
from tests.support.servers import temporary_data_dir

ADDRESS = address_in(3)


async def setting(database: asyncpg.Connection, name: str, value: str) -> None:
    current = await database.fetchval("SELECT current_database()")
    await database.execute(f"ALTER DATABASE \"{current}\" SET {name} = '{value}'")


async def shown(link: Link, name: str) -> str:
    [record] = await link.fetch(numbered(f"SELECT current_setting('{name}') AS value"))
    value: str = record["value"]
    return value


@pytest.mark.parametrize(
    "sqlstate", ["55P03", "53100", "XX000", "26000", "55006", "25006", "57P05"]
)
async def test_any_error_of_the_server_is_trouble(
    journal: PostgresJournal, database: asyncpg.Connection, sqlstate: str
) -> None:
    """Given a server that refuses rows with whatever state, then the append is in doubt and says
    why, and once the server takes rows again it goes on."""
    await journal.claim([(3, 0)], "one", "one-1")
    await database.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN RAISE EXCEPTION 'no room' USING ERRCODE = '{sqlstate}'; END $$"
    )
    await database.execute(
        "CREATE TRIGGER refuse BEFORE INSERT ON journal FOR EACH ROW EXECUTE FUNCTION refuse()"
    )
    with pytest.raises(JournalError, match=rf"\({sqlstate}\): no room"):
        await journal.append(0, batch(rows=[event(ADDRESS, 1)]))
    await database.execute("DROP TRIGGER refuse ON journal")
    assert not await journal.append(0, batch(rows=[event(ADDRESS, 1)]))


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (asyncpg.UndefinedColumnError, True),
        (asyncpg.PostgresSyntaxError, True),
        (asyncpg.UniqueViolationError, True),
        (asyncpg.NumericValueOutOfRangeError, True),
        (asyncpg.InsufficientPrivilegeError, False),
        (asyncpg.DuplicatePreparedStatementError, False),
        (asyncpg.LockNotAvailableError, False),
        (asyncpg.DiskFullError, False),
        (asyncpg.InternalServerError, False),
        (asyncpg.InterfaceError, False),
        (asyncpg.UnknownPostgresError, False),
    ],
)
def test_only_what_is_proven_to_be_ours_is(error: type[Exception], ours: bool) -> None:
    assert is_ours(error("words")) is ours


def test_the_cause_is_told_by_postgresqls_name() -> None:
    told = trouble(asyncpg.DiskFullError('could not extend file "base/1": No space left'))
    assert told.cause == "disk_full"
    assert str(told) == 'disk_full (53100): could not extend file "base/1": No space left'


async def test_a_sessions_time_outs_are_its_own(
    database: asyncpg.Connection, database_url: str
) -> None:
    for name in ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"):
        await setting(database, name, "1500ms")
    link = Link(database_url, 2.0)
    assert {await shown(link, n) for n in ("lock_timeout", "statement_timeout")} == {"2s"}
    assert await shown(link, "idle_in_transaction_session_timeout") == "2s"
    await link.close()
    async with connected(database_url, 2.0, "a long task") as plain:
        assert await plain.fetchval("SHOW statement_timeout") == "0"


@pytest.mark.parametrize(
    ("default", "used"),
    [("off", "on"), ("local", "on"), ("remote_write", "on"), ("remote_apply", "remote_apply")],
)
async def test_no_default_of_the_server_weakens_a_commit(
    database: asyncpg.Connection, database_url: str, default: str, used: str
) -> None:
    await setting(database, "synchronous_commit", default)
    link = Link(database_url, 2.0)
    assert await shown(link, "synchronous_commit") == used
    await link.close()
    async with connected(database_url, 2.0, "an import") as plain:
        assert await plain.fetchval("SHOW synchronous_commit") == used


# -- poolers ---------------------------------------------------------------------------------------


class Pooled:
    """A connection whose process of the server is given out by the transaction."""

    async def __aenter__(self) -> Pooled:
        return self

    async def __aexit__(self, *raised: object) -> None:
        pass

    async def fetchval(self, query: str) -> int:
        return 77


async def test_a_pooler_in_transaction_mode_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrate, "connection_to", lambda dsn: Pooled())
    for start in (migrate.migrate, migrate.check):
        with pytest.raises(migrate.SchemaMismatch, match="pooler in transaction mode"):
            await start("postgresql://pooled")


async def test_a_migration_leaves_no_lock_behind(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a connection that outlives the migration, as a pooler's does, then the next migration
    does not wait for a lock that it keeps."""
    kept = await asyncpg.connect(empty_database_url)

    @asynccontextmanager
    async def pooled(dsn: str) -> AsyncIterator[asyncpg.Connection]:
        yield kept

    async def no_pooler(dsn: str) -> None:
        """It would be found out."""

    monkeypatch.setattr(migrate, "connection_to", pooled)
    monkeypatch.setattr(migrate, "refuse_pooler", no_pooler, raising=False)
    assert await migrate.migrate(empty_database_url)
    locks = await kept.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
    await kept.close()
    assert locks == 0


@pytest.fixture
async def pgbouncer(empty_database_url: str) -> AsyncIterator[str]:
    """A real one in transaction mode before the database."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("pgbouncer is not installed")
        pytest.skip("pgbouncer is not installed: apt install pgbouncer")
    parts = urlsplit(empty_database_url)
    where = {name: values[0] for name, values in parse_qs(parts.query).items()}
    with temporary_data_dir() as directory, socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
        free.close()
        config = directory / "bouncer.ini"
        config.write_text(
            f"[databases]\n{parts.path[1:]} = host={where['host']} port={where['port']}"
            " user=booking\n[pgbouncer]\npool_mode = transaction\nauth_type = any\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        )
        config.chmod(0o644)
        owner = pwd.getpwuid(os.stat(where["host"]).st_uid).pw_name
        as_owner = ["-u", owner] if os.getuid() == 0 else []
        process = await asyncio.create_subprocess_exec(program, "-q", *as_owner, str(config))
        url = f"postgresql://booking@127.0.0.1:{port}{parts.path}"

        async def listens() -> bool:
            try:
                await (await asyncpg.connect(url)).close()
            except (OSError, asyncpg.PostgresError):
                assert process.returncode is None
                return False
            return True

        await until(listens)
        yield url
        process.terminate()
        await process.wait()


async def test_a_real_pooler_in_transaction_mode_is_named(pgbouncer: str) -> None:
    for start in (migrate.migrate, migrate.check):
        with pytest.raises(migrate.SchemaMismatch, match="pooler in transaction mode"):
            await start(pgbouncer)
