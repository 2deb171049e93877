"""One simulated fan: lines up, waits as told, looks at seats, holds one, pays or thinks better of
it, leaves, and comes back as somebody else.

Fans leave seats for the visitor: they buy only while less than half of a date is taken, so a season
is never sold out by them.
"""

from __future__ import annotations

import asyncio
import uuid
from random import Random
from typing import Any

from booking.crowd.calls import TRIES_MAX, Calls
from booking.crowd.tally import Doing, Tally

LOOK_S = (4.0, 20.0)
THINK_S = (5.0, 25.0)
AWAY_S = (1.0, 6.0)
"""How long a fan looks at a seat map, thinks over a held seat, and stays away, from to. About half
a minute inside altogether, so that with 1,000 places some 30 fans a second take turns."""
POLL_MIN_S = 0.5
KEY_TRIES_MIN = 3
"""Of a request whose first try may be under way: the second comes a second or so later."""
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


class Fan:
    """``pace`` multiplies every pause: 1 for people, less for tests."""

    def __init__(self, calls: Calls, tally: Tally, draw: Random, pace: float = 1.0) -> None:
        self._calls = calls
        self._tally = tally
        self._draw = draw
        self._pace = pace
        self._doing: Doing = "away"
        self._token: str | None = None
        self._lining_up = ""
        """The user who may have got a place without our having heard of it."""
        self._may_hold = False
        self._reserving: tuple[str, str] | None = None
        """The seat and the key of a reservation whose answer we have not heard."""

    async def live(self) -> None:
        """Visits the service again and again, until cancelled."""
        while True:
            await self._pause(AWAY_S)
            user = str(uuid.uuid4())
            if await self._line_up(user) and await self._wait():
                await self._visit(user)
            await self.leave()

    async def leave(self, *, tries: int = 3) -> None:
        """Gives seat and place up, as far as there are any: what is not given back stays taken
        until its time is over."""
        # What was cut off is asked again with its key; the service may still be at it.
        again = max(tries, KEY_TRIES_MIN)
        if self._lining_up:
            await self._line_up(self._lining_up, tries=again)
        if self._reserving is not None:
            await self._reserve(*self._reserving, tries=again)
        if self._may_hold:
            await self._give_back(tries)
        token, self._token = self._token, None
        if token is not None:
            await self._calls.call("DELETE", "/queue", token=token, tries=tries)
        self._now("away")

    async def _line_up(self, user: str, *, tries: int = TRIES_MAX) -> bool:
        self._lining_up = user
        # The user's id is the key: asked again, the service tells the place that it gave.
        body = {"userId": user}
        answer = await self._calls.call("POST", "/queue/issue", body=body, key=user, tries=tries)
        self._lining_up = ""
        if not answer.ok:
            return False
        self._token = answer.data["token"]
        self._now("waiting" if answer.data["status"] == "pending" else "inside")
        return True

    async def _wait(self) -> bool:
        """Whether it is our turn; not so if we lost patience or the token has ended."""
        wait_s = POLL_MIN_S
        while self._doing == "waiting":
            await asyncio.sleep(wait_s)
            answer = await self._calls.call("GET", "/queue/status", token=self._token)
            if not answer.ok:
                self._lost(answer.status)
                return False
            if answer.data["status"] == "active":
                self._now("inside")
            elif self._draw.random() < IMPATIENT:
                self._tally.gave_up += 1
                return False
            # As the service asks; sooner only where a test makes all pauses shorter.
            wait_s = max(POLL_MIN_S * self._pace, answer.data["pollAfterMs"] / 1000)
        return True

    async def _visit(self, user: str) -> None:
        dates = await self._calls.call("GET", "/concert/available-dates", token=self._token)
        date = self._choose_date(dates.data) if dates.ok else None
        if date is None:
            return
        query = {"concertScheduleId": date["id"]}
        seats = await self._calls.call(
            "GET", "/concert/available-seats", token=self._token, query=query
        )
        await self._pause(LOOK_S)
        if not seats.ok or not seats.data:
            self._tally.gave_up += 1
            return
        seat = self._draw.choice(seats.data)
        if not await self._reserve(seat["id"], str(uuid.uuid4())):
            return
        self._now("holding")
        await self._pause(THINK_S)
        scarce = date["reservedSeats"] >= TAKEN_MAX * date["totalSeats"]
        if scarce or self._draw.random() >= PAYS:
            self._tally.gave_up += 1
            return
        await self._buy(user, seat)

    async def _reserve(self, seat: str, key: str, *, tries: int = TRIES_MAX) -> bool:
        self._reserving = (seat, key)
        held = await self._calls.call(
            "POST", "/reservation", token=self._token, body={"seatId": seat}, key=key, tries=tries
        )
        self._reserving = None
        # Who hears nothing may hold it all the same.
        self._may_hold = held.ok or held.status == 0
        if not held.ok:
            self._tally.beaten += held.code == "seat_unavailable"
            self._lost(held.status)
        return held.ok

    async def _give_back(self, tries: int = TRIES_MAX) -> None:
        """What is held, as the service knows it: an answer to us may have been lost."""
        self._may_hold = False
        held = await self._calls.call("GET", "/reservations", token=self._token, tries=tries)
        for reservation in held.data if held.ok else ():
            if reservation["status"] == "PENDING":
                path = f"/reservation/{reservation['id']}"
                await self._calls.call("DELETE", path, token=self._token, tries=tries)

    async def _buy(self, user: str, seat: dict[str, Any]) -> None:
        charge = {"userId": user, "amount": seat["price"]}
        if not (await self._calls.call("POST", "/user/charge", body=charge)).ok:
            return
        body = {"seatId": seat["id"]}
        paid = await self._calls.call("POST", "/payment", token=self._token, body=body)
        if paid.ok:
            self._tally.paid += 1
            self._may_hold = False
            self._token = None  # used up

    def _choose_date(self, dates: list[dict[str, Any]]) -> dict[str, Any] | None:
        small = [date for date in dates if date["totalSeats"] <= LARGE_SEATS]
        large = [date for date in dates if date["totalSeats"] > LARGE_SEATS]
        if large and (not small or self._draw.random() < LARGE):
            return self._draw.choice(large)
        if small and self._draw.random() < FAVOURITE:
            return self._draw.choice(small[:FAVOURITES])
        return self._draw.choice(small) if small else None

    def _lost(self, status: int) -> None:
        """401: the token has ended, so there is no place to give up."""
        if status == 401:
            self._token = None

    def _now(self, doing: Doing) -> None:
        self._tally.change(self._doing, doing)
        self._doing = doing

    async def _pause(self, span_s: tuple[float, float]) -> None:
        await asyncio.sleep(self._draw.uniform(*span_s) * self._pace)
