"""The catalogue's in-memory twin."""

from collections.abc import Callable

from msgspec.structs import replace

from booking.catalogue import document
from booking.catalogue.contract import CatalogueSaved
from booking.catalogue.domain import Catalogue
from booking.catalogue.store import change_of, reblocked, refuse
from booking.catalogue.venue import venue_of


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
        change = change_of(wanted, self.current, self._concerts, 0)
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
        venues = self.current.venues | {each.id: venue_of(each) for each in wanted.venues}
        new = [
            document.schedule_of(each, date, venues[date.venue].plan if date.venue else None)
            for each in wanted.concerts
            for date in each.dates
        ]
        schedules = sorted(kept + new, key=lambda each: (each.open_ms, each.id))
        by_id = {each.id: each for each in schedules}
        self.current = Catalogue(by_id, self.current.version + 1, venues)

    async def block(self, date: str, seats: str, reason: str) -> int:
        """See the contract."""
        current = self.current
        dates = current.schedules | {date: reblocked(current, date, seats, reason)}
        self.current = replace(current, schedules=dates, version=current.version + 1)
        return self.current.version

    async def close(self) -> None:
        """Nothing to close."""
