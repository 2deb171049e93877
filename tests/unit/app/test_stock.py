"""What is left behind a queue, as those who wait for it are told."""

from __future__ import annotations

from msgspec.structs import replace

from booking.catalogue.domain import Catalogue, Schedule
from booking.domain.persistent import Prices
from booking.seats.domain.ledger import EMPTY_LEDGER, HoldCounted, SaleCounted, evolve_ledger
from booking.seats.view import COUNT_EVERY_MS, SeatMaps, Stock, Stocks
from tests.support.followed import T0, Followed

PRICES = Prices([(1, 1), (2, 1), (3, 1), (4, 1)])
DATE = Schedule("d", "c", "Concert", 0, 0, T0 + 50_000, T0 + 100_000, PRICES)
OTHER = replace(DATE, id="e", queue="own")
HELD = evolve_ledger(EMPTY_LEDGER, HoldCounted(1, "r1", "ann", 10))
SOLD = evolve_ledger(HELD, SaleCounted(1, "r1"))
BOTH = evolve_ledger(SOLD, HoldCounted(2, "r2", "bob", 10))


def stocks(*dates: Schedule) -> tuple[SeatMaps, Stocks]:
    seats = SeatMaps(Catalogue({each.id: each for each in dates}), first_version=1)
    return seats, Stocks(seats)


def test_free_and_held_seats_of_the_queues_own_dates_are_counted() -> None:
    seats, told = stocks(DATE, replace(DATE, id="f"), OTHER)
    seats.put("d", BOTH)
    assert told.of("main", T0) == Stock(free=6, held=1)
    assert told.of("own", T0) == Stock(free=4, held=0)


def test_a_date_counts_before_its_sale_but_not_after_it() -> None:
    _, told = stocks(DATE)
    assert told.of("main", DATE.booking_start_ms - 1) == Stock(4, 0)
    assert told.of("main", DATE.booking_end_ms) is None
    assert told.of("nobody-sells-here", T0) is None


def test_it_is_counted_again_after_a_second() -> None:
    seats, told = stocks(DATE)
    told.of("main", T0)
    seats.put("d", BOTH)
    assert told.of("main", T0 + COUNT_EVERY_MS - 1) == Stock(4, 0)
    assert told.of("main", T0 + COUNT_EVERY_MS) == Stock(2, 1)


def test_it_is_counted_again_when_the_clock_was_put_back() -> None:
    seats, told = stocks(DATE)
    told.of("main", T0)
    seats.put("d", BOTH)
    assert told.of("main", T0 - 60_000) == Stock(2, 1)


def test_only_those_who_wait_are_told() -> None:
    seats, told = stocks(DATE)
    seats.put("d", BOTH)
    followed = Followed(stock=told.of)
    for user in ("ann", "bob", "cid"):
        followed.join(user)
    assert (followed.seen("cid").seats_left, followed.seen("cid").seats_held) == (2, 1)
    assert (followed.seen("ann").seats_left, followed.seen("ann").seats_held) == (None, None)
