"""Imports of the catalogue while the service runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import asyncpg

from actors.journal.contract import JournalError
from booking.audit.admin import CatalogueSaved
from booking.catalogue import document, store


class StoredCatalogue:
    """Implements :class:`booking.audit.admin.CatalogueDesk`. Every instance takes over a new
    version by itself (:class:`booking.instance.background.CatalogueWatch`)."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._one_at_a_time = asyncio.Lock()
        """A document of the largest size is some 100 MB while it is worked on."""

    async def save(self, text: bytes) -> CatalogueSaved:
        return await self._import(lambda: document.parse(text))

    async def save_concert(self, concert: str, text: bytes) -> CatalogueSaved:
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
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise JournalError(str(error) or type(error).__name__) from error
        dates = sum(len(concert.dates) for concert in wanted.concerts)
        return CatalogueSaved(concerts=len(wanted.concerts), dates=dates, version=version)
