"""Named SQL statements, and connections to PostgreSQL that are opened when needed and thrown away
after any doubt.

A ``.sql`` file holds statements, each under a line ``-- name: ...``. Parameters ``:name`` become
the server's ``$1``, ``$2``, ... here, so that statements can be composed from parts. A connection
that got no answer in time is thrown away, because its next answer may belong to the last
question.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import cache
from importlib.resources import files
from typing import Any

import asyncpg
import msgspec

from actors.journal.contract import JournalError

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_COMMENT = re.compile(r"--.*$", re.MULTILINE)
_PARAMETER = re.compile(r"(?<![:\w]):([a-z]\w*)")


class Statement(msgspec.Struct, frozen=True):
    """One statement as the server gets it, and the names of its parameters in order."""

    text: str
    parameters: tuple[str, ...]

    def arguments(self, values: Mapping[str, Any]) -> list[Any]:
        """The values in the order of the parameters; a missing one is a ``KeyError``."""
        return [values[name] for name in self.parameters]


@cache
def texts(package: str, file: str) -> Mapping[str, str]:
    """The statements of a package's file as written, by name and without comments."""
    pieces = _NAME.split(files(package).joinpath(file).read_text("utf-8"))
    names, bodies = pieces[1::2], pieces[2::2]
    assert len(set(names)) == len(names), f"{file} names a statement twice"
    return {name: _COMMENT.sub("", body).strip() for name, body in zip(names, bodies, strict=True)}


def numbered(text: str) -> Statement:
    """Replace each ``:name`` by its number, in order of first use."""
    numbers: dict[str, int] = {}

    def number(match: re.Match[str]) -> str:
        return f"${numbers.setdefault(match[1], len(numbers) + 1)}"

    return Statement(_PARAMETER.sub(number, text), tuple(numbers))


@cache
def statements(package: str, file: str) -> Mapping[str, Statement]:
    """The statements of a package's file by name, ready to be sent."""
    return {name: numbered(text) for name, text in texts(package, file).items()}


CONNECT_TIMEOUT_S = 2.0
"""A server nearby accepts in milliseconds; more is an outage that callers should learn of."""
BACK_OFF_FIRST_S = 0.05
BACK_OFF_MAX_S = 1.0
"""Between two attempts to connect: soon enough, and no flood for a server that starts up."""
CLOSE_TIMEOUT_S = 1.0

_SQL = statements("actors.connections", "connection.sql")

TROUBLE = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""All that a server or a connection to it can do. It is waited out, unless :func:`is_ours`."""

_OUR_CLASSES = ("21", "22", "23", "42")
"""Of SQLSTATE: too many rows, a wrong value, a constraint, a statement that is not understood."""
_NOT_OURS = (
    "42501",  # A grant is missing, which is for an operator to mend.
    "42P05",  # Somebody else's statement has this name on the connection of a pooler.
)


def is_ours(error: BaseException) -> bool:
    """Whether an error is proven to be our statement's fault, so that repeating is vain."""
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        return state[:2] in _OUR_CLASSES and state not in _NOT_OURS
    # The driver's word for an argument that it cannot encode.
    return isinstance(error, asyncpg.InterfaceError) and isinstance(error, ValueError)


def trouble(error: BaseException) -> JournalError:
    """The error as PostgreSQL tells it: its name, SQLSTATE and first line."""
    if isinstance(error, asyncpg.PostgresError) and error.sqlstate:
        words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(error).__name__.removesuffix("Error"))
        cause = words.lower()
        return JournalError(f"{cause} ({error.sqlstate}): {error.args[0]}", cause)
    if isinstance(error, TimeoutError):
        return JournalError("the journal did not answer in time", "no_answer")
    return JournalError(f"{type(error).__name__}: {error}")


def _settings(timeout_s: float) -> dict[str, str]:
    """Settings of every connection. The server gives up when the client does; keep-alives find a
    client whose machine is gone, after 30 s + 3 * 5 s."""
    timeout_ms = str(round(timeout_s * 1000))
    return {
        "default_transaction_isolation": "read committed",
        # Each of them, whatever the role or the database has: another one's would end statements
        # or connections that are well.
        "statement_timeout": timeout_ms,
        "lock_timeout": timeout_ms,
        "transaction_timeout": timeout_ms,
        "idle_in_transaction_session_timeout": timeout_ms,
        "idle_session_timeout": "0",
        "tcp_keepalives_idle": "30",
        "tcp_keepalives_interval": "5",
        "tcp_keepalives_count": "3",
        # Arrays as parameters make every custom plan look different and none better.
        "plan_cache_mode": "force_generic_plan",
        "jit": "off",
    }


