"""What workloads use to get ready: users that never were, and answers outside the measurement."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from bench.client import Response
from bench.load import Pool
from bench.scenario import Call, Scenario, UnmetError, data_of, get, issue

DATES_AT_ONCE = 16
"""Dates that are booked at the same time: about as many as go on sale together in a season."""
_UNANSWERED = Response(0, b"", b"")


class UnexpectedAnswerError(Exception):
    """The service answered something that the workload cannot go on with."""


class Users:
    """User ids in canonical form, all different, of the version and variant of a random UUID."""

    def __init__(self) -> None:
        self._prefix = f"{secrets.token_hex(4)}-{secrets.token_hex(2)}-4000-8000"
        self._count = 0

    def fresh(self) -> str:
        """A user that nobody has heard of."""
        self._count += 1
        return f"{self._prefix}-{self._count:012x}"

    def take(self, count: int) -> list[str]:
        """So many fresh users."""
        return [self.fresh() for _ in range(count)]


class DateSummary(msgspec.Struct, frozen=True, rename="camel"):
    """One item of ``GET /concert/available-dates``."""

    id: str
    concert_id: str
    total_seats: int
    reserved_seats: int


class World:
    """The service as a workload sees it while nothing is measured."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.users = Users()

    async def ask_all(self, calls: Iterable[Call], expected: int) -> list[Response]:
        """Send every request and return the answers in the same order. Raises
        :class:`UnexpectedAnswerError` unless all have the expected status."""
        answers: list[Response] = []
        remaining: Iterator[tuple[int, Call]] = enumerate(calls)

        def scenario(number: int, call: Call) -> Scenario:
            answers.extend([_UNANSWERED] * (number + 1 - len(answers)))
            answers[number] = response = yield call
            if response.status != expected:
                raise UnmetError(f"{call[0]}:{response.status}")

        def supply() -> Scenario | None:
            following = next(remaining, None)
            return None if following is None else scenario(*following)

        recorder, _ = await self.pool.burst(supply)
        if recorder.failures:
            wrong = next((a for a in answers if a.status != expected), _UNANSWERED)
            raise UnexpectedAnswerError(f"{dict(recorder.failures)}: {wrong.body[:300]!r}")
        return answers

    async def ask(self, step: str, request: bytes, expected: int = 200) -> Response:
        """One request, one answer."""
        return (await self.ask_all([(step, request)], expected))[0]

    async def tokens(self, users: Iterable[str]) -> list[str]:
        """Line these users up; their tokens in the same order."""
        calls = (("issue", issue(user)) for user in users)
        return [data_of(answer)["token"] for answer in await self.ask_all(calls, 201)]

    async def dates(self, token: str) -> list[DateSummary]:
        """All dates that can be booked, as the service lists them."""
        answer = await self.ask("dates", get("/concert/available-dates", token))
        return msgspec.convert(data_of(answer), list[DateSummary])


class Seat(msgspec.Struct, frozen=True):
    """A seat to book, by the ids of its concert and date."""

    concert: str
    date: str
    number: int


def allocation(dates: Sequence[DateSummary], at_once: int = DATES_AT_ONCE) -> Iterator[Seat]:
    """Every seat of the untouched dates exactly once, seat by seat over ``at_once`` dates in turn,
    then over the next ones."""
    untouched = [date for date in dates if date.reserved_seats == 0]
    for first in range(0, len(untouched), at_once):
        window = untouched[first : first + at_once]
        for number in range(1, max(date.total_seats for date in window) + 1):
            for date in window:
                if number <= date.total_seats:
                    yield Seat(date.concert_id, date.id, number)
