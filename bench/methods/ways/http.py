"""The single writer as it ships: ``booking serve``, asked over HTTP."""

import secrets
import uuid
from collections.abc import Iterable, Sequence
from contextlib import ExitStack

from bench.methods.components import Component, Components
from bench.methods.database import Postgres, fresh_database
from bench.methods.way import Command, RefusedError, Totals, Way
from bench.rig import SEATS_PER_DATE, Rig, Setup
from booking_client import AsyncBooking
from booking_client.errors import SeatUnavailable

DATES = 200
LOOKER = 1_000_000
"""A user who only looks."""
CHARGED = """SELECT coalesce(sum((payload->>'amount')::bigint), 0) FROM journal
WHERE type = 'Charged'"""


class HttpWay(Way):
    """Charges and holds of the service itself: two instances, each of which owns half of the rows
    and sends on what is the other's. Each process of callers asks one of them, through the client
    that ships with it.

    Reviewed: this is the whole product, not a table: tokens are verified, limits counted, a hold is
    noted in the user's account as well, so it is two entities' work and two commits. The key is
    durable, too. It has no bare *use*: spending is a payment, a chain of steps that this table
    would compare with nothing.
    """

    name = "single writer, HTTP"
    serves = ("service",)
    uses = interruptible = False

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
        components["service"] = Component(pids=lambda: [rig.running.pid, another.pid])
        urls = [f"http://127.0.0.1:{each}" for each in (rig.port, port)]
        return {"service": urls, "journal": [setup.database_url]}

    async def start(self) -> None:
        urls = self.urls["service"]
        self._service = AsyncBooking(urls[self.index % len(urls)], connections_max=256)
        self._journal = Postgres(self.urls["journal"][0], 1)
        await self._journal.open()
        self._tokens: dict[int, str] = {}
        self._salt = secrets.randbits(32)
        """Of those who race: each does once, and no process has those of another."""

    async def stop(self) -> None:
        await self._journal.close()
        await self._service.close()

    async def prepare(self, users: int, seats: int) -> None:
        """Nothing: a user is made when first asked for, and dates are in the catalogue."""

    async def admit(self, users: Iterable[int]) -> None:
        for user in users:
            if user not in self._tokens:
                place = await self._service.issue(_user(user, self._salt))
                self._tokens[user] = place.token

    async def totals(self, users: int, seats: Sequence[int]) -> Totals:
        """What the journal says of money, and the service of seats."""
        await self.admit([LOOKER])
        taken = 0
        for date in {_date(seat // SEATS_PER_DATE) for seat in seats}:
            found = await self._service.seats(self._tokens[LOOKER], date, all_states=True)
            taken += sum(seat.state != "available" for seat in found)
        return Totals(await self._journal.number(CHARGED), taken)

    async def change(self, command: Command) -> int:
        """Not a row: see the calls."""
        raise NotImplementedError

    async def charge(self, user: int, amount: int) -> int:
        self.attempts += 1
        return await self._service.charge(_user(user), amount)

    async def reserve(self, user: int, seat: int) -> None:
        self.attempts += 1
        date, number = _date(seat // SEATS_PER_DATE), seat % SEATS_PER_DATE + 1
        try:
            await self._service.reserve_number(self._tokens[user], date, number)
        except SeatUnavailable:
            raise RefusedError("reserve") from None


def _user(number: int, salt: int = 0) -> str:
    return str(uuid.UUID(int=(salt << 96) | (4 << 76) | (8 << 60) | number))


def _date(number: int) -> str:
    return f"bench-date-{number + 1}"
