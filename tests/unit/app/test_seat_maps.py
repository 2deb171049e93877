"""Seat maps follow ledgers and catalogues, and their versions only grow."""

from __future__ import annotations

from uuid import UUID

import pytest

from booking.catalogue.domain import Catalogue, Schedule
from booking.domain.persistent import Prices
from booking.seats.domain.ledger import (
    EMPTY_LEDGER,
    HoldCounted,
    Ledger,
    LedgerHold,
    SaleCounted,
    evolve_ledger,
    ledger_of,
)
from booking.seats.view import SeatMaps
from booking_http.seats.pieces import SeatPieces
from tests.support.ledgers import holds, sold
from tests.support.sizes import size_of

DATE = Schedule("d", "c", "Concert", 3, 4, 1, 2, Prices([(1, 100), (2, 100)]))
HELD = evolve_ledger(EMPTY_LEDGER, HoldCounted(1, "r1", "ann", 10))
SOLD = evolve_ledger(HELD, SaleCounted(1, "r1"))


def maps() -> SeatMaps:
    return SeatMaps(Catalogue({"d": DATE}), first_version=1_000)


def test_a_ledger_shows_in_the_map_with_a_new_version() -> None:
    shown = maps()
    date = shown.get("d")
    assert date is not None
    versions = [date.version]
    for ledger, held, paid in ((HELD, {1}, set()), (SOLD, set(), {1})):
        shown.put("d", ledger)
        assert (set(holds(date.ledger)), sold(date.ledger)) == (held, paid)
        versions.append(date.version)
    assert versions == sorted(set(versions))


def test_the_same_ledger_changes_nothing() -> None:
    shown = maps()
    shown.put("d", HELD)
    date = shown.get("d")
    assert date is not None
    before = date.version
    shown.put("d", HELD)
    assert date.version == before


def test_a_new_catalogue_keeps_the_seats_and_changes_the_version() -> None:
    shown = maps()
    shown.put("d", HELD)
    before = shown.get("d")
    changed = Schedule("d", "c", "Renamed", 3, 4, 1, 2, Prices([(1, 100), (2, 100)]))
    shown.use(Catalogue({"d": changed}))
    after = shown.get("d")
    assert before is not None
    assert after is not None
    assert after.schedule.concert_name == "Renamed"
    assert set(holds(after.ledger)) == {1}
    assert after.version > before.version


def test_dates_that_left_the_catalogue_are_gone_and_their_ledgers_ignored() -> None:
    shown = maps()
    shown.use(Catalogue({}))
    shown.put("d", HELD)
    assert shown.get("d") is None


# -- memory ----------------------------------------------------------------------------------------

BIG = 30_000


@pytest.fixture(scope="module")
def held() -> Ledger:
    """A big hall of which every seat is held."""
    holds = {
        seat: LedgerHold(f"rsv_{seat:032x}", str(UUID(int=seat)), 1_000 + seat // 5)
        for seat in range(1, BIG + 1)
    }
    return ledger_of(holds)


@pytest.mark.parametrize("prices", [1, 40, BIG])
def test_a_seat_of_a_big_hall_costs_its_owner_less_than_150_bytes(
    held: Ledger, prices: int
) -> None:
    """Everything together: what the ledger says of a held seat, the catalogue's price, and what
    lists of seats are rendered from; also where no two neighbours have the same price."""
    seats = ((seat, 90_000 + seat * prices // BIG) for seat in range(1, BIG + 1))
    date = Schedule("d", "c", "Concert", 3, 4, 1, 2, Prices(seats))
    maps = SeatMaps(Catalogue({"d": date}), first_version=1)
    maps.put("d", held)
    pieces = SeatPieces(date, lambda number, price, word: b"")
    assert (held.held, date.total_seats, len(pieces)) == (BIG, BIG, 59)
    assert 100 * BIG < size_of(*maps, pieces) < 150 * BIG
