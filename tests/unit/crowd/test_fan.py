"""A fan who is called back in the middle of a request leaves nothing behind."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from random import Random
from typing import cast

from booking.crowd.fan import Fan, Tally
from booking_client import AsyncBooking, AvailableDate, Place, Reservation, ReservedSeat, Seat

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DATE = AvailableDate("d", "c", "A concert", 50, 0, NOW, NOW)
SEAT = Seat("d-1", 1, 100)
HELD = Reservation("r", ReservedSeat("d-1", False, 1), "PENDING", 100, 300, NOW, NOW)


class CutOff:
    """Stands for the client: the first reservation arrives, but its answer never does."""

    def __init__(self) -> None:
        self.reserved = asyncio.Event()
        self.keys: list[str | None] = []
        self.given_up: list[str] = []

    async def issue(self, user: str, *, key: str) -> Place:
        return Place("t", user, "active", 1, 0, 0, 0, True, 1000)

    async def reserve(self, token: str, seat: str, *, key: str) -> Reservation:
        self.keys.append(key)
        if len(self.keys) == 1:
            self.reserved.set()
            await asyncio.Event().wait()
        return HELD

    async def dates(self, token: str) -> list[AvailableDate]:
        return [DATE]

    async def seats(self, token: str, date: str) -> list[Seat]:
        return [SEAT]

    async def reservations(self, token: str) -> list[Reservation]:
        return [HELD]

    async def release(self, token: str, reservation: str) -> None:
        self.given_up.append(reservation)

    async def leave(self, token: str) -> None:
        self.given_up.append(token)


async def test_a_hold_whose_answer_was_cut_off_is_asked_for_again_and_given_back() -> None:
    booking = CutOff()
    fan = Fan(cast(AsyncBooking, booking), Tally(), Random(1), pace=0.0)
    visit = asyncio.create_task(fan.live())
    await asyncio.wait_for(booking.reserved.wait(), 30)
    visit.cancel()
    await asyncio.gather(visit, return_exceptions=True)
    await fan.leave()
    assert len(booking.keys) == 2
    assert booking.keys[0] == booking.keys[1]
    assert booking.given_up == ["r", "t"]
