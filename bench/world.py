"""What workloads use to get ready: users that never were, and answers outside the measurement."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator

import msgspec

from bench.client import Response
from bench.load import Pool
from bench.scenario import Call, Scenario
from bench.target import get, post


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
        return [self.fresh() for _ in range(count)]


class _Issued(msgspec.Struct):
    token: str
    status: str


class _IssuedAnswer(msgspec.Struct):
    data: _Issued


_issued = msgspec.json.Decoder(_IssuedAnswer)


def token_of(response: Response) -> str:
    """The queue token in the answer to ``POST /queue/issue``."""
    return _issued.decode(response.body).data.token


class DateSummary(msgspec.Struct, frozen=True, rename="camel"):
    """One item of ``GET /concert/available-dates``."""

    id: str
    concert_id: str
    total_seats: int
    reserved_seats: int


class _DatesAnswer(msgspec.Struct):
    data: list[DateSummary]


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
            return None if response.status == expected else f"{call[0]}:{response.status}"

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
        return [token_of(answer) for answer in await self.ask_all(calls, 201)]

    async def dates(self, token: str) -> list[DateSummary]:
        """All dates that can be booked, as the service lists them."""
        answer = await self.ask("dates", get("/concert/available-dates", token))
        return msgspec.json.decode(answer.body, type=_DatesAnswer).data


_UNANSWERED = Response(0, b"", b"")


def issue(user: str) -> bytes:
    return post("/queue/issue", f'{{"userId":"{user}"}}')


def charge(user: str, amount: int) -> bytes:
    return post("/user/charge", f'{{"userId":"{user}","amount":{amount}}}')
