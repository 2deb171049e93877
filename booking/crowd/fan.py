"""One simulated fan: lines up, waits, looks at seats, holds one, pays or not, and leaves.

Fans buy only while less than half of a date is taken, so that seats are left for the visitor.
"""

import asyncio
import uuid
from collections import Counter
from contextlib import suppress
from random import Random
from typing import Literal

from booking_client import AsyncBooking, AvailableDate, BookingError, Refused, Seat, Unreachable
from booking_client.errors import SeatUnavailable

LOOK_S = (4.0, 20.0)
THINK_S = (5.0, 25.0)
AWAY_S = (1.0, 6.0)
"""How long a fan looks at a seat map, thinks over a held seat, and stays away, from to. About half
a minute inside altogether, so that with 1,000 places some 30 fans a second take turns."""
POLL_MIN_S = 0.5
IMPATIENT = 0.03
"""Of those who wait, leave at each look at their place."""
PAYS = 0.5
"""Of those who hold a seat."""
FAVOURITES = 12
"""Most fans want one of the first dates, where a visitor looks too."""
FAVOURITE = 0.7
LARGE_SEATS = 1_000
LARGE = 0.05
"""Of a large hall's list, which is a megabyte, few ask: it would be most of the traffic."""
TAKEN_MAX = 0.5

Doing = Literal["away", "waiting", "inside", "holding"]


class Tally:
    """Counts for one crowd."""

    def __init__(self) -> None:
        self._doing: Counter[str] = Counter()
        self.paid = 0
        self.gave_up = 0
        self.beaten = 0
        """Somebody else was faster with the seat."""
        self.refused = 0
        """Answers 429 and 503, and requests without an answer."""
        self.ever_waited = False

    def change(self, before: Doing, after: Doing) -> None:
        """One fan does something else now."""
        self._doing[before] -= 1
        self._doing[after] += 1
        self.ever_waited = self.ever_waited or after == "waiting"

    def line(self, left_s: float) -> str:
        """One line for the terminal."""
        inside, holding = self._doing["inside"], self._doing["holding"]
        return (
            f"waiting {self._doing['waiting']}, inside {inside + holding}, of them holding "
            f"{holding}; paid {self.paid}, gave up {self.gave_up}, beaten to a seat "
            f"{self.beaten}, refused {self.refused}; {max(0, round(left_s))} s left"
        )


class Fan:
    """``pace`` multiplies every pause: 1 for people, less for tests."""

    def __init__(
        self, booking: AsyncBooking, tally: Tally, draw: Random, pace: float = 1.0
    ) -> None:
        self._booking = booking
        self._tally = tally
        self._draw = draw
        self._pace = pace
        self._doing: Doing = "away"
        self._token = ""
        self._lining_up = ""
        """The user who may have got a place without our having heard of it."""
        self._may_hold = False
        self._reserving: tuple[str, str] | None = None
        """The seat and the key of a reservation whose answer we have not heard."""

    async def live(self) -> None:
        """Visit the service again and again, until cancelled."""
        while True:
            await self._pause(AWAY_S)
            try:
                await self._visit(str(uuid.uuid4()))
            except Refused as refused:
                if refused.status == 401:
                    self._token = ""  # it has ended, so there is no place to give up
            except Unreachable:
                pass  # what it may have done is looked for by `leave`
            await self.leave()

    async def leave(self, booking: AsyncBooking | None = None) -> None:
        """Give seat and place up. What was cut off is asked again with its key."""
        booking = booking or self._booking
        if self._lining_up:
            with suppress(BookingError):
                await self._line_up(booking, self._lining_up)
        if self._reserving is not None:
            with suppress(BookingError):
                await self._reserve(booking, *self._reserving)
        if self._may_hold:
            with suppress(BookingError):
                await self._give_back(booking)
        if self._token:
            token, self._token = self._token, ""
            with suppress(BookingError):
                await booking.leave(token)
        self._now("away")

    async def _visit(self, user: str) -> None:
        await self._line_up(self._booking, user)
        if not await self._is_let_in():
            return
        date = self._choose_date(await self._booking.dates(self._token))
        if date is None:
            return
        seats = await self._booking.seats(self._token, date.id)
        await self._pause(LOOK_S)
        if not seats:
            self._tally.gave_up += 1
            return
        seat = self._draw.choice(seats)
        await self._reserve(self._booking, seat.id, str(uuid.uuid4()))
        self._now("holding")
        await self._pause(THINK_S)
        if date.reserved_seats >= TAKEN_MAX * date.total_seats or self._draw.random() >= PAYS:
            self._tally.gave_up += 1
            return
        await self._buy(user, seat)

    async def _line_up(self, booking: AsyncBooking, user: str) -> None:
        self._lining_up = user
        try:
            # The user's id is the key: asked again, the service tells the place that it gave.
            place = await booking.issue(user, key=user)
        except BookingError:
            self._lining_up = ""
            raise
        self._lining_up = ""
        self._token = place.token
        self._now("inside" if place.active else "waiting")

    async def _is_let_in(self) -> bool:
        """Wait for our turn; not so if we lose patience."""
        wait_s = POLL_MIN_S
        while self._doing == "waiting":
            await asyncio.sleep(wait_s)
            place = await self._booking.status(self._token)
            if place.active:
                self._now("inside")
            elif self._draw.random() < IMPATIENT:
                self._tally.gave_up += 1
                return False
            # As the service asks; sooner only where a test makes all pauses shorter.
            wait_s = max(POLL_MIN_S * self._pace, place.poll_after_ms / 1000)
        return True

    async def _reserve(self, booking: AsyncBooking, seat: str, key: str) -> None:
        self._reserving = (seat, key)
        try:
            await booking.reserve(self._token, seat, key=key)
        except BookingError as error:
            self._reserving = None
            self._may_hold = isinstance(error, Unreachable)
            self._tally.beaten += isinstance(error, SeatUnavailable)
            raise
        self._reserving = None
        self._may_hold = True

    async def _give_back(self, booking: AsyncBooking) -> None:
        """What is held, as the service knows it: an answer to us may have been lost."""
        self._may_hold = False
        for reservation in await booking.reservations(self._token):
            if reservation.status == "PENDING":
                await booking.release(self._token, reservation.id)

    async def _buy(self, user: str, seat: Seat) -> None:
        await self._booking.charge(user, seat.price)
        await self._booking.pay(self._token, seat.id)
        self._tally.paid += 1
        self._may_hold = False
        self._token = ""  # used up

    def _choose_date(self, dates: list[AvailableDate]) -> AvailableDate | None:
        small = [date for date in dates if date.total_seats <= LARGE_SEATS]
        large = [date for date in dates if date.total_seats > LARGE_SEATS]
        if large and (not small or self._draw.random() < LARGE):
            return self._draw.choice(large)
        if small and self._draw.random() < FAVOURITE:
            return self._draw.choice(small[:FAVOURITES])
        return self._draw.choice(small) if small else None

    def _now(self, doing: Doing) -> None:
        self._tally.change(self._doing, doing)
        self._doing = doing

    async def _pause(self, span_s: tuple[float, float]) -> None:
        await asyncio.sleep(self._draw.uniform(*span_s) * self._pace)
