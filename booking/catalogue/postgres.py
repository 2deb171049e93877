"""The catalogue in Postgres, as a running instance uses it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import asyncpg

from actors.journal.contract import JournalError
from booking.catalogue import document, store
from booking.catalogue.contract import CatalogueSaved
from booking.catalogue.domain import Catalogue
from booking.catalogue.store import DATABASE_TROUBLE


class PostgresCatalogue:
    """Implements :class:`booking.catalogue.contract.CatalogueStore`."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: asyncpg.Connection | None = None
        self._one_at_a_time = asyncio.Lock()
        """A document of the largest size is some 100 MB while it is worked on."""

    async def version(self) -> int:
        """See the contract."""
        async with self._connected() as connection:
            return await store.version(connection)

    async def load(self) -> Catalogue:
        """See the contract."""
        async with self._connected() as connection:
            return await store.load(connection)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[asyncpg.Connection]:
        try:
            if self._connection is None:
                self._connection = await asyncpg.connect(
                    self._dsn, timeout=5.0, command_timeout=30.0
                )
            yield self._connection
        except DATABASE_TROUBLE as error:
            await self.close()
            raise JournalError(str(error) or type(error).__name__) from error

    async def save(self, text: bytes) -> CatalogueSaved:
        """See the contract."""
        return await self._import(lambda: document.parse(text))

    async def save_concert(self, concert: str, text: bytes) -> CatalogueSaved:
        """See the contract."""
        return await self._import(
            lambda: document.Document((document.parse_concert(text, concert),))
        )

    async def _import(self, read: Callable[[], document.Document]) -> CatalogueSaved:
        # In a thread with a loop of its own: reading a large document takes seconds of computing,
        # in which this instance would otherwise answer nobody.
        async with self._one_at_a_time:
            return await asyncio.to_thread(self._import_now, read)

    def _import_now(self, read: Callable[[], document.Document]) -> CatalogueSaved:
        wanted = read()
        try:
            version = asyncio.run(store.save(self._dsn, wanted))
        except DATABASE_TROUBLE as error:
            raise JournalError(str(error) or type(error).__name__) from error
        dates = sum(len(concert.dates) for concert in wanted.concerts)
        return CatalogueSaved(concerts=len(wanted.concerts), dates=dates, version=version)

    async def close(self) -> None:
        """See the contract."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.terminate()