class Link:
    """One connection for one statement at a time, with more ``settings`` of the server.
    ``timeout_s`` limits a statement with its wait."""

    def __init__(self, dsn: str, timeout_s: float, **settings: str) -> None:
        self._dsn = dsn
        self._settings = _settings(timeout_s) | settings
        self._timeout_s = timeout_s
        self._connection: asyncpg.Connection | None = None
        self._turn = asyncio.Lock()
        self._failures = 0
        self._not_before_s = 0.0
        self._closed = False

    async def fetch(self, query: Statement, /, **values: Any) -> Sequence[asyncpg.Record]:
        """Run one statement in a transaction of its own. Raises :class:`JournalError` without an
        answer in time; then it may have been carried out or not."""
        arguments = query.arguments(values)
        try:
            async with asyncio.timeout(self._timeout_s), self._turn:
                return await self._fetch(query.text, arguments)
        except TROUBLE as error:
            if is_ours(error):
                raise
            raise trouble(error) from error

    async def _fetch(self, text: str, arguments: list[Any]) -> Sequence[asyncpg.Record]:
        connection = self._connection
        if connection is None or connection.is_closed():
            connection = await self._connect()
        try:
            return await connection.fetch(text, *arguments)
        except asyncpg.IntegrityConstraintViolationError:
            raise  # the server's answer, as good as any
        except BaseException as error:
            # Also when the caller was cancelled: the answer is still on its way.
            lost = isinstance(error, asyncpg.InterfaceError) and connection.is_closed()
            connection.terminate()
            self._connection = None
            if lost:
                raise ConnectionError("the connection was lost") from error
            raise

    async def _connect(self) -> asyncpg.Connection:
        if self._closed:
            raise ConnectionError("the journal was closed")
        if time.monotonic() < self._not_before_s:
            raise ConnectionError("the journal is out of reach; trying again shortly")
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                connection = await self._open()
        except BaseException:
            pause_s = min(BACK_OFF_MAX_S, BACK_OFF_FIRST_S * 2 ** min(self._failures, 10))
            self._failures += 1
            self._not_before_s = time.monotonic() + pause_s
            raise
        self._failures = 0
        self._connection = connection
        return connection

    async def _open(self) -> asyncpg.Connection:
        # Statements are few and fixed: they are prepared once and kept as long as the connection.
        connection = await asyncpg.connect(
            self._dsn, timeout=CONNECT_TIMEOUT_S, max_cached_statement_lifetime=0
        )
        try:
            await configure(connection, self._settings)
        except BaseException:
            connection.terminate()
            raise
        return connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[asyncpg.Connection]:
        """Several statements, all of them or none: whatever is raised before the end throws the
        connection away, and the server undoes them. Raises what asyncpg does."""
        async with self._turn:
            connection = self._connection
            if connection is None or connection.is_closed():
                connection = await self._connect()
            try:
                await connection.execute("BEGIN")
                yield connection
                # Of one in which a statement failed the server only says that it is over.
                ended = await connection.execute("COMMIT")
                assert ended == "COMMIT", "a statement of the transaction failed"
            except BaseException:
                connection.terminate()
                self._connection = None
                raise

    async def close(self) -> None:
        """Say goodbye, or hang up if that takes too long. A statement under way is cut off."""
        self._closed = True
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            await connection.close(timeout=CLOSE_TIMEOUT_S)
        except TROUBLE:
            connection.terminate()


class LinkPool:
    """A pool of ``size`` links; the one used last is used next, so that few stay warm."""

    def __init__(self, dsn: str, timeout_s: float, size: int, **settings: str) -> None:
        self._links = [Link(dsn, timeout_s, **settings) for _ in range(size)]
        self._timeout_s = timeout_s
        self._free: asyncio.LifoQueue[Link] = asyncio.LifoQueue(size)
        for link in self._links:
            self._free.put_nowait(link)

    async def fetch(self, query: Statement, /, **values: Any) -> Sequence[asyncpg.Record]:
        """As :meth:`Link.fetch`; waiting for a free link counts as not being answered."""
        try:
            async with asyncio.timeout(self._timeout_s):
                link = await self._free.get()
        except TimeoutError as error:
            raise JournalError("all connections to the journal are busy") from error
        try:
            return await link.fetch(query, **values)
        finally:
            self._free.put_nowait(link)

    async def close(self) -> None:
        """Close every link."""
        await asyncio.gather(*(link.close() for link in self._links))


@asynccontextmanager
async def connected(dsn: str, timeout_s: float, name: str) -> AsyncIterator[asyncpg.Connection]:
    """A plain connection, shown to the server under this name; raises what asyncpg raises."""
    server = {"application_name": name}
    connection = await asyncpg.connect(dsn, timeout=timeout_s, server_settings=server)
    try:
        await configure(connection, dict.fromkeys(_TIMEOUTS, "0"))
        yield connection
    finally:
        with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            await connection.close(timeout=timeout_s)


_TIMEOUTS = (
    "statement_timeout",
    "lock_timeout",
    "transaction_timeout",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
)
"""None of the database's or the role's: a migration or an audit takes as long as it takes."""


async def configure(connection: asyncpg.Connection, settings: Mapping[str, str]) -> None:
    """Set what the server knows of these, and have commits wait for the disk."""
    await connection.fetch(_SQL["configure"].text, list(settings), list(settings.values()))
    await connection.execute(_SQL["keep_promises"].text)
