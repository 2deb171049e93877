"""The whole booking: line up, look, hold, charge, pay."""

from __future__ import annotations

import msgspec

from bench.record import Side
from bench.scenario import Scenario
from bench.target import get, post
from bench.workloads.base import Workload
from bench.workloads.seats import Seat, allocation
from bench.world import World, charge, issue, token_of


class _HeldSeat(msgspec.Struct):
    id: str


class _Held(msgspec.Struct):
    seat: _HeldSeat
    price: int


class _HeldAnswer(msgspec.Struct):
    data: _Held


_held = msgspec.json.Decoder(_HeldAnswer)


def booking(user: str, seat: Seat) -> Scenario:
    """One user books one seat, in seven requests."""
    response = yield "issue", issue(user)
    if response.status != 201:
        return f"issue:{response.status}"
    token = token_of(response)
    for step, path in (
        ("status", "/queue/status"),
        ("dates", f"/concert/available-dates?concertId={seat.concert}"),
        ("seats", f"/concert/available-seats?concertScheduleId={seat.date}"),
    ):
        response = yield step, get(path, token)
        if response.status != 200:
            return f"{step}:{response.status}"
    body = f'{{"concertScheduleId":"{seat.date}","seatNumber":{seat.number}}}'
    response = yield "hold", post("/reservation", body, token)
    if response.status != 201:
        return f"hold:{response.status}"
    held = _held.decode(response.body).data
    response = yield "charge", charge(user, held.price)
    if response.status != 200:
        return f"charge:{response.status}"
    response = yield "pay", post("/payment", f'{{"seatId":"{held.seat.id}"}}', token)
    return None if response.status == 201 else f"pay:{response.status}"


class Flow(Workload):
    name = "flow"
    title = "whole booking: issue, status, dates, seats, hold, charge, pay; each user once"
    unit = "booking"

    async def prepare(self, world: World) -> None:
        self._users = world.users
        (token,) = await world.tokens(world.users.take(1))
        dates = await world.dates(token)
        self._seats = allocation(dates)
        self._any = next(allocation(dates))

    def scenario(self) -> Scenario | None:
        seat = next(self._seats, None)
        return None if seat is None else booking(self._users.fresh(), seat)

    def bare_scenario(self) -> Scenario:
        return booking(self._users.fresh(), self._any)

    async def verify(self, world: World, service: Side) -> list[str]:
        if next(self._seats, None) is None:
            return ["all seats were sold before the end: import a larger catalogue (--dates)"]
        return []
