"""Whole bookings: what one user asks for, one after the other."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import msgspec

from bench.client import Response
from bench.scenario import Call, Scenario, charge, delete, expect, get, hold, issue, post, token_of
from bench.world import DateSummary, Seat, Users, allocation

CURIOUS_EVERY = 10
"""One user of so many also looks at everything else, and another gives up what was taken."""


class _Seat(msgspec.Struct):
    id: str


class _Held(msgspec.Struct):
    id: str
    seat: _Seat
    price: int


class _HeldAnswer(msgspec.Struct):
    data: _Held


class _IdAnswer(msgspec.Struct):
    data: _Seat


_held = msgspec.json.Decoder(_HeldAnswer)
_id = msgspec.json.Decoder(_IdAnswer)


class Stories:
    """Gives out users and seats, each once."""

    def __init__(self, users: Users, dates: list[DateSummary]) -> None:
        self._users = users
        self._seats = allocation(dates)
        self._count = 0

    def __call__(self) -> Scenario | None:
        """The next user's story; ``None`` when all seats are given out."""
        seat = next(self._seats, None)
        if seat is None:
            return None
        self._count += 1
        user = self._users.fresh()
        if self._count % CURIOUS_EVERY == 1:
            return _change_of_mind(user, seat)
        return booking(user, seat, curious=self._count % CURIOUS_EVERY == 0)


def booking(user: str, seat: Seat, *, curious: bool = False) -> Scenario:
    """One user books one seat in seven requests; a curious one also reads everything else."""
    token = token_of((yield from expect("issue", issue(user), 201)))
    yield from expect("status", get("/queue/status", token), 200)
    dates = get(f"/concert/available-dates?concertId={seat.concert}", token)
    yield from expect("dates", dates, 200)
    seats = get(f"/concert/available-seats?concertScheduleId={seat.date}", token)
    yield from expect("seats", seats, 200)
    response = yield from expect("hold", hold(seat.date, seat.number, token), 201)
    held = _held.decode(response.body).data
    if curious:
        yield from _look(_while_held(user, token, held.id))
    yield from expect("charge", charge(user, held.price), 200)
    paid = yield from expect("pay", post("/payment", f'{{"seatId":"{held.seat.id}"}}', token), 201)
    if curious:
        yield from _look(_when_paid(user, _id.decode(paid.body).data.id))


def _change_of_mind(user: str, seat: Seat) -> Scenario:
    token = token_of((yield from expect("issue", issue(user), 201)))
    response = yield from expect("hold", hold(seat.date, seat.number, token), 201)
    reservation = _held.decode(response.body).data.id
    yield from expect("release", delete(f"/reservation/{reservation}", token), 204)
    yield from expect("leave", delete("/queue", token), 204)


def _look(calls: Iterator[Call]) -> Generator[Call, Response, None]:
    for step, request in calls:
        yield from expect(step, request, 200)


def _while_held(user: str, token: str, reservation: str) -> Iterator[Call]:
    yield "reservation", get(f"/reservation/{reservation}", token)
    yield "reservations", get("/reservations", token)
    yield "balance", get(f"/user/check?userId={user}")


def _when_paid(user: str, payment: str) -> Iterator[Call]:
    yield "history", get(f"/user/history?userId={user}")
    yield "payment", get(f"/payment/{payment}?userId={user}")
    yield "payments", get(f"/payments?userId={user}")
