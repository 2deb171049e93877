"""The catalogue: concerts, their dates (schedules), and the seats of a date with their prices.

Each instance keeps the whole of it as one immutable value, replaced when the tables change.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from itertools import chain, groupby

import msgspec
from msgspec.structs import replace

from booking.domain.persistent import Prices
from booking.domain.plan import Plan, PlannedSeat, Venue

MAIN_QUEUE = "main"
"""The queue of the house: of every concert that has none of its own."""

SEATS_PER_DATE = 50
"""Seats are numbered 1 to 50 unless the catalogue says otherwise."""


BLOCKED_TOGETHER_MAX = 100_000
"""Seats named in one go: all of the largest house."""
_SPAN = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?", re.ASCII)


class Block(msgspec.Struct, frozen=True, array_like=True):
    """Neighbouring seats of one price that are not for sale, for the same reason."""

    first: int
    last: int
    price: int
    reason: str
    since_ms: int = 0
    """When they were blocked."""

    @property
    def numbers(self) -> range:
        """Of its seats."""
        return range(self.first, self.last + 1)

    @property
    def spelled(self) -> str:
        """As :func:`spans` reads it."""
        return f"{self.first}-{self.last}" if self.last > self.first else str(self.first)


class Schedule(msgspec.Struct, frozen=True):
    """One date of a concert. Times in milliseconds since the epoch."""

    id: str
    concert_id: str
    concert_name: str
    open_ms: int
    close_ms: int
    booking_start_ms: int
    booking_end_ms: int
    """A seat can be held from ``booking_start_ms`` until just before ``booking_end_ms``."""
    prices: Prices
    """Of the seats that are for sale; no other seat can be held."""
    queue: str = MAIN_QUEUE
    """The queue whose tokens open this date."""
    venue: str = ""
    """The id of its venue; empty without one."""
    blocked: tuple[Block, ...] = ()
    """The seats that are not for sale, by number."""
    max_per_user: int = 0
    """How many seats one user may hold and own together; 0: as many as may be held at a time."""

    @property
    def total_seats(self) -> int:
        """How many seats the date has for sale."""
        return len(self.prices)

    @property
    def all_seats(self) -> int:
        """How many seats the date has, blocked ones included."""
        return len(self.prices) + sum(len(block.numbers) for block in self.blocked)

    def has(self, number: int) -> bool:
        """Whether the date has this seat, for sale or not."""
        return number in self.prices or any(number in block.numbers for block in self.blocked)

    def same_seats(self, other: Schedule) -> bool:
        """Whether both have the same numbers, whichever of them are for sale."""
        if not self.blocked and not other.blocked:
            return self.prices.same_seats(other.prices)
        return self._numbers() == other._numbers()

    def _numbers(self) -> set[int]:
        return {*chain(self.prices, *(block.numbers for block in self.blocked))}

    def bookable(self, now_ms: int) -> bool:
        """Whether seats can be held at this time."""
        return self.booking_start_ms <= now_ms < self.booking_end_ms


def spans(text: str) -> Collection[int]:
    """The seat numbers that ``1-10,15`` names; :class:`ValueError` with words for people."""
    numbers: dict[int, None] = {}
    for part in text.replace(" ", "").split(","):
        match = _SPAN.fullmatch(part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if last < first:
            raise ValueError(f"{part!r} is neither a seat number nor a range of them, such as 1-10")
        if last - first >= BLOCKED_TOGETHER_MAX - len(numbers):
            raise ValueError(f"names over {BLOCKED_TOGETHER_MAX} seats")
        numbers.update(dict.fromkeys(range(first, last + 1)))
    return numbers


def blocking(schedule: Schedule, seats: Iterable[int], reason: str, now_ms: int = 0) -> Schedule:
    """The date with these seats blocked, or for sale again without a reason; seats that are so
    already stay as they are. :class:`KeyError` for a seat that it does not have."""
    on_sale = dict(schedule.prices.pairs())
    blocked = {
        number: (block.price, block.reason, block.since_ms)
        for block in schedule.blocked
        for number in block.numbers
    }
    for number in seats:
        if number in blocked:
            price, _, since_ms = blocked.pop(number)
        else:
            price, since_ms = on_sale.pop(number), now_ms
        if reason:
            blocked[number] = (price, reason, since_ms)
        else:
            on_sale[number] = price
    prices = Prices(sorted(on_sale.items()))
    return replace(schedule, prices=prices, blocked=tuple(_runs(sorted(blocked.items()))))


def since(schedule: Schedule, older: Schedule | None, now_ms: int) -> Schedule:
    """The date with the time since when each seat is blocked: as in ``older``, or now."""
    known = {} if older is None else {n: b.since_ms for b in older.blocked for n in b.numbers}
    blocked = (
        (number, (block.price, block.reason, known.get(number, now_ms)))
        for block in schedule.blocked
        for number in block.numbers
    )
    return replace(schedule, blocked=tuple(_runs(blocked)))


def _runs(seats: Iterable[tuple[int, tuple[int, str, int]]]) -> Iterator[Block]:
    for (_, facts), run in groupby(enumerate(seats), lambda at: (at[1][0] - at[0], at[1][1])):
        numbers = [number for _, (number, _) in run]
        yield Block(numbers[0], numbers[-1], *facts)


def seat_id(schedule: str, number: int) -> str:
    """The id clients know a seat by."""
    return f"{schedule}-{number}"


class Catalogue(msgspec.Struct, frozen=True):
    """``schedules`` by id, ordered by opening time and id."""

    schedules: dict[str, Schedule]
    version: int = 0
    venues: dict[str, Venue] = {}

    @property
    def queues(self) -> frozenset[str]:
        """The names of all queues that open something, and the house's."""
        return frozenset({MAIN_QUEUE, *(each.queue for each in self.schedules.values())})

    def venue_of(self, schedule: Schedule | None) -> Venue | None:
        """Where a date is, if the catalogue says."""
        return None if schedule is None else self.venues.get(schedule.venue)

    def plan_of(self, schedule: Schedule | None) -> Plan | None:
        """The plan of the venue where a date is, if the catalogue says."""
        venue = self.venue_of(schedule)
        return None if venue is None else venue.plan

    def planned_seat(self, schedule_id: str, number: int) -> PlannedSeat | None:
        """What the plan says of a seat, if its date has one."""
        plan = self.plan_of(self.schedules.get(schedule_id))
        return plan.seat(number) if plan is not None and number <= plan.seats else None

    def find_seat(self, wanted: str) -> tuple[Schedule, int] | None:
        """The schedule and number behind a seat id in its canonical spelling, or ``None``."""
        schedule_id, _, digits = wanted.rpartition("-")
        schedule = self.schedules.get(schedule_id)
        if schedule is None or not (digits.isascii() and digits.isdigit()) or len(digits) > 9:
            return None
        number = int(digits)
        if not schedule.has(number) or seat_id(schedule_id, number) != wanted:
            return None
        return schedule, number
