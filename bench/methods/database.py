"""The rows, in PostgreSQL or MariaDB, with the same few questions to both."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar
from urllib.parse import urlsplit

import asyncmy
import asyncpg

from bench.methods.components import Components
from bench.methods.way import OPENING, SEATS_FROM, WAIT_S, Command, Totals, Way

POOL = 16
"""Connections of one process: eight for each of two cores."""

Row = tuple[int, int]
"""Value and version."""
T = TypeVar("T")


class Postgres:
    """A pool of connections through asyncpg, whose statements stay prepared. Nothing is set in a
    session, so none is reset when its connection goes back to the pool: that is a round trip, as
    much as a read. A wait for a lock has an end."""

    analyze = "ANALYZE state"
    room = "WITH (fillfactor = 50)"
    """For new versions of a row beside the old ones, so that the index need not change."""
    commits = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
    """How many transactions have written, by the numbers they take."""

    def __init__(
        self, url: str, connections: int = POOL, name: str = "ways", opened: int = 0
    ) -> None:
        """``name`` is a database that MariaDB makes if there is none; else the URL has it. All
        connections are opened at once, unless ``opened`` are enough to begin with."""
        self.url, self.connections, self.name = url, connections, name
        self.opened = opened or connections

    async def open(self) -> None:
        """Connect."""

        async def reset(_: object) -> None:
            pass

        settings = {"lock_timeout": f"{WAIT_S:.0f}s"}
        self._pool: Any = await asyncpg.create_pool(
            self.url,
            min_size=self.opened,
            max_size=self.connections,
            reset=reset,
            server_settings=settings,
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.close()

    def session(self) -> AbstractAsyncContextManager[Any]:
        """A connection for single statements."""
        session: AbstractAsyncContextManager[Any] = self._pool.acquire()
        return session

    @asynccontextmanager
    async def transaction(self, isolation: str | None = None) -> AsyncIterator[Any]:
        """A connection in a transaction, committed at the end unless an error leaves it."""
        async with self.session() as session, self.begun(session, isolation):
            yield session

    def begun(self, session: Any, isolation: str | None = None) -> AbstractAsyncContextManager[Any]:
        """A transaction on a connection that is there already."""
        begun: AbstractAsyncContextManager[Any] = session.transaction(isolation=isolation)
        return begun

    async def read(self, session: Any, row: int, *, lock: bool = False) -> Row:
        """A row, locked for this transaction if wanted."""
        question = "SELECT value, version FROM state WHERE id = $1" + " FOR UPDATE" * lock
        return tuple(await session.fetchrow(question, row))

    async def write(
        self, session: Any, command: Command, value: int, version: int | None = None
    ) -> bool:
        """Write the row and the command's entry; false if the row's version is another one. Both
        in one statement: a round trip less while others wait."""
        same, more = ("", []) if version is None else (" AND version = $5", [version])
        tag = await session.execute(
            "WITH written AS (UPDATE state SET value = $4, version = version + 1 "
            f"WHERE id = $2{same} RETURNING id) "
            "INSERT INTO entry SELECT $1, id, $3, $4 FROM written",
            *(command.id, command.row, command.amount, value, *more),
        )
        return bool(tag == "INSERT 0 1")

    async def run(self, *statements: str) -> None:
        """Run statements one after the other."""
        async with self.session() as session:
            for statement in statements:
                await session.execute(statement)

    async def number(self, statement: str) -> int:
        """The first column of the first row."""
        return int(await self._pool.fetchval(statement))

    async def prepare(self, users: int, seats: int) -> None:
        """Make both tables anew."""
        await self.run(
            "DROP TABLE IF EXISTS state, entry",
            "CREATE TABLE state (id INT PRIMARY KEY, value BIGINT NOT NULL, version INT NOT NULL) "
            + self.room,
            "CREATE TABLE entry (command CHAR(32) PRIMARY KEY, id INT NOT NULL, "
            "amount BIGINT NOT NULL, value BIGINT NOT NULL)",
            f"INSERT INTO state {self.numbers(0, users - 1, OPENING)}",
            f"INSERT INTO state {self.numbers(SEATS_FROM, SEATS_FROM + seats - 1, 0)}",
            self.analyze,
        )

    def numbers(self, first: int, last: int, value: int) -> str:
        """A query for new rows."""
        return f"SELECT n, {value}, 0 FROM generate_series({first}, {last}) n"

    async def totals(self, seats: Sequence[int]) -> Totals:
        """What the table says."""
        low, high = (SEATS_FROM + edge for edge in (min(seats), max(seats)))
        users = f"SELECT SUM(value) FROM state WHERE id < {SEATS_FROM}"
        taken = f"SELECT COUNT(*) FROM state WHERE id BETWEEN {low} AND {high} AND value > 0"
        return Totals(await self.number(users), await self.number(taken))


class MariaDB(Postgres):
    """The same through asyncmy. Statements are prepared nowhere: the driver has none."""

    analyze = "ANALYZE TABLE state"
    room = ""
    commits = """SELECT variable_value FROM information_schema.global_status
    WHERE variable_name = 'COM_COMMIT'"""

    async def open(self) -> None:
        settings: dict[str, Any] = {"unix_socket": self.url, "user": "root", "autocommit": True}
        first = await asyncmy.connect(**settings)
        async with first.cursor() as cursor:
            await cursor.execute("SET sql_notes = 0")
            await cursor.execute(f"CREATE DATABASE IF NOT EXISTS {self.name}")
        await first.ensure_closed()
        settings["init_command"] = f"SET innodb_lock_wait_timeout = {WAIT_S:.0f}, sql_notes = 0"
        settings |= {"db": self.name, "minsize": self.opened, "maxsize": self.connections}
        self._pool = await asyncmy.create_pool(**settings)

    async def close(self) -> None:
        self._pool.close()
        await self._pool.wait_closed()

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Any]:
        async with self._pool.acquire() as connection, connection.cursor() as cursor:
            yield cursor

    @asynccontextmanager
    async def begun(self, session: Any, isolation: str | None = None) -> AsyncIterator[Any]:
        await session.execute("BEGIN")
        try:
            yield
        except Exception:
            await session.execute("ROLLBACK")
            raise
        await session.execute("COMMIT")

    async def read(self, session: Any, row: int, *, lock: bool = False) -> Row:
        question = "SELECT value, version FROM state WHERE id = %s" + " FOR UPDATE" * lock
        await session.execute(question, (row,))
        value, version = await session.fetchone()
        return value, version

    async def write(
        self, session: Any, command: Command, value: int, version: int | None = None
    ) -> bool:
        same, more = ("", []) if version is None else (" AND version = %s", [version])
        update = f"UPDATE state SET value = %s, version = version + 1 WHERE id = %s{same}"
        if not await session.execute(update, (value, command.row, *more)):
            return False
        insert = "INSERT INTO entry VALUES (%s, %s, %s, %s)"
        await session.execute(insert, (command.id, command.row, command.amount, value))
        return True

    async def number(self, statement: str) -> int:
        async with self.session() as cursor:
            await cursor.execute(statement)
            return int((await cursor.fetchone())[0])

    def numbers(self, first: int, last: int, value: int) -> str:
        return f"SELECT seq, {value}, 0 FROM seq_{first}_to_{last}"


def database_at(url: str, connections: int = POOL) -> Postgres:
    """What is behind ``url``: a file is MariaDB's socket."""
    return (MariaDB if url.startswith("/") else Postgres)(url, connections)


