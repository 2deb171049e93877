"""The rows, in PostgreSQL or MariaDB, with the same few questions to both."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, ClassVar

import asyncmy
import asyncpg

from bench.methods.way import OPENING, SEATS_FROM, Command, Totals, Way

POOL = 16
"""Connections of one process: eight for each of two cores."""

Row = tuple[int, int]
"""Value and version."""


class Database(ABC):
    """A pool of connections to the rows."""

    @classmethod
    async def open(cls, url: str) -> Database:
        """Connect to what is behind ``url``: a file is MariaDB's socket."""
        kind: type[Database] = MariaDB if url.startswith("/") else Postgres
        database = kind()
        await database._connect(url)
        return database

    @abstractmethod
    async def _connect(self, url: str) -> None: ...

    @abstractmethod
    async def close(self) -> None:
        """Close all connections."""

    @abstractmethod
    def session(self) -> AbstractAsyncContextManager[Any]:
        """A connection for single statements."""

    @abstractmethod
    def transaction(self, isolation: str = "") -> AbstractAsyncContextManager[Any]:
        """A connection in a transaction, committed at the end unless an error leaves it."""

    @abstractmethod
    def begun(self, session: Any) -> AbstractAsyncContextManager[None]:
        """A transaction on a connection that is there already."""

    @abstractmethod
    async def read(self, session: Any, row: int, *, lock: bool = False) -> Row:
        """A row, locked for this transaction if wanted."""

    @abstractmethod
    async def write(
        self, session: Any, command: Command, value: int, version: int | None = None
    ) -> bool:
        """Write the row and the command's entry; false if the row's version is another one."""

    @abstractmethod
    async def run(self, *statements: str) -> None:
        """Run statements one after the other."""

    @abstractmethod
    async def number(self, statement: str) -> int:
        """The first column of the first row."""

    async def prepare(self, users: int, seats: int) -> None:
        """Make both tables anew."""
        last = SEATS_FROM + seats - 1
        await self.run(
            "DROP TABLE IF EXISTS state, entry",
            "CREATE TABLE state (id INT PRIMARY KEY, value BIGINT NOT NULL, version INT NOT NULL)",
            "CREATE TABLE entry (command CHAR(32) PRIMARY KEY, id INT NOT NULL, "
            "amount BIGINT NOT NULL, value BIGINT NOT NULL)",
            f"INSERT INTO state {self._numbers(0, users - 1, OPENING)}",
            f"INSERT INTO state {self._numbers(SEATS_FROM, last, 0)}",
            self._analyze,
        )

    async def totals(self, seats: Sequence[int]) -> Totals:
        """What the table says."""
        low, high = (SEATS_FROM + edge for edge in (min(seats), max(seats)))
        users = f"SELECT SUM(value) FROM state WHERE id < {SEATS_FROM}"
        taken = f"SELECT COUNT(*) FROM state WHERE id BETWEEN {low} AND {high} AND value > 0"
        return Totals(int(await self.number(users)), await self.number(taken))

    _analyze: ClassVar[str]

    @abstractmethod
    def _numbers(self, first: int, last: int, value: int) -> str: ...


class Postgres(Database):
    """Through asyncpg, whose statements stay prepared. Nothing is set in a session, so none is
    reset when its connection goes back to the pool: that is a round trip, as much as a read."""

    _analyze = "ANALYZE state"

    async def _connect(self, url: str) -> None:
        async def reset(_: object) -> None:
            pass

        self._pool = await asyncpg.create_pool(url, min_size=POOL, max_size=POOL, reset=reset)

    async def close(self) -> None:
        await self._pool.close()

    def session(self) -> AbstractAsyncContextManager[Any]:
        return self._pool.acquire()

    @asynccontextmanager
    async def transaction(self, isolation: str = "") -> AsyncIterator[Any]:
        level: Any = isolation or None
        async with self._pool.acquire() as session, session.transaction(isolation=level):
            yield session

    def begun(self, session: Any) -> AbstractAsyncContextManager[None]:
        begun: AbstractAsyncContextManager[None] = session.transaction()
        return begun

    async def read(self, session: Any, row: int, *, lock: bool = False) -> Row:
        question = "SELECT value, version FROM state WHERE id = $1" + " FOR UPDATE" * lock
        return tuple(await session.fetchrow(question, row))

    async def write(
        self, session: Any, command: Command, value: int, version: int | None = None
    ) -> bool:
        # Both in one statement: a round trip less while others wait.
        same, more = ("", []) if version is None else (" AND version = $5", [version])
        tag = await session.execute(
            "WITH written AS (UPDATE state SET value = $4, version = version + 1 "
            f"WHERE id = $2{same} RETURNING id) "
            "INSERT INTO entry SELECT $1, id, $3, $4 FROM written",
            *(command.id, command.row, command.amount, value, *more),
        )
        return bool(tag == "INSERT 0 1")

    async def run(self, *statements: str) -> None:
        for statement in statements:
            await self._pool.execute(statement)

    async def number(self, statement: str) -> int:
        return int(await self._pool.fetchval(statement))

    def _numbers(self, first: int, last: int, value: int) -> str:
        return f"SELECT n, {value}, 0 FROM generate_series({first}, {last}) n"


class MariaDB(Database):
    """Through asyncmy. Statements are prepared nowhere: the driver has none."""

    _analyze = "ANALYZE TABLE state"

    async def _connect(self, url: str) -> None:
        self._pool = await asyncmy.create_pool(
            POOL, POOL, unix_socket=url, user="root", autocommit=True
        )
        await self.run("CREATE DATABASE IF NOT EXISTS ways")
        self._pool.close()
        await self._pool.wait_closed()
        self._pool = await asyncmy.create_pool(
            POOL, POOL, unix_socket=url, user="root", db="ways", autocommit=True
        )

    async def close(self) -> None:
        self._pool.close()
        await self._pool.wait_closed()

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Any]:
        async with self._pool.acquire() as connection, connection.cursor() as cursor:
            yield cursor

    @asynccontextmanager
    async def transaction(self, isolation: str = "") -> AsyncIterator[Any]:
        async with self.session() as cursor, self.begun(cursor):
            yield cursor

    @asynccontextmanager
    async def begun(self, session: Any) -> AsyncIterator[None]:
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

    async def run(self, *statements: str) -> None:
        async with self.session() as cursor:
            for statement in statements:
                await cursor.execute(statement)

    async def number(self, statement: str) -> int:
        async with self.session() as cursor:
            await cursor.execute(statement)
            return int((await cursor.fetchone())[0])

    def _numbers(self, first: int, last: int, value: int) -> str:
        return f"SELECT seq, {value}, 0 FROM seq_{first}_to_{last}"


class DatabaseWay(Way):
    """A way whose rows are in a database: ``needs[0]``."""

    database: Database

    async def start(self) -> None:
        """Connect to the database."""
        self.database = await Database.open(self.urls[self.needs[0]][0])

    async def stop(self) -> None:
        """Disconnect from it."""
        await self.database.close()

    async def prepare(self, users: int, seats: int) -> None:
        await self.database.prepare(users, seats)

    async def totals(self, users: int, seats: Sequence[int]) -> Totals:
        return await self.database.totals(seats)
