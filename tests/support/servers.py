"""Real servers for tests: private ones started once, or those named in the environment."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from booking.embedded import EmbeddedServers

T = TypeVar("T")

_MEMORY = "/dev/shm"
_MEMORY_BYTES_MIN = 4 << 30
"""For three processes of tests with a few databases of 10 MB each and their WAL, and for others."""

REDIS_DATABASES = range(1, 16)
"""A server has 16 logical databases by default; 0 is left alone."""


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine from a plain fixture, leaving no trace in the thread's event loop."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        return runner.run(work)


@contextmanager
def temporary_data_dir() -> Iterator[Path]:
    """A short-named directory that the servers' account can enter: pytest's own temporary
    directories lie under one that is closed to everybody but root when root runs the tests."""
    path = Path(tempfile.mkdtemp(prefix="bkt-", dir=_roomiest()))
    path.chmod(0o711)
    try:
        yield path
    finally:
        shutil.rmtree(path)


def _roomiest() -> str:
    """A file system in memory if there is one with room: each test's database is some 300 files,
    and to make and remove them took a third of the tests' time on ext4, which passes over whatever
    was removed within the last minutes. No test loses the machine's memory."""
    try:
        about = os.statvfs(_MEMORY)
    except OSError:
        return "/tmp"
    room = about.f_bavail * about.f_frsize
    return _MEMORY if room >= _MEMORY_BYTES_MIN and os.access(_MEMORY, os.W_OK) else "/tmp"


@contextmanager
def own_servers(
    *, durable: bool = False, database_url: str = "", redis_url: str = ""
) -> Iterator[EmbeddedServers]:
    """Servers of one test's own, which it may end or stop. One whose URL is given is somebody
    else's."""
    with temporary_data_dir() as directory:
        embedded = EmbeddedServers.start(
            directory, durable=durable, database_url=database_url, redis_url=redis_url
        )
        try:
            yield embedded
        finally:
            embedded.stop(quick=True)


@asynccontextmanager
async def silent_server() -> AsyncIterator[int]:
    """The port of a server that accepts connections and never answers."""

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


class TestServers:
    """A PostgreSQL and a Redis for one test session, and databases of their own for its tests."""

    __test__ = False

    def __init__(self, database_url: str, redis_url: str) -> None:
        self.database_url = database_url
        self.redis_url = redis_url
        self._template = ""
        self._numbers = itertools.count(1)
        self._prefix = f"t{os.getpid()}"

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[TestServers]:
        """Those of ``BOOKING_TEST_DATABASE_URL`` and ``BOOKING_TEST_REDIS_URL``, else private
        ones that end with the session."""
        database_url = os.environ.get("BOOKING_TEST_DATABASE_URL", "")
        redis_url = os.environ.get("BOOKING_TEST_REDIS_URL", "")
        with own_servers(database_url=database_url, redis_url=redis_url) as embedded:
            servers = cls(embedded.database_url, embedded.redis_url)
            try:
                yield servers
            finally:
                servers.drop_template()

    @contextmanager
    def database(self, *, migrated: bool) -> Iterator[str]:
        """The URL of a database of its own, dropped afterwards."""
        with self._made_of(self._migrated_template() if migrated else "") as url:
            yield url

    @contextmanager
    def copy_of(self, url: str) -> Iterator[str]:
        """A copy of a database that nobody is connected to, dropped afterwards."""
        with self._made_of(urlsplit(url).path.removeprefix("/")) as copy:
            yield copy

    @contextmanager
    def _made_of(self, template: str) -> Iterator[str]:
        name = f"{self._prefix}_{next(self._numbers)}"
        self._execute(f'CREATE DATABASE "{name}"' + (f' TEMPLATE "{template}"' if template else ""))
        try:
            yield self._url_of(name)
        finally:
            self._execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    def redis(self) -> str:
        """The URL of an empty logical database. A URL that names one keeps to that one."""
        import redis

        url = self.redis_url
        if not os.environ.get("BOOKING_TEST_REDIS_URL"):
            number = REDIS_DATABASES[next(self._numbers) % len(REDIS_DATABASES)]
            url = f"{url}?db={number}"
        with redis.Redis.from_url(url) as client:
            client.flushdb()
        return url

    def drop_template(self) -> None:
        if self._template:
            self._execute(f'DROP DATABASE "{self._template}"')

    def _migrated_template(self) -> str:
        if not self._template:
            from booking.schema import migrate

            name = f"{self._prefix}_template"
            self._execute(f'CREATE DATABASE "{name}"')
            self._template = name
            run(migrate.migrate(self._url_of(name)))
        return self._template

    def _url_of(self, name: str) -> str:
        return urlunsplit(urlsplit(self.database_url)._replace(path=f"/{name}"))

    def _execute(self, statement: str) -> None:
        async def execute() -> None:
            connection = await asyncpg.connect(self.database_url)
            try:
                await connection.execute(statement)
            finally:
                await connection.close()

        run(execute())
