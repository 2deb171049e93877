"""What is left of a payment whose process dies after one of its steps, done in three ways.

``python -m tests.support.kill_table DSN`` prints the table of ``docs/explanation/services.md``. The
database has the service's schema, and nothing else of the service runs on it. Each line is of a
process that pays and sends itself SIGKILL after its step, and of one that starts after it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
import traceback
import uuid
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import asyncpg

from actors.clock import SystemClock
from actors.consumers.contract import Consumer, Step
from actors.consumers.postgres import PostgresOffsets
from actors.journal.contract import Batch
from actors.journal.partitioned import journal_over
from actors.journal.postgres import PostgresJournal
from actors.runtime import Runtime
from booking.accounts.domain.account import Charge, GetAccount, NoteReservation, Pay, Reservation
from booking.accounts.entity import AccountBehaviour
from booking.catalogue.domain import Catalogue, Schedule
from booking.domain.persistent import Prices
from booking.entities import account_address, queue_address, seat_address
from booking.queue.domain.events import Policy
from booking.queue.domain.queue import Join
from booking.queue.entity import QueueBehaviour
from booking.seats.domain.seat import HoldSeat
from booking.seats.entity import HoldRules, LedgerBehaviour, SeatBehaviour

TABLES = """
CREATE SCHEMA payments CREATE TABLE account (run text PRIMARY KEY, balance bigint NOT NULL);
CREATE SCHEMA reservations CREATE TABLE seat (run text PRIMARY KEY, sold boolean NOT NULL);
CREATE SCHEMA queues CREATE TABLE token (run text PRIMARY KEY, used boolean NOT NULL);
CREATE SCHEMA elsewhere CREATE TABLE told (run text NOT NULL, id text NOT NULL);
"""
"""The services of the first two ways. ``elsewhere`` stands for a broker or a mail server: what is
written there is in no transaction of theirs."""
TAKE = "UPDATE payments.account SET balance = 0 WHERE run = $1"
SELL = "UPDATE reservations.seat SET sold = true WHERE run = $1"
END = "UPDATE queues.token SET used = true WHERE run = $1"
TELL = "INSERT INTO elsewhere.told (run, id) VALUES ($1, $2)"
SEEN = """
SELECT balance = 0, sold, used FROM payments.account JOIN reservations.seat USING (run)
  JOIN queues.token USING (run) WHERE run = $1
