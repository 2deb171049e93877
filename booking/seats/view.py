"""Views of seats: which of a date are held or sold, and how many are left behind a queue."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from booking.catalogue.domain import Catalogue, Schedule
from booking.seats.domain.ledger import EMPTY_LEDGER, Ledger

COUNT_EVERY_MS = 1_000
"""No client is told more often than about once a second, and all of a queue are told the same."""


@dataclass(slots=True, eq=False)
class SeatMap:
    """One date's map. ``version`` changes with every change of the seats or the catalogue."""

    schedule: Schedule
    ledger: Ledger
    version: int


class SeatMaps:
    """All dates of the catalogue. ``first_version`` is larger than any version of an earlier
    process: clients keep versions as ETags over restarts."""

    def __init__(self, catalogue: Catalogue, first_version: int) -> None:
        self._version = first_version
        self._maps: dict[str, SeatMap] = {}
        self.use(catalogue)

    def use(self, catalogue: Catalogue) -> None:
        """A new catalogue: its dates keep the seats they have."""
        self.catalogue = catalogue
        old = self._maps
        self._maps = {}
        for schedule in catalogue.schedules.values():
            known = old.get(schedule.id)
            if known is not None and (known.schedule is schedule or known.schedule == schedule):
                self._maps[schedule.id] = known
            else:
                ledger = known.ledger if known is not None else EMPTY_LEDGER
                self._maps[schedule.id] = SeatMap(schedule, ledger, self._next_version())

    def put(self, schedule: str, ledger: Ledger) -> None:
        """The date's seats are now as this ledger says."""
        seats = self._maps.get(schedule)
        if seats is not None and seats.ledger is not ledger:
            seats.ledger, seats.version = ledger, self._next_version()

    def get(self, schedule: str) -> SeatMap | None:
        """The date's map, or ``None`` for an unknown date."""
        return self._maps.get(schedule)

    def __getitem__(self, schedule: str) -> SeatMap:
        return self._maps[schedule]

    def __iter__(self) -> Iterator[SeatMap]:
        return iter(self._maps.values())

    def _next_version(self) -> int:
        self._version += 1
        return self._version


class Stock(NamedTuple):
    """Seats of all dates whose sale is not over."""

    free: int
    held: int
    """These come back if they are not paid for."""


class Stocks:
    """The stock behind each queue, counted at most once a second."""

    def __init__(self, seats: SeatMaps) -> None:
        self._seats = seats
        self._counted: dict[str, tuple[int, Stock | None]] = {}
        """By queue: until when it holds, and the count. As many as there are queues."""

    def of(self, queue: str, now_ms: int) -> Stock | None:
        """``None`` without a date to wait for."""
        until_ms, stock = self._counted.get(queue, (0, None))
        if not 0 < until_ms - now_ms <= COUNT_EVERY_MS:
            stock = self._count(queue, now_ms)
            self._counted[queue] = (now_ms + COUNT_EVERY_MS, stock)
        return stock

    def _count(self, queue: str, now_ms: int) -> Stock | None:
        dates = [
            seats
            for seats in self._seats
            if seats.schedule.queue == queue and now_ms < seats.schedule.booking_end_ms
        ]
        if not dates:
            return None
        total = sum(seats.schedule.total_seats for seats in dates)
        held = sum(seats.ledger.held for seats in dates)
        sold = sum(seats.ledger.sold for seats in dates)
        return Stock(max(0, total - held - sold), held)
