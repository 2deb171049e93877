"""Rows from a seed, as text for COPY: so many reservations, a tenth as many users with cash, and a
payment for each reservation that was paid."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta

import asyncpg
import msgspec

SEED = 20_261_130
NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
"""The moment at which the tables are as they are."""
HOLD = timedelta(minutes=5)
USER_EVERY = 10
"""Reservations for each user."""
PENDING_EVERY = 400
DUE_EVERY = 250
"""Of pending reservations: those whose time is over and that nobody has ended yet."""
CHUNK = 1_000
"""Rows made at a time, which share their time."""
SEATS = 50
_SPREAD = 0x9E3779B97F4A7C15
_MASK = 2**64 - 1


class Sizes(msgspec.Struct, frozen=True):
    """How much there is."""

    reservations: int

    @property
    def users(self) -> int:
        """So many have cash, too."""
        return max(1, self.reservations // USER_EVERY)

    @property
    def schedules(self) -> int:
        """Dates: three of four reservations have a seat of their own."""
        return max(1, self.reservations * 3 // 4 // SEATS)


def name(kind: str, number: int) -> str:
    """An id like those of the service: in no order, as random ones are."""
    return f"{kind}{number * _SPREAD & _MASK:016x}{number:016x}"


def user_id(number: int) -> str:
    """The ``number``-th user."""
    digits = name("", number)
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def seat_id(number: int) -> str:
    """The ``number``-th of all seats."""
    return f"date-{number // SEATS}-{number % SEATS + 1}"


Reservation = tuple[int, int, int, str, str, str]
"""Number, number of the user, number of the seat, status, created, expires."""


def reservations(sizes: Sizes) -> Iterator[list[Reservation]]:
    """All of them, some at a time, the same each time."""
    chance = random.Random(SEED)
    users, seats = range(sizes.users), range(sizes.schedules * SEATS)
    words = ["COMPLETED"] * 70 + ["EXPIRED"] * 20 + ["CANCELLED"] * 10
    for first in range(0, sizes.reservations, CHUNK):
        count = min(CHUNK, sizes.reservations - first)
        age = timedelta(days=365) * ((sizes.reservations - first) / sizes.reservations)
        made, ends = (str(NOW - age - HOLD), str(NOW - age))
        chunk = zip(
            range(first, first + count),
            chance.choices(users, k=count),
            chance.choices(seats, k=count),
            chance.choices(words, k=count),
            strict=True,
        )
        yield [
            (*row, made, ends) if row[0] % PENDING_EVERY else _pending(*row[:3]) for row in chunk
        ]


def _pending(number: int, user: int, seat: int) -> Reservation:
    due = number // PENDING_EVERY % DUE_EVERY == 0
    left = timedelta(milliseconds=-1 - number % 1_000 if due else 1 + number % 300_000)
    return number, user, seat, "PENDING", str(NOW + left - HOLD), str(NOW + left)


async def load(connection: asyncpg.Connection, sizes: Sizes) -> None:
    """Fill the four tables, which have no indexes yet."""
    made = str(NOW - timedelta(days=366))
    users = range(sizes.users)
    tables = {
        "users": ("id created_at", (f"{user_id(n)}\t{made}\n" for n in users)),
        "cash": (
            "user_id balance created_at updated_at",
            (f"{user_id(n)}\t{n % 1_000 * 1_000}\t{made}\t{made}\n" for n in users),
        ),
        "seat_reservation": (
            "id seat_id concert_schedule_id user_id status price created_at expires_at updated_at",
            (
                f"{name('rsv_', n)}\t{seat_id(seat)}\tdate-{seat // SEATS}\t{user_id(user)}\t"
                f"{status}\t50000\t{made}\t{ends}\t{made}\n"
                for chunk in reservations(sizes)
                for n, user, seat, status, made, ends in chunk
            ),
        ),
        "payment": (
            "id user_id seat_reservation_id seat_id amount status created_at updated_at",
            (
                f"{name('pay_', n)}\t{user_id(user)}\t{name('rsv_', n)}\t{seat_id(seat)}\t50000\t"
                f"COMPLETED\t{made}\t{made}\n"
                for chunk in reservations(sizes)
                for n, user, seat, status, made, _ in chunk
                if status == "COMPLETED"
            ),
        ),
    }
    for table, (columns, lines) in tables.items():
        async with connection.transaction():
            # In the transaction of a TRUNCATE, rows can be written as ones that all can see.
            await connection.execute(f"TRUNCATE {table}")
            await connection.copy_to_table(
                table, source=_encoded(lines), columns=columns.split(), freeze=True
            )


async def _encoded(lines: Iterator[str]) -> AsyncIterator[bytes]:
    """Some 100 kB at a time."""
    chunk: list[str] = []
    for line in lines:
        chunk.append(line)
        if len(chunk) == CHUNK:
            yield "".join(chunk).encode()
            chunk.clear()
    yield "".join(chunk).encode()