"""
HAS = """
SELECT EXISTS (SELECT FROM journal WHERE type = $1 AND strpos(address || payload::text, $2) > 0)
"""
SAGA_EFFECTS = ("PaymentStarted", "SeatSold", "TokenUsed")
"""The events that say the same of the third way, each with its user."""
PRICE, DATE, QUEUE = 1_000, "kill", "main"
EFFECTS = ("money", "seat", "token", "message")
RECOVERY_MAX_S = 30.0

Done = Callable[[str], None]
"""Told of each step when it is done. It does not return from the last one."""
Way = Callable[[str, str, Done], Awaitable[None]]


@dataclass(frozen=True)
class Line:
    """One death, and which effects there are once somebody has started again."""

    way: str
    step: str
    money: bool
    seat: bool
    token: bool
    told: Sequence[str]
    """The ids of the messages."""

    @property
    def done(self) -> Sequence[str]:
        happened = (self.money, self.seat, self.token, bool(self.told))
        return [name for name, there in zip(EFFECTS, happened, strict=True) if there]

    @property
    def lost(self) -> str:
        if self.done == ["message"]:
            return "the truth: the message tells of a payment that is not"
        if not self.done:
            return "nothing: it has not happened"
        missing = [name for name in EFFECTS if name not in self.done]
        if missing:
            return f"the {', the '.join(missing)}"
        if len(self.told) > 1:
            assert len(set(self.told)) == 1, self
            return "nothing: the message is told twice, with one id"
        return "nothing: all of it has happened"

    def __str__(self) -> str:
        there = " | ".join("yes" if name in self.done else "no" for name in EFFECTS)
        return f"| {self.way} | {self.step} | {there} | {self.lost} |"


# -- the ways --------------------------------------------------------------------------------------


async def one_transaction(dsn: str, run: str, done: Done) -> None:
    """All tables in one database; the message is sent before the end, so that it cannot be
    forgotten."""
    here, elsewhere = await asyncpg.connect(dsn), await asyncpg.connect(dsn)
    async with here.transaction():
        await here.execute(TAKE, run)
        done("the money is taken")
        await here.execute(SELL, run)
        done("the seat is sold")
        await here.execute(END, run)
        done("the token is ended")
        await elsewhere.execute(TELL, run, run)
        done("the message is sent")
    done("COMMIT")


async def callbacks(dsn: str, run: str, done: Done) -> None:
    """Each service commits by itself, and then calls the next one."""
    here = await asyncpg.connect(dsn)
    await here.execute(TAKE, run)
    done("payment commits: the money is taken")
    await here.execute(SELL, run)
    done("reservation commits: the seat is sold")
    await here.execute(END, run)
    done("queue commits: the token is ended")
    await here.execute(TELL, run, run)
    done("the message is sent")


class _Journal(PostgresJournal):
    """Tells of the events that were committed."""

    def __init__(self, dsn: str, done: Done) -> None:
        super().__init__(dsn)
        self._done = done

    async def append(self, lane: int, batch: Batch) -> Collection[int]:
        fenced = await super().append(lane, batch)
        for row in batch.rows:
            self._done(f"`{row.type}` is committed")
        return fenced


async def saga(dsn: str, run: str, done: Done) -> None:
    """The service's own entities on their journal, and a consumer that tells."""
    armed = False
    runtime = _runtime(_Journal(dsn, lambda step: done(step) if armed else None))
    await runtime.start()
    user, seat = run, int(run[:6], 16) % 100_000 + 1

    async def ask(address: Any, command: Any) -> Any:
        return (await runtime.ask(address, command)).reply

    place = await ask(queue_address(QUEUE), Join(user))
    await ask(account_address(user), Charge("charge", PRICE))
    held = await ask(seat_address(DATE, seat), HoldSeat(user, f"reservation-{run}"))
    noted = Reservation(
        held.reservation, DATE, seat, PRICE, held.held_at_ms or held.until_ms, held.until_ms
    )
    await ask(account_address(user), NoteReservation(noted))
    armed = True
    await ask(account_address(user), Pay(f"payment-{run}", DATE, seat, QUEUE, place.number))
    await _settled(dsn, runtime, run)
    await _tell(dsn, done)


async def started_again(dsn: str, run: str, done: Done) -> None:
    """What the start of an instance does about the saga: it goes on."""
    runtime = _runtime(PostgresJournal(dsn))
    await runtime.start()
    await _settled(dsn, runtime, run)
    await _tell(dsn, done)


def _runtime(journal: PostgresJournal) -> Runtime:
    rules = HoldRules(300_000, 4, 0)
    now_ms = time.time_ns() // 1_000_000
    times = (now_ms, now_ms + 10**9, 0, now_ms + 10**9)
    prices = Prices((seat, PRICE) for seat in range(1, 100_001))
    catalogue = Catalogue({DATE: Schedule(DATE, "concert", "Concert", *times, prices)})
    return Runtime(
        instance="one",
        incarnation=f"one-{os.getpid()}",
        behaviours=[
            AccountBehaviour(),
            SeatBehaviour(lambda: catalogue, rules),
            LedgerBehaviour(lambda: catalogue, rules),
            QueueBehaviour(lambda: Policy(1_000, 0, 600_000)),
        ],
        journal=journal,
        clock=SystemClock(),
    )


async def _settled(dsn: str, runtime: Runtime, run: str) -> None:
    """The payment, and the end of its token, if it was begun."""
    connection = await asyncpg.connect(dsn)
    begun = await _has(connection, run, "PaymentStarted")
    async with asyncio.timeout(RECOVERY_MAX_S):
        while begun and not await _has(connection, run, "TokenUsed"):
            await runtime.ask(account_address(run), GetAccount())
            await asyncio.sleep(0.01)


