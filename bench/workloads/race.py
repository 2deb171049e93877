"""500 users, all at once, for the 50 seats of one date."""

from __future__ import annotations

import random
from collections.abc import Iterator

import msgspec

from bench.record import Side
from bench.scenario import Scenario
from bench.target import get, post
from bench.workloads.base import Workload
from bench.world import DateSummary, UnexpectedAnswerError, World

USERS = 500


class _SeatState(msgspec.Struct):
    state: str


class _SeatsAnswer(msgspec.Struct):
    data: list[_SeatState]


def attempt(token: str, date: str, number: int) -> Scenario:
    """Try to hold one seat; being too late is as good an answer as the seat."""
    body = f'{{"concertScheduleId":"{date}","seatNumber":{number}}}'
    response = yield "hold", post("/reservation", body, token)
    return None if response.status in (201, 409) else f"hold:{response.status}"


class Race(Workload):
    name = "race"
    title = "500 users at once for the 50 seats of a date, a new date each round"
    unit = "attempt"
    burst = USERS
    connections = USERS

    def __init__(self, seed: int = 1) -> None:
        self._rng = random.Random(seed)
        self._raced: list[DateSummary] = []

    async def prepare(self, world: World) -> None:
        self._tokens = await world.tokens(world.users.take(USERS + 1))
        self._looker = self._tokens.pop()
        dates = await world.dates(self._looker)
        self._dates = iter([date for date in dates if date.reserved_seats == 0])
        self._bare = self._round(next(self._dates))

    async def before_slice(self, world: World) -> None:
        date = next(self._dates, None)
        if date is None:
            raise UnexpectedAnswerError("no untouched date is left for another round")
        self._raced.append(date)
        self._attempts = iter(self._round(date))

    def _round(self, date: DateSummary) -> list[tuple[str, str, int]]:
        """Every seat is wanted by as many users, in an order nobody knows."""
        wanted = [1 + number % date.total_seats for number in range(USERS)]
        self._rng.shuffle(wanted)
        return [(token, date.id, seat) for token, seat in zip(self._tokens, wanted, strict=True)]

    def sample(self) -> Scenario:
        return attempt(*self._bare[0])

    def scenario(self) -> Scenario | None:
        return _next(self._attempts)

    def bare_scenario(self) -> Scenario | None:
        return attempt(*self._rng.choice(self._bare))

    async def verify(self, world: World, service: Side) -> list[str]:
        """In every round each seat went to exactly one user, and the date's own count says so."""
        problems = []
        statuses = service.steps["hold"].statuses
        seats = sum(date.total_seats for date in self._raced)
        lost = USERS * len(self._raced) - seats
        if (statuses[201], statuses[409]) != (seats, lost):
            problems.append(f"answers {dict(statuses)}, expected 201: {seats}, 409: {lost}")
        counted = {date.id: date.reserved_seats for date in await world.dates(self._looker)}
        for date in self._raced:
            if (reserved := counted.get(date.id)) != date.total_seats:
                problems.append(f"date {date.id}: reservedSeats is {reserved}")
            path = f"/concert/available-seats?concertScheduleId={date.id}&all=true"
            answer = await world.ask("seats", get(path, self._looker))
            states = [s.state for s in msgspec.json.decode(answer.body, type=_SeatsAnswer).data]
            if states.count("held") != date.total_seats:
                problems.append(f"date {date.id}: {states.count('held')} seats are held")
        return problems


def _next(attempts: Iterator[tuple[str, str, int]]) -> Scenario | None:
    following = next(attempts, None)
    return None if following is None else attempt(*following)
