"""Where the catalogue is kept: in Postgres, or in memory for tests."""

from typing import Protocol

import msgspec

from booking.catalogue.domain import Catalogue


class CatalogueSaved(msgspec.Struct, frozen=True, kw_only=True):
    """What an import did."""

    concerts: int
    dates: int
    version: int
    """The catalogue's; the same as before if nothing in it is different."""


class CatalogueStore(Protocol):
    """One instance's connection. Every method raises
    :class:`actors.journal.contract.JournalError` when the store is out of reach."""

    async def version(self) -> int:
        """A number that every change of the catalogue raises."""

    async def load(self) -> Catalogue:
        """The whole catalogue at one version."""

    async def save(self, text: bytes) -> CatalogueSaved:
        """Import a document of whole concerts; concerts that are not in it stay.

        Raises :class:`booking.catalogue.problems.DocumentError` for an invalid document and
        :class:`booking.catalogue.store.CatalogueError` for one that contradicts the bookings there
        are. Nothing is changed then. Every instance takes a new version over by itself.
        """

    async def save_concert(self, concert: str, text: bytes) -> CatalogueSaved:
        """As :meth:`save`, for one concert, which must have this id."""

    async def block(self, date: str, seats: str, reason: str) -> int:
        """Take seats, such as ``1-10,15``, of a date off sale, or put them on sale again without a
        reason; the catalogue's version. Raises
        :class:`booking.catalogue.store.CatalogueError` if there is no such date or seat, or it is
        held or sold."""

    async def close(self) -> None:
        """Close the connection."""
