"""Plausible clean journals, written without the service: as rows, or straight into Postgres."""

from __future__ import annotations

import copy
import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from actors.address import Address, stable_hash
from booking.accounts.domain import account
from booking.domain.decision import Code
from booking.queue.domain import events as queue_events
from booking.seats.domain import ledger, seat

COLUMNS = ("shard", "seq", "epoch", "entity", "at_ms", "version", "address", "type", "payload")
LONG_AGO_MS = 1_700_000_000_000
HOLD_MS = 300_000
REST_SHARE = 10
"""A seat rests for a tenth of the time it was held."""


class JournalRow(msgspec.Struct):
    """One row of the journal, with its payload as a dict that a test may tamper with."""

    shard: int
    seq: int
    epoch: int
    entity: int
    at_ms: int
    version: int
    address: str
    type: str
    payload: dict[str, Any]

    @property
    def values(self) -> tuple[Any, ...]:
        values = [getattr(self, column) for column in COLUMNS[:-1]]
        return (*values, msgspec.json.encode(self.payload).decode())


def user_id(number: int) -> str:
    return str(UUID(int=number + (4 << 76) + (8 << 60)))


class JournalBuilder:
    """Appends what the entities would have journalled, in an order they could have.

    ``epochs`` says at which seq of each shard a new epoch begins, so that there is more than one.
    """

    def __init__(self, at_ms: int = LONG_AGO_MS, epoch_every: int = 1_000_000) -> None:
        self.now_ms = at_ms
        self.rows: list[JournalRow] = []
        self.balances: dict[str, int] = defaultdict(int)
        self.last_number: dict[str, int] = defaultdict(int)
        self.watermark: dict[str, int] = defaultdict(int)
        self._seqs: dict[int, int] = defaultdict(int)
        self._epoch_every = epoch_every
        self._ids = 0

    def add(self, address: Address, event: msgspec.Struct) -> None:
        shard = address.slot
        self._seqs[shard] += 1
        seq = self._seqs[shard]
        self.rows.append(
            JournalRow(
                shard,
                seq,
                1 + (seq - 1) // self._epoch_every,
                stable_hash(address.text),
                self.now_ms,
                1,
                address.text,
                type(event).__name__,
                msgspec.to_builtins(event),
            )
        )

    def new_id(self, prefix: str) -> str:
        self._ids += 1
        return f"{prefix}-{self._ids:08d}"

    def charge(self, user: str, amount: int) -> None:
        self.balances[user] += amount
        charged = account.Charged(self.new_id("chg"), amount, self.balances[user])
        self.add(Address("account", user), charged)

    def join(self, name: str, user: str) -> int:
        self.last_number[name] += 1
        number = self.last_number[name]
        self.add(Address("queue", name), queue_events.Joined(user, number, self.now_ms))
        return number

    def admit(self, name: str, last: int, count: int) -> None:
        first, self.watermark[name] = self.watermark[name] + 1, last
        admitted = queue_events.Admitted(first, last, count, self.now_ms, self.now_ms + 600_000)
        self.add(Address("queue", name), admitted)

    def hold(self, user: str, date: str, number: int, price: int = 1_000) -> account.Reservation:
        """A seat is held, its date's ledger counts it, and the user's account notes it."""
        held = account.Reservation(
            self.new_id("rsv"), date, number, price, self.now_ms, self.now_ms + HOLD_MS
        )
        self.add(
            Address("seat", date, str(number)),
            seat.SeatHeld(held.id, user, held.until_ms, price, held.created_ms),
        )
        counted = ledger.HoldCounted(number, held.id, user, held.until_ms)
        self.add(Address("ledger", date), counted)
        self.now_ms += 1
        noted = account.ReservationNoted(
            held.id, date, number, price, held.created_ms, held.until_ms
        )
        self.add(Address("account", user), noted)
        return held

    def end_hold(self, user: str, held: account.Reservation, *, expired: bool) -> None:
        event = seat.HoldExpired if expired else seat.HoldReleased
        if expired:
            self.now_ms = max(self.now_ms, held.until_ms)
        self.add(Address("seat", held.schedule, str(held.seat)), event(held.id, user))
        held_ms = min(self.now_ms, held.until_ms) - held.created_ms
        rest = (self.now_ms, held_ms // REST_SHARE) if held_ms >= REST_SHARE else ()
        uncounted = ledger.HoldUncounted(held.seat, held.id, *rest)
        self.add(Address("ledger", held.schedule), uncounted)
        if not expired:
            self.add(Address("account", user), account.ReservationCancelled(held.id))

    def start_payment(self, user: str, held: account.Reservation, number: int = 1) -> str:
        payment = self.new_id("pay")
        self.balances[user] -= held.price
        started = account.PaymentStarted(
            payment,
            held.id,
            held.schedule,
            held.seat,
            held.price,
            self.balances[user],
            "main",
            number,
            self.now_ms,
        )
        self.add(Address("account", user), started)
        return payment

    def sell(self, user: str, held: account.Reservation, payment: str) -> None:
        sold = seat.SeatSold(held.id, user, payment, held.price)
        self.add(Address("seat", held.schedule, str(held.seat)), sold)
        self.add(Address("ledger", held.schedule), ledger.SaleCounted(held.seat, held.id))

    def complete(self, user: str, held: account.Reservation, payment: str) -> None:
        self.now_ms += 1
        completed = account.PaymentCompleted(
            payment, held.id, held.schedule, held.seat, held.price, self.now_ms
        )
        self.add(Address("account", user), completed)

    def refund(self, user: str, held: account.Reservation, payment: str) -> None:
        self.balances[user] += held.price
        refunded = account.PaymentRefunded(
            payment, held.id, held.price, self.balances[user], Code.HOLD_EXPIRED, "Too late."
        )
        self.add(Address("account", user), refunded)

    def pay(self, user: str, held: account.Reservation) -> None:
        payment = self.start_payment(user, held)
        self.sell(user, held, payment)
        self.complete(user, held, payment)

    # -- rows -------------------------------------------------------------------------------------

    def sorted_rows(self) -> list[JournalRow]:
        """A copy, in the order an audit reads them."""
        return sorted(copy.deepcopy(self.rows), key=lambda row: (row.shard, row.seq))

    def epochs(self) -> dict[int, int]:
        """The last epoch of each shard."""
        return {shard: 1 + (seq - 1) // self._epoch_every for shard, seq in self._seqs.items()}


def season(at_ms: int = LONG_AGO_MS, *, users: int = 6, epoch_every: int = 7) -> JournalBuilder:
    """A small journal with a bit of everything: every event type, holds that ended in every way,
    a refund, users who left, and two epochs."""
    book = JournalBuilder(at_ms, epoch_every)
    people = [user_id(number) for number in range(1, users + 1)]
    for user in people:
        book.join("main", user)
    book.add(Address("queue", "main"), queue_events.Left(people[1], 2))
    book.admit("main", 4, 3)
    for user in people:
        book.charge(user, 5_000)
        book.charge(user, 700)
    released = book.hold(people[0], "d-one", 3)
    book.end_hold(people[0], released, expired=False)
    expired = book.hold(people[1], "d-one", 3)
    late = book.start_payment(people[1], expired)
    book.end_hold(people[1], expired, expired=True)
    book.refund(people[1], expired, late)
    for place, user in enumerate(people[:3]):
        book.pay(user, book.hold(user, "d-one", 3 + place, 1_200))
    book.add(Address("queue", "main"), queue_events.TokenUsed(people[0], 1))
    book.add(Address("queue", "main"), queue_events.TokensExpired((3, 4)))
    book.pay(people[3], book.hold(people[3], "d-two", 1, 2_000))
    book.hold(people[4], "d-two", 2)
    book.charge(people[0], 50)
    return book


def busy_season(events: int, *, users: int = 20_000, seats_a_date: int = 50) -> JournalBuilder:
    """A large clean journal: users join, charge, hold, pay; dates sell out one after the other."""
    book = JournalBuilder(epoch_every=3_000)
    for place in itertools.count():
        if len(book.rows) >= events:
            break
        _sell(book, place, users, seats_a_date)
    return book


def busy_rows(book: JournalBuilder, events: int, users: int) -> Iterator[JournalRow]:
    """The rows of such a journal, of which ``book`` keeps none."""
    made = 0
    for place in itertools.count():
        if made >= events:
            break
        _sell(book, place, users, seats_a_date=50)
        made += len(book.rows)
        yield from book.rows
        book.rows.clear()


def _sell(book: JournalBuilder, place: int, users: int, seats_a_date: int) -> None:
    user = user_id(place % users + 1)
    date, number = f"date-{place // seats_a_date}", place % seats_a_date + 1
    joined = book.join("main", user)
    book.admit("main", joined, 1)
    book.charge(user, 50_000)
    if place % 10 == 0:
        other = book.hold(user_id((place + 1) % users + 1), date, number, 40_000)
        book.end_hold(user_id((place + 1) % users + 1), other, expired=False)
    book.pay(user, book.hold(user, date, number, 40_000))
    book.add(Address("queue", "main"), queue_events.TokenUsed(user, joined))


async def write(
    dsn: str, rows: Iterable[JournalRow], epochs: dict[int, int] | Callable[[], dict[int, int]]
) -> None:
    """Put rows and the claims they need into a database that has the schema."""
    conn = await asyncpg.connect(dsn)
    try:
        async with conn.transaction():
            await conn.execute("TRUNCATE journal, epochs, snapshots")
            await conn.execute("UPDATE shards SET epoch = 0")
            await conn.copy_records_to_table("journal", columns=COLUMNS, records=_records(rows))
            epochs = epochs if isinstance(epochs, dict) else epochs()
            await conn.executemany(
                "UPDATE shards SET epoch = $2 WHERE shard = $1", sorted(epochs.items())
            )
            claims = [
                (shard, epoch, "one", f"run-{epoch}")
                for shard, last in epochs.items()
                for epoch in range(1, last + 1)
            ]
            await conn.executemany(
                "INSERT INTO epochs VALUES ($1, $2, $3, $4, now())", sorted(claims)
            )
    finally:
        await conn.close()


def _records(rows: Iterable[JournalRow]) -> Iterator[tuple[Any, ...]]:
    return (row.values for row in rows)
