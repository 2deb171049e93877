"""A private PostgreSQL that can be made cold, and the schema without its indexes."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import asyncpg

from actors.connections.postgres import texts
from booking.embedded import EmbeddedServers
from booking.readmodel import store

_SQL = texts("bench.tenmillion", "measure.sql")
NO_REDIS = "unix:///not-needed"
GB_PER_MILLION = 2.0
"""Disk that a million reservations may take, with payments, indexes and the log of writing them."""


class PrivateServer:
    """Started anew whenever its memory has to be empty."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._running: EmbeddedServers | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        assert self._running is not None
        return store.in_schema(self._running.database_url, store.SCHEMA)

    def start(self, *, durable: bool) -> None:
        """Start it; not durable: for what can be made again, with fsync off."""
        self._running = EmbeddedServers.start(self._directory, durable=durable, redis_url=NO_REDIS)

    def stop(self) -> None:
        """Stop it, if it runs."""
        if self._running is not None:
            self._running.stop()
            self._running = None

    def restart_cold(self) -> None:
        """Start it with nothing in memory: neither its own, nor the system's of its files."""
        self.stop()
        for folder, _, files in os.walk(self._directory):
            for file in files:
                with Path(folder, file).open("rb") as opened:
                    os.fsync(opened.fileno())
                    os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        self.start(durable=True)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[asyncpg.Connection]:
        """One connection in the schema."""
        connection = await asyncpg.connect(self.url, timeout=60)
        try:
            yield connection
        finally:
            await connection.close(timeout=60)


@contextmanager
def private_server(where: str, rows: int) -> Iterator[PrivateServer]:
    """A server of its own in a temporary directory, gone afterwards. :class:`OSError` if the disk
    is too small."""
    with tempfile.TemporaryDirectory(prefix="booking-rows-", dir=where or None) as name:
        needed_gb = 1 + rows / 1e6 * GB_PER_MILLION
        free_gb = shutil.disk_usage(name).free / 1e9
        if free_gb < needed_gb:
            raise OSError(f"{needed_gb:.0f} GB are needed in {name}, {free_gb:.0f} GB are free")
        # Root's PostgreSQL runs as another account, which has to get through to its data.
        Path(name).chmod(0o711)
        server = PrivateServer(Path(name))
        try:
            server.start(durable=False)
            yield server
        finally:
            server.stop()


async def take_indexes(connection: asyncpg.Connection, tables: Sequence[str]) -> dict[str, str]:
    """Drop every index of these tables; the statements that make them again, by name."""
    rows = await connection.fetch(_SQL["indexes"], list(tables))
    made: dict[str, str] = {}
    for name, table, index, key in rows:
        if key is None:
            made[name] = index
            await connection.execute(f"DROP INDEX {name}")
        else:
            made[name] = f"ALTER TABLE {table} ADD CONSTRAINT {name} {key}"
            await connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
    return made