def ask(database: Postgres, question: Callable[[], Awaitable[T]]) -> T:
    """One question, over a connection of its own."""

    async def asked() -> T:
        await database.open()
        try:
            return await question()
        finally:
            await database.close()

    return asyncio.run(asked())


def commits(components: Components, name: str) -> int:
    """How many transactions have written to a database since it was made."""
    database = database_at(components[name].url, 1)
    return ask(database, lambda: database.number(database.commits))


def fresh_database(components: Components, name: str) -> str:
    """The URL of a new PostgreSQL database."""
    url = components["postgres"].url
    database = Postgres(url, 1)
    drop = f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"
    ask(database, lambda: database.run(drop, f"CREATE DATABASE {name}"))
    return urlsplit(url)._replace(path=f"/{name}").geturl()


class DatabaseWay(Way):
    """A way whose rows are in a database: ``needs[0]``."""

    async def start(self) -> None:
        """Connect to the database."""
        self.database = database_at(self.urls[self.needs[0]][0])
        await self.database.open()

    async def stop(self) -> None:
        """Disconnect from it."""
        await self.database.close()

    async def prepare(self, users: int, seats: int) -> None:
        await self.database.prepare(users, seats)

    async def totals(self, users: int, seats: Sequence[int]) -> Totals:
        return await self.database.totals(seats)
