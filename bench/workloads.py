"""What is asked of the service.

Each workload is written as the story of one user and runs unchanged against the service and against
the bare route that gives the same answers.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Mapping
from itertools import cycle
from typing import ClassVar

from bench.record import Side
from bench.scenario import (
    Call,
    Scenario,
    UnmetError,
    charge,
    data_of,
    expect,
    get,
    hold,
    issue,
    single,
)
from bench.stories import booking
from bench.world import DateSummary, UnexpectedAnswerError, World, allocation

POLLERS = 1_000
ACCOUNTS = 10_000
AMOUNT = 1_000
"""Won of each charge."""
MIX_USERS = 1_000
MIX_SHARES = {"status": 50, "seats": 25, "dates": 10, "balance": 10, "charge": 5}
"""Percent."""
MIX_CHOICES = 10_000
"""Requests made beforehand and drawn from, so that drawing costs the generator nothing else."""
RACERS = 500


class Workload(ABC):
    """Something to measure. One instance serves one run against one service."""

    name: ClassVar[str]
    title: ClassVar[str]
    """One line for people."""
    unit: ClassVar[str] = "request"
    """What is counted: one scenario from its begin to its end."""
    settings: ClassVar[Mapping[str, str]] = {}
    """Environment of the service, where this workload needs other than the usual."""
    burst: ClassVar[int] = 0
    """Units that one slice runs to their end, all at once; 0 for slices of a fixed time."""
    connections: ClassVar[int] = 64

    async def prepare(self, world: World) -> None:  # noqa: B027 - optional for workloads
        """Make what the scenarios need, once, before anything is measured."""

    async def before_slice(self, world: World) -> None:  # noqa: B027 - optional for workloads
        """Called before every slice against the service."""

    @abstractmethod
    def scenario(self) -> Scenario | None:
        """The next scenario for the service; ``None`` when there is nothing left to do."""

    def bare_scenario(self) -> Scenario | None:
        """The next scenario for the bare route, if it must not use up what the service's need."""
        return self.scenario()

    def sample(self) -> Scenario | None:
        """A scenario that takes every step once; its answers become those of the bare route."""
        return self.scenario()

    async def verify(self, world: World, service: Side) -> list[str]:
        """What is wrong with the service's state after the run; empty if all is well."""
        return []


