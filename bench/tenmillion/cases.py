"""The queries that are measured, and the indexes that they need."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import msgspec

from actors.connections.postgres import texts
from bench.tenmillion.data import HOLD, NOW, SEATS, Sizes, seat_id, user_id

Values = Callable[[random.Random, Sizes], tuple[Any, ...]]


_SQL = texts("bench.tenmillion", "cases.sql")


class Case(msgspec.Struct, frozen=True):
    """One query."""

    key: str
    title: str
    values: Values
    """Arguments by chance."""
    specified_ms: float | None
    """What the specification's author measured after tuning, on MySQL."""
    indexes: tuple[str, ...]
    """Without them it reads a whole table."""
    locks: bool = False

    @property
    def sql(self) -> str:
        """The statement of this name in ``cases.sql``."""
        return _SQL[self.key]


def _user(chance: random.Random, sizes: Sizes) -> str:
    return user_id(chance.randrange(sizes.users))


def _user_alone(chance: random.Random, sizes: Sizes) -> tuple[Any, ...]:
    return (_user(chance, sizes),)


def _user_and_seat(chance: random.Random, sizes: Sizes) -> tuple[Any, ...]:
    return (_user(chance, sizes), seat_id(chance.randrange(sizes.schedules * SEATS)))


def _moment(chance: random.Random, sizes: Sizes) -> tuple[Any, ...]:
    return (NOW - timedelta(microseconds=chance.randrange(1_000)),)


_BY_USER = "seat_reservation_user"
_USER_OR_SEAT = (_BY_USER, "seat_reservation_seat")
CASES = (
    Case("either", "reservations by user or by seat", _user_and_seat, 836, _USER_OR_SEAT),
    Case("due", "pending, and the time is over", _moment, 31, ("seat_reservation_pending",)),
    Case("pending", "pending reservations of a user", _user_alone, 64, (_BY_USER,)),
    Case("cash", "a user with their cash", _user_alone, 30, ("cash_pkey",)),
    Case("locked", "the same, FOR UPDATE", _user_alone, 95, ("cash_pkey",), locks=True),
    Case("exists", "whether a user has a pending reservation", _user_alone, None, (_BY_USER,)),
)

NOTHING = Case("nothing", "`SELECT 1`", lambda *_: (), None, ())

ALTERNATIVES = {
    "user_pending": (_BY_USER, ("pending", "exists")),
    "status_expires": ("seat_reservation_pending", ("due",)),
}
"""Indexes that are tried and not kept, with the one that would be taken first, and the cases that
they are for."""


def alternative(name: str) -> str:
    """The statement that makes such an index."""
    return _SQL[name]


def samples(case: Case, sizes: Sizes, count: int, seed: int) -> Sequence[tuple[Any, ...]]:
    """So many arguments for a case, the same for each seed."""
    chance = random.Random(seed)
    return [case.values(chance, sizes) for _ in range(count)]


def new_reservations(sizes: Sizes, first: int, count: int) -> tuple[list[Any], ...]:
    """Columns of holds that are not in the tables yet, to be inserted and then paid."""
    chance = random.Random(first)
    numbers = range(sizes.reservations + first, sizes.reservations + first + count)
    seats = [chance.randrange(sizes.schedules * SEATS) for _ in numbers]
    return (
        [f"rsv_new{number}" for number in numbers],
        [seat_id(seat) for seat in seats],
        [f"date-{seat // SEATS}" for seat in seats],
        [_user(chance, sizes) for _ in numbers],
        [50_000] * count,
        [_ms(NOW)] * count,
        [_ms(NOW + HOLD)] * count,
        ["PENDING"] * count,
        [_ms(NOW)] * count,
    )


def _ms(moment: Any) -> int:
    return int(moment.timestamp() * 1000)
