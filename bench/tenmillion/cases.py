"""The queries that are measured, and the indexes that they need."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import msgspec

from bench.tenmillion.data import HOLD, NOW, SEATS, Sizes, seat_id, user_id

Values = Callable[[random.Random, Sizes], tuple[Any, ...]]


class Case(msgspec.Struct, frozen=True):
    """One query."""

    key: str
    title: str
    sql: str
    values: Values
    """Arguments by chance."""
    indexes: tuple[str, ...]
    """Without them it reads a whole table."""
    specified_ms: float | None
    """What the specification's author measured after tuning, on MySQL."""
    locks: bool = False


def _user(chance: random.Random, sizes: Sizes) -> str:
    return user_id(chance.randrange(sizes.users))


def _user_alone(chance: random.Random, sizes: Sizes) -> tuple[Any, ...]:
    return (_user(chance, sizes),)


def _user_and_seat(chance: random.Random, sizes: Sizes) -> tuple[Any, ...]:
    return (_user(chance, sizes), seat_id(chance.randrange(sizes.schedules * SEATS)))


def _moment(chance: random.Random, sizes: Sizes) -> tuple[Any, ...]:
    return (NOW - timedelta(microseconds=chance.randrange(1_000)),)


_CASH = (
    "SELECT u.id, u.created_at, c.balance, c.updated_at FROM users u"
    " JOIN cash c ON c.user_id = u.id WHERE u.id = $1::uuid"
)
CASES = (
    Case(
        "either",
        "reservations by user or by seat",
        "SELECT * FROM seat_reservation WHERE user_id = $1::uuid OR seat_id = $2",
        _user_and_seat,
        ("seat_reservation_user", "seat_reservation_seat"),
        836,
    ),
    Case(
        "due",
        "pending, and the time is over",
        "SELECT * FROM seat_reservation WHERE status = 'PENDING' AND expires_at < $1",
        _moment,
        ("seat_reservation_pending",),
        31,
    ),
    Case(
        "pending",
        "pending reservations of a user",
        "SELECT * FROM seat_reservation WHERE user_id = $1::uuid AND status = 'PENDING'",
        _user_alone,
        ("seat_reservation_user",),
        64,
    ),
    Case("cash", "a user with their cash", _CASH, _user_alone, ("cash_pkey",), 30),
    Case(
        "locked",
        "the same, FOR UPDATE",
        f"{_CASH} FOR UPDATE",
        _user_alone,
        ("cash_pkey",),
        95,
        True,
    ),
    Case(
        "exists",
        "whether a user has a pending reservation",
        "SELECT EXISTS (SELECT FROM seat_reservation"
        " WHERE user_id = $1::uuid AND status = 'PENDING')",
        _user_alone,
        ("seat_reservation_user",),
        None,
    ),
)

NOTHING = Case("nothing", "`SELECT 1`", "SELECT 1", lambda *_: (), (), None)

ALTERNATIVES = {
    "user_pending": (
        "CREATE INDEX user_pending ON seat_reservation (user_id) WHERE status = 'PENDING'",
        ("pending", "exists"),
    ),
    "status_expires": (
        "CREATE INDEX status_expires ON seat_reservation (status, expires_at)",
        ("due",),
    ),
}
"""Indexes that are tried and not kept, with the cases that they are for."""


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
