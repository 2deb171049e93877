"""Whole bookings: what one user asks for, one after the other."""

from collections.abc import Generator, Iterator

from bench.client import Response
from bench.scenario import Call, Scenario, charge, data_of, expect, get, hold, issue, post, request
from bench.world import DateSummary, Seat, Users, allocation

CURIOUS_EVERY = 10
"""One user of so many also looks at everything else, another gives up a hold, a third an order."""


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
        if self._count % CURIOUS_EVERY == 2:
            return _given_up_order(user, seat)
        return booking(user, seat, curious=self._count % CURIOUS_EVERY == 0)


def booking(user: str, seat: Seat, *, curious: bool = False) -> Scenario:
    """One user books one seat in seven requests; a curious one also reads everything else."""
    token = data_of((yield from expect("issue", issue(user), 201)))["token"]
    yield from expect("status", get("/queue/status", token), 200)
    dates = get(f"/concert/available-dates?concertId={seat.concert}", token)
    yield from expect("dates", dates, 200)
    if curious:
        # As a page does that draws the hall; the others have drawn it before.
        plan = get(f"/concert/venue-plan?concertScheduleId={seat.date}")
        yield from expect("plan", plan, 200)
    seats = get(f"/concert/available-seats?concertScheduleId={seat.date}", token)
    yield from expect("seats", seats, 200)
    response = yield from expect("hold", hold(seat.date, seat.number, token), 201)
    held = data_of(response)
    if curious:
        yield from _look(_while_held(user, token, held["id"]))
    yield from expect("charge", charge(user, held["price"]), 200)
    body = f'{{"seatId":"{held["seat"]["id"]}"}}'
    paid = yield from expect("pay", post("/payment", body, token), 201)
    if curious:
        yield from _look(_when_paid(user, data_of(paid)["id"]))


def _change_of_mind(user: str, seat: Seat) -> Scenario:
    token = data_of((yield from expect("issue", issue(user), 201)))["token"]
    response = yield from expect("hold", hold(seat.date, seat.number, token), 201)
    held = request("DELETE", f"/reservation/{data_of(response)['id']}", token)
    yield from expect("release", held, 204)
    yield from expect("leave", request("DELETE", "/queue", token), 204)


def _given_up_order(user: str, seat: Seat) -> Scenario:
    token = data_of((yield from expect("issue", issue(user), 201)))["token"]
    body = f'{{"concertScheduleId":"{seat.date}","seatNumbers":[{seat.number}]}}'
    placed = yield from expect("place", post("/orders", body, token), 201)
    path = f"/orders/{data_of(placed)['id']}"
    yield from expect("orders", get("/orders", token), 200)
    yield from expect("order", get(path, token), 200)
    yield from expect("give up", request("DELETE", path, token), 204)
    yield from expect("leave", request("DELETE", "/queue", token), 204)


def _look(calls: Iterator[Call]) -> Generator[Call, Response, None]:
    for call in calls:
        yield from expect(*call, 200)


def _while_held(user: str, token: str, reservation: str) -> Iterator[Call]:
    yield "reservation", get(f"/reservation/{reservation}", token)
    yield "reservations", get("/reservations", token)
    yield "balance", get(f"/user/check?userId={user}")


def _when_paid(user: str, payment: str) -> Iterator[Call]:
    yield "history", get(f"/user/history?userId={user}")
    yield "payment", get(f"/payment/{payment}?userId={user}")
    yield "payments", get(f"/payments?userId={user}")
