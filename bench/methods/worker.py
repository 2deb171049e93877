"""One process of callers: it takes orders, and tells what came of each."""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress

import msgspec

from bench.methods.forked import Pipe
from bench.methods.way import RefusedError, Totals, Way, interruptions
from bench.methods.ways import way_named
from bench.methods.ways.broker import BrokerWay

ERROR_S = 0.05
"""Before a caller that met an error goes on."""
ANSWERS_S_MAX = 60.0
CHARGE, USE = 1_000_000, 1
"""Amounts so far apart that a sum tells how many of each were lost."""


class Order(msgspec.Struct):
    """Money of so many users, each charged and used in turn, or a race for seats."""

    work: str
    """``prepare``, ``admit``, ``money``, ``race`` or ``totals``."""
    users: int = 0
    first_seat: int = 0
    seats: int = 0
    count: int = 0
    """Charges, and as many uses; racers."""
    callers: int = 0
    limit_s: float = 0.0
    stop: str = ""
    """Stop this process ``before the write``, or kill it ``before the acknowledgement``."""
    forgetful: bool = False
    """Whether a consumer takes no notice of what it has done already."""
    begin: float = 0.0
    """On the system's monotonic clock, so that all processes begin together."""


class Tally(msgspec.Struct):
    """What came of an order."""

    seconds: list[float] = []
    """Of each success and each refusal."""
    charges: int = 0
    uses: int = 0
    holds: int = 0
    errors: Counter[str] = msgspec.field(default_factory=Counter)
    attempts: int = 0
    began: float = 0.0
    ended: float = 0.0
    gap_s: float = 0.0
    """The longest time without a success."""
    cpu_s: float = 0.0
    totals: Totals = Totals(0, 0)


def _calls(way: Way, order: Order) -> Iterator[tuple[str, int, int]]:
    """Kind of call, user, and amount or seat; a user's charge comes before its use."""
    for number in range(way.index, order.count, way.of):
        if order.work == "race":
            yield "holds", number, order.first_seat + number % order.seats
        else:
            yield "charges", number % order.users, CHARGE
            if way.uses:
                yield "uses", number % order.users, USE


async def _caller(
    way: Way, calls: Iterator[tuple[str, int, int]], tally: Tally, ends: float
) -> None:
    acts = {"charges": way.charge, "uses": way.use, "holds": way.reserve}
    for kind, user, what in calls:
        sent = time.monotonic()
        if sent > ends:
            break
        try:
            await acts[kind](user, what)
            setattr(tally, kind, getattr(tally, kind) + 1)
        except RefusedError:
            pass
        except Exception as error:  # noqa: BLE001 - counted, and told in the row
            tally.errors[type(error).__name__] += 1
            await asyncio.sleep(ERROR_S)
            continue
        now = time.monotonic()
        tally.seconds.append(now - sent)
        tally.gap_s, tally.ended = max(tally.gap_s, now - tally.ended), now


async def perform(way: Way, order: Order) -> Tally:
    """Do what is ordered."""
    tally = Tally()
    match order.work:
        case "prepare":
            await way.prepare(order.users, order.seats)
        case "admit":
            await way.admit(range(way.index, order.count, way.of))
        case "totals":
            seats = range(order.first_seat, order.first_seat + order.seats)
            tally.totals = await _totals(way, order.users, seats)
        case _:
            await _measured(way, order, tally)
    return tally


async def _measured(way: Way, order: Order, tally: Tally) -> None:
    await asyncio.sleep(order.begin - time.monotonic())
    if order.stop == "before the write":
        interruptions.append(lambda: os.kill(os.getpid(), signal.SIGSTOP))
    if isinstance(way, BrokerWay):
        way.idempotent = not order.forgetful
        way.dies = order.stop == "before the acknowledgement"
    calls, before, cpu = _calls(way, order), way.attempts, time.process_time()
    tally.began = tally.ended = time.monotonic()
    ends = tally.began + order.limit_s
    await asyncio.gather(*(_caller(way, calls, tally, ends) for _ in range(order.callers)))
    now = time.monotonic()
    tally.gap_s, tally.ended = max(tally.gap_s, now - tally.ended), now
    tally.cpu_s = time.process_time() - cpu
    tally.attempts = way.attempts - before


async def _totals(way: Way, users: int, seats: range) -> Totals:
    """What is true, as soon as a database that was restarted says it."""
    ends = time.monotonic() + ANSWERS_S_MAX
    while True:
        try:
            return await way.totals(users, seats)
        except Exception:
            if time.monotonic() > ends:
                raise
            await asyncio.sleep(ERROR_S)


async def work(pipe: Pipe, name: str, urls: dict[str, list[str]], index: int, of: int) -> None:
    """Connect, say so, and take orders until there are no more."""
    way = way_named(name)(urls, index, of)
    await way.start()
    pipe.send(Tally())
    loop = asyncio.get_running_loop()
    with suppress(EOFError, BrokenPipeError):
        while True:
            pipe.send(await perform(way, await loop.run_in_executor(None, pipe.recv)))
    await way.stop()
