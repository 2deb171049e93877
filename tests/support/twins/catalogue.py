"""The catalogue's in-memory twin."""

from collections.abc import Callable

from msgspec.structs import replace

from booking.catalogue import document
from booking.catalogue.contract import CatalogueSaved
from booking.catalogue.domain import Catalogue
from booking.catalogue.store import change_of, refuse


class MemoryCatalogue:
    """Implements :class:`booking.catalogue.contract.CatalogueStore`.

    ``booked`` says whether a date has events in the journal.
    """

    def __init__(
        self, catalogue: Catalogue, booked: Callable[[str], bool] = lambda date: False
    ) -> None:
        self.current = catalogue
        self._booked = booked
        self._concerts: dict[str, document.ConcertEntry] = {}

    async def version(self) -> int:
        """See the contract."""
        return self.current.version

    async def load(self) -> Catalogue:
        """See the contract."""
        return self.current

    async def save(self, text: bytes) -> CatalogueSaved:
        """See the contract."""
        return self._save(document.parse(text))

    async def save_concert(self, concert: str, text: bytes) -> CatalogueSaved:
        """See the contract."""
        return self._save(document.parse_concert(text, concert))

    def _save(self, wanted: document.Document) -> CatalogueSaved:
        change = change_of(wanted, self.current, self._concerts)
        refuse(change, self.current, filter(self._booked, change.bound))
        if not change.empty:
            self._replace(wanted)
        dates = sum(len(concert.dates) for concert in wanted.concerts)
        version = self.current.version
        return CatalogueSaved(concerts=len(wanted.concerts), dates=dates, version=version)

    def _replace(self, wanted: document.Document) -> None:
        self._concerts |= {each.id: replace(each, dates=()) for each in wanted.concerts}
        concerts = {concert.id for concert in wanted.concerts}
        kept = [s for s in self.current.schedules.values() if s.concert_id not in concerts]
        new = [document.schedule_of(each, date) for each in wanted.concerts for date in each.dates]
        schedules = sorted(kept + new, key=lambda each: (each.open_ms, each.id))
        self.current = Catalogue({each.id: each for each in schedules}, self.current.version + 1)

    async def close(self) -> None:
        """Nothing to close."""
