"""Seat maps: which seats of a date are held or sold, as far as the journal has it."""

from __future__ import annotations

from collections.abc import Iterator, Set

from booking.calls import UnknownError
from booking.catalogue.domain import Catalogue, Schedule
from booking.seats.domain.ledger import EMPTY_LEDGER, Ledger


class SeatMap:
    """One date's map. ``version`` changes with every change of the seats or the catalogue."""

    __slots__ = ("_ledger", "schedule", "version")

    def __init__(self, schedule: Schedule, ledger: Ledger, version: int) -> None:
        self.schedule = schedule
        self._ledger = ledger
        self.version = version

    @property
    def held(self) -> Set[int]:
        return self._ledger.holds.keys()

    @property
    def sold(self) -> Set[int]:
        return self._ledger.sold

    @property
    def ledger(self) -> Ledger:
        return self._ledger

    def update(self, ledger: Ledger, version: int) -> None:
        self._ledger = ledger
        self.version = version


class SeatMaps:
    """All dates of the catalogue.

    ``first_version`` has to be larger than any version an earlier process gave out (the start time
    in microseconds is), because clients keep versions as ETags over our restarts.
    """

    def __init__(self, catalogue: Catalogue, first_version: int) -> None:
        self._version = first_version
        self._maps: dict[str, SeatMap] = {}
        self.catalogue = catalogue
        self.use(catalogue)

    def use(self, catalogue: Catalogue) -> None:
        """A new catalogue: its dates keep the seats they have."""
        self.catalogue = catalogue
        old = self._maps
        self._maps = {}
        for schedule in catalogue.schedules.values():
            known = old.get(schedule.id)
            if known is not None and known.schedule == schedule:
                self._maps[schedule.id] = known
            else:
                ledger = known.ledger if known is not None else EMPTY_LEDGER
                self._maps[schedule.id] = SeatMap(schedule, ledger, self._next_version())

    def put(self, schedule: str, ledger: Ledger) -> None:
        """The date's seats are now as this ledger says."""
        seats = self._maps.get(schedule)
        if seats is not None and seats.ledger is not ledger:
            seats.update(ledger, self._next_version())

    def get(self, schedule: str) -> SeatMap | None:
        return self._maps.get(schedule)

    def check_opens(self, queue: str, schedule: str) -> None:
        """Raise :class:`~booking.calls.UnknownError` unless the queue's tokens open the date."""
        if not self.catalogue.opens(queue, schedule):
            raise UnknownError(f"date {schedule} behind queue {queue}")

    def __iter__(self) -> Iterator[SeatMap]:
        return iter(self._maps.values())

    def _next_version(self) -> int:
        self._version += 1
        return self._version
