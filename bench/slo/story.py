"""What each user does: a whole booking in seven requests; every few, all the other calls too."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from bench.client import Response
from bench.scenario import Call, Scenario
from bench.target import get, post
from bench.workloads.seats import Seat, allocation
from bench.world import DateSummary, Users, charge, issue, token_of

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


class _Id(msgspec.Struct):
    id: str


class _IdAnswer(msgspec.Struct):
    data: _Id


_held = msgspec.json.Decoder(_HeldAnswer)
_id = msgspec.json.Decoder(_IdAnswer)

Step = Iterator[Call]


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
        match self._count % CURIOUS_EVERY:
            case 0:
                return _booking(user, seat, curious=True)
            case 1:
                return _change_of_mind(user, seat)
            case _:
                return _booking(user, seat, curious=False)


def _booking(user: str, seat: Seat, *, curious: bool) -> Scenario:
    response = yield "issue", issue(user)
    if response.status != 201:
        return _wrong("issue", response)
    token = token_of(response)
    for call in _looks(token, seat):
        response = yield call
        if response.status != 200:
            return _wrong(call[0], response)
    response = yield "hold", _hold(seat, token)
    if response.status != 201:
        return _wrong("hold", response)
    held = _held.decode(response.body).data
    for call in _second_looks(user, token, held.id) if curious else ():
        response = yield call
        if response.status != 200:
            return _wrong(call[0], response)
    response = yield "charge", charge(user, held.price)
    if response.status != 200:
        return _wrong("charge", response)
    response = yield "pay", post("/payment", f'{{"seatId":"{held.seat.id}"}}', token)
    if response.status != 201:
        return _wrong("pay", response)
    payment = _id.decode(response.body).data.id
    for call in _looks_back(user, payment) if curious else ():
        response = yield call
        if response.status != 200:
            return _wrong(call[0], response)
    return None


def _change_of_mind(user: str, seat: Seat) -> Scenario:
    response = yield "issue", issue(user)
    if response.status != 201:
        return _wrong("issue", response)
    token = token_of(response)
    response = yield "hold", _hold(seat, token)
    if response.status != 201:
        return _wrong("hold", response)
    held = _held.decode(response.body).data
    response = yield "release", _delete(f"/reservation/{held.id}", token)
    if response.status != 204:
        return _wrong("release", response)
    response = yield "leave", _delete("/queue", token)
    return None if response.status == 204 else _wrong("leave", response)


def _looks(token: str, seat: Seat) -> Step:
    yield "status", get("/queue/status", token)
    yield "dates", get(f"/concert/available-dates?concertId={seat.concert}", token)
    yield "seats", get(f"/concert/available-seats?concertScheduleId={seat.date}", token)


def _second_looks(user: str, token: str, reservation: str) -> Step:
    yield "reservation", get(f"/reservation/{reservation}", token)
    yield "reservations", get("/reservations", token)
    yield "balance", get(f"/user/check?userId={user}")


def _looks_back(user: str, payment: str) -> Step:
    yield "history", get(f"/user/history?userId={user}")
    yield "payment", get(f"/payment/{payment}?userId={user}")
    yield "payments", get(f"/payments?userId={user}")


def _hold(seat: Seat, token: str) -> bytes:
    body = f'{{"concertScheduleId":"{seat.date}","seatNumber":{seat.number}}}'
    return post("/reservation", body, token)


def _delete(path: str, token: str) -> bytes:
    return get(path, token).replace(b"GET ", b"DELETE ", 1)


def _wrong(step: str, response: Response) -> str:
    return f"{step}:{response.status}"
