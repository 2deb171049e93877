"""What a way is asked: charge and use a user's balance, and reserve a seat, each exactly once.

All three are one thing: read a row, decide, write what follows. A way is how it keeps others from
doing the same in between. Users and seats are rows of one table, so that every way has the same
work; each change also leaves an entry under its command's id, as a shop that is asked twice needs.
"""

import asyncio
import random
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import ExitStack
from typing import ClassVar, Literal, TypeVar

import msgspec

from bench.methods.components import Components

OPENING = 1_000
"""Of a balance: nobody is refused for want of money."""
SEATS_FROM = 1_000_000
"""The first seat's row; users have those from 0 on."""
WAIT_S = 20.0
"""How long a caller waits for a lock or an answer, or tries again."""
T = TypeVar("T")
Kind = Literal["charge", "use", "reserve"]

interruptions: list[Callable[[], object]] = []
"""What happens once between reading and writing, for those who test that."""


class RefusedError(Exception):
    """The balance does not suffice, or the seat is taken."""


class Command(msgspec.Struct, frozen=True, array_like=True):
    """One change of one row. The amount of a reservation is the user's number, from 1 on."""

    kind: Kind
    row: int
    amount: int
    id: str


class Totals(msgspec.Struct, frozen=True):
    """What the rows say: the balance of all users together, and how many of some seats are
    taken."""

    balance: int
    taken: int


def decide(value: int, command: Command) -> int:
    """The row's next value: a balance, or who has the seat (0: nobody). :class:`RefusedError`."""
    if interruptions:
        interruptions.pop()()
    if command.kind == "charge":
        return value + command.amount
    if command.kind == "use" and value >= command.amount:
        return value - command.amount
    if command.kind == "reserve" and value == 0:
        return command.amount
    raise RefusedError(command.kind)


def jitter(attempt: int, base_s: float = 0.002, max_s: float = 0.1) -> float:
    """Seconds to wait before another try: any up to a limit that doubles with each."""
    return random.uniform(0, min(max_s, base_s * 2 ** min(attempt, 20)))


class Way(ABC):
    """One process's access to the rows. What each way's docstring says under *Reviewed* answers the
    question whether it is the best version of itself."""

    name: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ("postgres",)
    """Components by name; the first keeps the rows."""
    serves: ClassVar[tuple[str, ...]] = ()
    """What :meth:`serve` adds to them."""
    processes: ClassVar[int] = 2
    """How many it is made for."""
    exact_in: ClassVar[int] = 2
    """In how many processes it is exact."""
    uses: ClassVar[bool] = True
    """Whether it can take from a balance."""
    interruptible: ClassVar[bool] = True
    """Whether another process can go on while one stands still between reading and writing."""
    writes_stale: ClassVar[bool] = False
    """Whether the one that stood still then writes over what others did."""

    def __init__(self, urls: dict[str, list[str]], index: int = 0, of: int = 1) -> None:
        self.urls = urls
        self.index, self.of = index, of
        self.attempts = 0
        """How often something was tried: as often as it succeeded, if nobody is in the way."""

    @classmethod
    def serve(cls, components: Components, stack: ExitStack) -> dict[str, list[str]]:
        """Start what belongs to the way itself; where its components are reached."""
        return {name: components[name].urls for name in cls.needs}

    @abstractmethod
    async def start(self) -> None:
        """Connect."""

    @abstractmethod
    async def stop(self) -> None:
        """Disconnect."""

    @abstractmethod
    async def prepare(self, users: int, seats: int) -> None:
        """Make users with an opening balance, and free seats. Called in one process."""

    async def admit(self, users: Iterable[int]) -> None:  # noqa: B027 - most need nothing
        """Get what these users need to reserve."""

    @abstractmethod
    async def totals(self, users: int, seats: Sequence[int]) -> Totals:
        """What is true now of so many users and of these seats."""

    @abstractmethod
    async def change(self, command: Command) -> int:
        """Decide and write; the row's next value. :class:`RefusedError`."""

    async def until_done(
        self, attempt: Callable[[], Awaitable[T | None]], base_s: float = 0.002, max_s: float = 0.1
    ) -> T:
        """Try until something comes of it, with random waits that grow. :class:`TimeoutError`."""
        ends, tries = time.monotonic() + WAIT_S, 0
        while True:
            if (found := await attempt()) is not None:
                return found
            if time.monotonic() > ends:
                raise TimeoutError
            await asyncio.sleep(jitter(tries, base_s, max_s))
            tries += 1
            self.attempts += 1

    async def _do(self, kind: Kind, row: int, amount: int) -> int:
        self.attempts += 1
        return await self.change(Command(kind, row, amount, secrets.token_hex(16)))

    async def charge(self, user: int, amount: int) -> int:
        """Add to the balance; the new one."""
        return await self._do("charge", user, amount)

    async def use(self, user: int, amount: int) -> int:
        """Take from the balance; the new one. :class:`RefusedError` if it does not suffice."""
        return await self._do("use", user, amount)

    async def reserve(self, user: int, seat: int) -> None:
        """Take a seat. :class:`RefusedError` if somebody has it."""
        await self._do("reserve", SEATS_FROM + seat, user + 1)
