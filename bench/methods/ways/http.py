"""The single writer as it ships: ``booking serve``, asked over HTTP."""

from __future__ import annotations

import asyncio
import secrets
import uuid
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from bench.client import Connection, Response, Target
from bench.methods.components import Components, fresh_database
from bench.methods.way import Command, RefusedError, Totals, Way
from bench.rig import SEATS_PER_DATE, Rig, Setup
from bench.scenario import KEY_FIELD, charge, data_of, get, hold, issue

DATES = 200
LOOKER = 1_000_000
"""A user who only looks."""


class _Caller:
    """One keep-alive connection; a request at a time."""

    def __init__(self) -> None:
        self._answer: asyncio.Future[Response] | None = None

    async def open(self, target: Target) -> _Caller:
        loop = asyncio.get_running_loop()
        _, self._connection = await loop.create_connection(
            lambda: Connection(self), target.host, target.port
        )
        return self

    async def ask(self, request: bytes) -> Response:
        self._answer = asyncio.get_running_loop().create_future()
        key = b"Idempotency-Key: %b\r\n" % secrets.token_hex(16).encode()
        self._connection.send(request.replace(KEY_FIELD, key, 1))
        return await self._answer

    def answered(self, response: Response) -> None:
        assert self._answer is not None
        self._answer.set_result(response)

    def lost(self, reason: str) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError(reason))


class HttpWay(Way):
    """Charges and holds of the service itself: two instances, each of which owns half of the rows
    and sends on what is the other's. Each process of callers asks one of them.

    Reviewed: this is the whole product, not a table: tokens are verified, limits counted, a hold is
    noted in the user's account as well, so it is two entities' work and two commits. The key is
    durable, too. It has no bare *use*: spending is a payment, a chain of steps that this table
    would compare with nothing.
    """

    name = "single writer, HTTP"
    needs = ("postgres",)
    uses = False

    @classmethod
    def serve(cls, components: Components, stack: ExitStack) -> dict[str, list[str]]:
        """Instances on a database of their own."""
        setup = Setup(
            dates=DATES,
            database_url=fresh_database(components, "service"),
            redis_url=components["valkey"].url,
        )
        rig = stack.enter_context(Rig(setup, {"BOOKING_MAX_HOLDS": "50"}, lambda _: None))
        another, port = rig.start_another("ways")
        components.own("service", lambda: [rig.running.pid, another.pid])
        return {"service": [str(rig.port), str(port)]}

    async def start(self) -> None:
        """Connections are opened when they are needed."""
        ports = self.urls["service"]
        self._target = Target("127.0.0.1", int(ports[self.index % len(ports)]))
        self._free: list[_Caller] = []
        self._tokens: dict[int, str] = {}
        self._salt = secrets.randbits(32)
        """Of those who race: each does once, and no process has those of another."""

    async def stop(self) -> None:
        """The service ends with the run."""

    async def _ask(self, request: bytes) -> Response:
        caller = self._free.pop() if self._free else await _Caller().open(self._target)
        response = await caller.ask(request)
        self._free.append(caller)
        return response

    async def prepare(self, users: int, seats: int) -> None:
        """Nothing: a user is made when first asked for, and dates are in the catalogue."""

    async def admit(self, users: Sequence[int]) -> None:
        """Get the tokens that these users need to reserve."""
        for user in users:
            if user not in self._tokens:
                answer = await self._ask(issue(_user(user, self._salt)))
                self._tokens[user] = data_of(answer)["token"]

    async def totals(self, users: int, seats: Sequence[int]) -> Totals:
        """Ask for each balance, and for the dates of the seats."""
        await self.admit([LOOKER])
        paths = [f"/user/check?userId={_user(user)}" for user in range(users)]
        asked = [self._data(get(path)) for path in paths]
        balances = [balance["balance"] for balance in await _in_turn(asked)]
        dates = sorted({seat // SEATS_PER_DATE for seat in seats})
        path = "/concert/available-seats?all=true&concertScheduleId="
        maps = [await self._data(get(path + _date(date), self._tokens[LOOKER])) for date in dates]
        taken = [seat for each in maps for seat in each if seat["state"] != "available"]
        return Totals(sum(balances), len(taken))

    async def _data(self, request: bytes) -> Any:
        return data_of(await self._ask(request))

    async def change(self, command: Command) -> int:
        """Not a row: see the calls."""
        raise NotImplementedError

    async def charge(self, user: int, amount: int) -> int:
        """``POST /user/charge``."""
        self.attempts += 1
        response = await self._ask(charge(_user(user), amount))
        if response.status != 200:
            raise ConnectionError(f"status {response.status}")
        return int(data_of(response)["balance"])

    async def reserve(self, user: int, seat: int) -> None:
        """``POST /reservation``."""
        self.attempts += 1
        number = seat % SEATS_PER_DATE + 1
        response = await self._ask(hold(_date(seat // SEATS_PER_DATE), number, self._tokens[user]))
        if response.status == 409:
            raise RefusedError("reserve")
        if response.status != 201:
            raise ConnectionError(f"status {response.status}: {response.body[:200]!r}")


def _user(number: int, salt: int = 0) -> str:
    return str(uuid.UUID(int=(salt << 96) | (4 << 76) | (8 << 60) | number))


def _date(number: int) -> str:
    return f"bench-date-{number + 1}"


async def _in_turn(asked: Sequence[Any], at_once: int = 64) -> list[Any]:
    answers: list[Any] = []
    for first in range(0, len(asked), at_once):
        answers += await asyncio.gather(*asked[first : first + at_once])
    return answers