async def _tell(dsn: str, done: Done) -> None:
    """The consumer: it tells elsewhere, and keeps its place afterwards."""
    elsewhere = await asyncpg.connect(dsn)
    offsets = PostgresOffsets(Consumer(name="teller", handle=_never), dsn)
    at = {one.shard: one.seq for one in await offsets.open(dict.fromkeys(range(256), 0))}
    rows = await journal_over([dsn], lanes_each=0, pool_size=1).read(at, 1_000)
    last = {row.shard: row for row in rows}
    async with offsets.moving({n: Step(at[n], row.seq, row.epoch) for n, row in last.items()}):
        for row in rows:
            if row.type == "PaymentCompleted":
                await elsewhere.execute(TELL, row.address.key, f"{row.shard}-{row.seq}")
                done("the consumer has sent the message")
    done("the consumer has kept its place")


async def _never(events: Any, connection: Any) -> None:
    raise AssertionError("the steps are taken here")


# -- deaths ----------------------------------------------------------------------------------------

WAYS: dict[str, Any] = {
    "one transaction": one_transaction,
    "callbacks after commits": callbacks,
    "our saga": saga,
}


def lines(dsn: str) -> list[Line]:
    """Die after every step of every way."""
    asyncio.run(_execute(dsn, TABLES))
    found = []
    for name, way in WAYS.items():
        number = 0
        while True:
            run = str(uuid.uuid4())
            asyncio.run(_begin(dsn, run))
            step = _killed(partial(way, dsn, run), number)
            if not step:
                break
            if way is saga:
                _killed(partial(started_again, dsn, run))
            found.append(asyncio.run(_line(dsn, run, name, step)))
            number += 1
    return found


def _killed(work: Callable[[Done], Awaitable[None]], after: int = -1) -> str:
    """Run this in a process of its own that dies after so many steps; the last one's name, or
    nothing if it ended by itself. It must not fail."""
    reads, writes = os.pipe()
    child = os.fork()
    if not child:
        _work_and_die(work, after, writes)
    os.close(writes)
    with os.fdopen(reads) as told:
        step = told.read()
    _, status = os.waitpid(child, 0)
    died = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    if died == bool(step) and (died or os.WEXITSTATUS(status) == 0):
        return step
    raise AssertionError(f"a process ended with {status} after {step!r}")


def _work_and_die(work: Callable[[Done], Awaitable[None]], after: int, writes: int) -> None:
    left = after

    def done(step: str) -> None:
        nonlocal left
        if not left:
            os.write(writes, step.encode())
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1

    async def all_of_it() -> None:
        await work(done)

    status = 1
    try:
        asyncio.run(all_of_it())
        status = 0
    except Exception as error:  # noqa: BLE001 - it is the parent that fails
        traceback.print_exception(error)
    finally:
        os._exit(status)


async def _execute(dsn: str, text: str, *values: Any) -> Any:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.execute(text, *values)
    finally:
        await connection.close()


async def _begin(dsn: str, run: str) -> None:
    await _execute(dsn, "INSERT INTO payments.account VALUES ($1, 1000)", run)
    await _execute(dsn, "INSERT INTO reservations.seat VALUES ($1, false)", run)
    await _execute(dsn, "INSERT INTO queues.token VALUES ($1, false)", run)


async def _line(dsn: str, run: str, way: str, step: str) -> Line:
    here = await asyncpg.connect(dsn)
    try:
        told = await here.fetch("SELECT id FROM elsewhere.told WHERE run = $1", run)
        if WAYS[way] is saga:
            there = [await _has(here, run, each) for each in SAGA_EFFECTS]
        else:
            there = list(await here.fetchrow(SEEN, run) or ())
    finally:
        await here.close()
    money, seat, token = there
    return Line(way, step, money, seat, token, [row["id"] for row in told])


async def _has(connection: asyncpg.Connection, run: str, event: str) -> bool:
    return bool(await connection.fetchval(HAS, event, run))


def table(found: Sequence[Line]) -> str:
    """As the page has it."""
    head = f"| way | dies after | {' | '.join(EFFECTS)} | what is lost |"
    return "\n".join([head, "|---" * (len(EFFECTS) + 3) + "|", *map(str, found)])


if __name__ == "__main__":
    print(table(lines(sys.argv[1])))
