"""The way to PostgreSQL, to be closed for whoever goes this way and for nobody else."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import parse_qs, urlsplit

CHUNK_BYTES = 65_536


class Gate:
    """Passes connections on to a server's socket. Closed, it is a network that drops packets:
    connections stay, and nothing arrives or is refused. ``url`` is the database's, through here."""

    def __init__(self, database_url: str, directory: str) -> None:
        query = parse_qs(urlsplit(database_url).query)
        [there], [port] = query["host"], query["port"]
        self._target, self._path = (Path(each) / f".s.PGSQL.{port}" for each in (there, directory))
        self.url = database_url.replace(f"host={there}", f"host={directory}")
        self._open = asyncio.Event()
        self._open.set()
        self._pumps: set[asyncio.Task[None]] = set()

    def close(self) -> None:
        self._open.clear()

    def open(self) -> None:
        self._open.set()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._pumps.add(task)
        task.add_done_callback(self._pumps.discard)
        try:
            await self._open.wait()
            there = await asyncio.open_unix_connection(self._target)
        except OSError:
            writer.close()
            return
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass(reader, there[1]))
                both.create_task(self._pass(there[0], writer))
        finally:
            there[1].close()
            writer.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(CHUNK_BYTES):
                await self._open.wait()
                writer.write(data)
                await writer.drain()
        writer.close()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Gate]:
        """Listen while this lasts."""
        server = await asyncio.start_unix_server(self._connected, self._path)
        try:
            yield self
        finally:
            server.close()
            self.open()
            for pump in self._pumps:
                pump.cancel()
            await asyncio.gather(*self._pumps, return_exceptions=True)


@asynccontextmanager
async def gate_to(database_url: str) -> AsyncIterator[Gate]:
    """A gate that is open until a test closes it. Its socket's path has to be short."""
    with TemporaryDirectory(prefix="gate-") as directory:
        async with Gate(database_url, directory).serving() as gate:
            yield gate