class _Status(Workload):
    name = "status"
    title = "GET /queue/status by 1,000 users in turn, half of them waiting"
    settings: ClassVar[Mapping[str, str]] = {"BOOKING_QUEUE_MAX_ACTIVE": str(POLLERS // 2)}
    pollers: ClassVar[int] = POLLERS

    async def prepare(self, world: World) -> None:
        tokens = await world.tokens(world.users.take(self.pollers))
        # From the last: the sample for the bare route is then the answer to one who waits.
        self._requests = cycle([get("/queue/status", token) for token in reversed(tokens)])

    def scenario(self) -> Scenario:
        return single("status", next(self._requests), 200)


class _StatusCrowd(_Status):
    """No token comes again before all others have: the tokens that the service remembers as
    verified are never those that come."""

    name = "status-crowd"
    title = "GET /queue/status by 100,000 users in turn, all but 500 of them waiting"
    settings: ClassVar[Mapping[str, str]] = {
        **_Status.settings,
        "BOOKING_QUEUE_IDLE_SECONDS": "3600",  # lining up takes longer than a minute on some
    }
    pollers: ClassVar[int] = 100_000


class _Issue(Workload):
    name = "issue"
    title = "POST /queue/issue, a fresh user each time"

    async def prepare(self, world: World) -> None:
        self._users = world.users

    def scenario(self) -> Scenario:
        return single("issue", issue(self._users.fresh()), 201)


class _IssueStatus(_Issue):
    name = "issue-status"
    title = "POST /queue/issue, then GET /queue/status, a fresh user each time"
    unit = "user"

    def scenario(self) -> Scenario:
        response = yield from expect("issue", issue(self._users.fresh()), 201)
        yield from expect("status", get("/queue/status", data_of(response)["token"]), 200)


class _ChargeMany(Workload):
    name = "charge-many"
    title = "POST /user/charge over 10,000 users in turn"

    async def prepare(self, world: World) -> None:
        self._requests = cycle([charge(user, AMOUNT) for user in world.users.take(ACCOUNTS)])

    def scenario(self) -> Scenario:
        return single("charge", next(self._requests), 200)


class _ChargeOne(Workload):
    name = "charge-one"
    title = "POST /user/charge for one user"

    def __init__(self) -> None:
        self._done = 0
        self._unclear = 0

    async def prepare(self, world: World) -> None:
        self._user = world.users.fresh()
        self._request = charge(self._user, AMOUNT)

    def scenario(self) -> Scenario:
        self._unclear += 1  # until answered, it may or may not have been done
        response = yield "charge", self._request
        self._unclear -= 1
        if response.status != 200:
            raise UnmetError(f"charge:{response.status}")
        self._done += 1

    def bare_scenario(self) -> Scenario:
        return single("charge", self._request, 200)

    async def verify(self, world: World, service: Side) -> list[str]:
        """Every acknowledged charge is in the balance, and nothing else."""
        answer = await world.ask("balance", get(f"/user/check?userId={self._user}"))
        balance = data_of(answer)["balance"]
        least = self._done * AMOUNT
        most = least + self._unclear * AMOUNT
        if least <= balance <= most:
            return []
        return [f"balance is {balance}, but {self._done} charges make {least} (at most {most})"]


class _Flow(Workload):
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


class _Race(Workload):
    name = "race"
    title = "500 users at once for the 50 seats of a date, a new date each round"
    unit = "attempt"
    burst = RACERS
    connections = RACERS

    def __init__(self, seed: int = 1) -> None:
        self._rng = random.Random(seed)
        self._raced: list[DateSummary] = []

    async def prepare(self, world: World) -> None:
        self._tokens = await world.tokens(world.users.take(RACERS + 1))
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

    def _round(self, date: DateSummary) -> list[bytes]:
        """Every seat is wanted by as many users, in an order nobody knows."""
        wanted = [1 + number % date.total_seats for number in range(RACERS)]
        self._rng.shuffle(wanted)
        return [
            hold(date.id, seat, token) for token, seat in zip(self._tokens, wanted, strict=True)
        ]

    def sample(self) -> Scenario:
        return self._attempt(self._bare[0])

    def scenario(self) -> Scenario | None:
        request = next(self._attempts, None)
        return None if request is None else self._attempt(request)

    def bare_scenario(self) -> Scenario | None:
        return self._attempt(self._rng.choice(self._bare))

    def _attempt(self, request: bytes) -> Scenario:
        """Try to hold one seat; being too late is as good an answer as the seat."""
        yield from expect("hold", request, 201, 409)

    async def verify(self, world: World, service: Side) -> list[str]:
        """In every round each seat went to exactly one user, and the date's own count says so."""
        problems = []
        statuses = service.steps["hold"].statuses
        seats = sum(date.total_seats for date in self._raced)
        lost = RACERS * len(self._raced) - seats
        if (statuses[201], statuses[409]) != (seats, lost):
            problems.append(f"answers {dict(statuses)}, expected 201: {seats}, 409: {lost}")
        counted = {date.id: date.reserved_seats for date in await world.dates(self._looker)}
        for date in self._raced:
            if (reserved := counted.get(date.id)) != date.total_seats:
                problems.append(f"date {date.id}: reservedSeats is {reserved}")
            path = f"/concert/available-seats?concertScheduleId={date.id}&all=true"
            answer = await world.ask("seats", get(path, self._looker))
            states = [seat["state"] for seat in data_of(answer)]
            if states.count("held") != date.total_seats:
                problems.append(f"date {date.id}: {states.count('held')} seats are held")
        return problems


class _Mix(Workload):
    """Mostly reads, as when many look and few buy."""

    name = "mix"
    title = "read-heavy mix: " + ", ".join(f"{step} {n} %" for step, n in MIX_SHARES.items())

    def __init__(self, seed: int = 1) -> None:
        self._rng = random.Random(seed)

    async def prepare(self, world: World) -> None:
        users = world.users.take(MIX_USERS)
        tokens = await world.tokens(users)
        dates = await world.dates(tokens[0])

        def call(step: str) -> Call:
            number = self._rng.randrange(MIX_USERS)
            date, token = self._rng.choice(dates), tokens[number]
            match step:
                case "status":
                    return step, get("/queue/status", token)
                case "seats":
                    path = f"/concert/available-seats?concertScheduleId={date.id}"
                    return step, get(path, token)
                case "dates":
                    return step, get(f"/concert/available-dates?concertId={date.concert_id}", token)
                case "balance":
                    return step, get(f"/user/check?userId={users[number]}")
                case _:
                    return step, charge(users[number], AMOUNT)

        steps = self._rng.choices(list(MIX_SHARES), list(MIX_SHARES.values()), k=MIX_CHOICES)
        self._calls = [call(step) for step in steps]
        self._each = [call(step) for step in MIX_SHARES]

    def scenario(self) -> Scenario:
        step, request = self._calls[int(self._rng.random() * MIX_CHOICES)]
        return single(step, request, 200)

    def sample(self) -> Scenario:
        for step, request in self._each:
            yield from expect(step, request, 200)


WORKLOADS: Mapping[str, type[Workload]] = {
    workload.name: workload
    for workload in (
        *(_Status, _StatusCrowd, _Issue, _IssueStatus, _ChargeMany, _ChargeOne),
        *(_Flow, _Race, _Mix),
    )
}
