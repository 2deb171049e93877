"""What goes wrong when somebody stands still, dies or restarts at the worst moment: from runs."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec

from bench.methods.components import Components
from bench.methods.run import Callers, differences
from bench.methods.way import Way
from bench.methods.ways import all_ways
from bench.methods.ways.broker import BrokerWay
from bench.methods.worker import Order, Tally

STOPPED_S = 5.0
"""Longer than the leases of three seconds."""
MONEY = Order("money", users=1, seats=1, count=1, callers=1, limit_s=STOPPED_S - 0.5)
RESTART = Order("money", users=100, seats=1, count=1_000_000, callers=16, limit_s=8.0)


class Fault(msgspec.Struct):
    """One way under one fault."""

    fault: str
    """``stopped``, ``killed`` or ``restarted``."""
    way: str
    others: int = 0
    """Changes that others did while it lasted, or after it."""
    lost: int = 0
    """Confirmed changes that are not there."""
    doubled: int = 0
    """Effects that nobody got a confirmation of, or that are there twice."""
    errors: dict[str, int] = {}
    away_s: float = 0.0
    """The longest time without a success."""


def find_faults(
    components: Components, say: Callable[[str], None], names: Sequence[str] = ()
) -> list[Fault]:
    """All that can be tried here."""
    ways = [
        each
        for each in all_ways().values()
        if set(each.needs) <= set(components.servers) and (not names or each.name in names)
    ]
    found = []
    for way in ways:
        tries: list[Callable[[Components, type[Way]], Fault]] = []
        if way.name in STOPPABLE:
            tries.append(stopped)
        if issubclass(way, BrokerWay):
            tries += [killed, killed_forgetting]
        if way.uses and way.exact_in >= way.processes:
            tries.append(restarted)
        for one in tries:
            say(f"{one.__name__.replace('_', ', ')}: {way.name}")
            found.append(one(components, way))
    return found


STOPPABLE = (
    *("pessimistic, PostgreSQL", "optimistic, PostgreSQL", "pub/sub lock, Redis"),
    *("Redlock, five Redis", "Redlock with a fence", "RabbitMQ", "NATS JetStream"),
    *("advisory lock, PostgreSQL", "serializable, PostgreSQL", "single writer, runtime"),
)
"""Those with something between reading and writing, in which a process can be stopped."""


def stopped(components: Components, way: type[Way]) -> Fault:
    """Stop a process between its read and its write, past every lease; let another go on with the
    same user; resume the first, and see what it writes."""
    with ExitStack() as stack:
        urls = way.serve(components, stack)
        first = stack.enter_context(Callers(way.name, urls, 1 if way.processes == 1 else 2))
        first.ask(msgspec.structs.replace(MONEY, work="prepare"))
        before = first.totals(MONEY)
        first.send(msgspec.structs.replace(MONEY, stop="before the write"))
        _await_stop(first.all[0].pid)
        other = first
        if way.processes == 1:  # Whoever comes second takes over.
            other = stack.enter_context(Callers(way.name, urls, 1))
        other.send(msgspec.structs.replace(MONEY, count=1_000_000), last=True)
        time.sleep(STOPPED_S)
        first.all[0].send_signal(signal.SIGCONT)
        done = other.answers(last=True)
        tallies = [*first.answers(1), *done]
        fault = _fault("stopped", way, tallies, differences(tallies, before, other.totals(MONEY)))
        fault.others, fault.away_s = done[0].charges + done[0].uses, done[0].gap_s
    return fault


def killed(components: Components, way: type[Way], forgetting: bool = False) -> Fault:
    """Kill the consumer after it has written and before it says so; start another."""
    with ExitStack() as stack:
        urls = way.serve(components, stack)
        first = stack.enter_context(Callers(way.name, urls, 1))
        first.ask(msgspec.structs.replace(MONEY, work="prepare"))
        before = first.totals(MONEY)
        first.send(msgspec.structs.replace(MONEY, stop="before the acknowledgement"))
        first.all[0].wait()
        second = stack.enter_context(Callers(way.name, urls, 1))
        order = msgspec.structs.replace(MONEY, forgetful=forgetting)
        [tally] = second.ask(order)
        # What the first had charged was never confirmed, and has to be there once all the same.
        expected = [tally, Tally(charges=1)]
        deadline = time.monotonic() + REDELIVERED_S
        while time.monotonic() < deadline:
            time.sleep(0.5)
        after = second.totals(MONEY)
    name = "killed, entries ignored" if forgetting else "killed"
    fault = _fault(name, way, expected, differences(expected, before, after))
    fault.others = tally.charges
    return fault


def killed_forgetting(components: Components, way: type[Way]) -> Fault:
    """The same with a consumer that does not look for what is done already."""
    return killed(components, way, forgetting=True)


def restarted(components: Components, way: type[Way]) -> Fault:
    """End the database as a crash would while many write, and start it again."""
    with ExitStack() as stack:
        urls = way.serve(components, stack)
        callers = stack.enter_context(Callers(way.name, urls, 1))
        callers.ask(msgspec.structs.replace(RESTART, work="prepare"))
        before = callers.totals(RESTART)
        callers.send(RESTART)
        time.sleep(1.0)
        if way.needs[0] == "postgres":
            os.kill(components["postgres"].pids[0], signal.SIGQUIT)
        else:
            components.restart(way.needs[0])
        tallies = callers.answers()
        after = callers.totals(RESTART)
    fault = _fault("restarted", way, tallies, differences(tallies, before, after))
    fault.others, fault.away_s = tallies[0].charges + tallies[0].uses, tallies[0].gap_s
    return fault


REDELIVERED_S = 7.0
"""After which an unacknowledged message has come again."""


def _fault(name: str, way: type[Way], tallies: list[Tally], off: tuple[int, ...]) -> Fault:
    errors: dict[str, int] = {}
    for tally in tallies:
        for error, number in tally.errors.items():
            errors[error] = errors.get(error, 0) + number
    missing, extra = sum(max(0, each) for each in off), sum(max(0, -each) for each in off)
    return Fault(name, way.name, lost=missing, doubled=extra, errors=errors)


def _await_stop(pid: int) -> None:
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "T":
        if time.monotonic() > deadline:
            raise RuntimeError("the process did not stop")
        time.sleep(0.01)
