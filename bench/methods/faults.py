"""What goes wrong when somebody stands still, dies or restarts at the worst moment: from runs."""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack

import msgspec
import psutil

from bench.methods.components import Components
from bench.methods.run import Callers, Progress, differences
from bench.methods.way import Way
from bench.methods.ways import chosen
from bench.methods.ways.broker import BrokerWay
from bench.methods.worker import Order, Tally

STOPPED_S = 3.5
"""Longer than the leases of two seconds."""
KILLED_S = 4.0
"""After which an unacknowledged message has come again."""
MONEY = Order("money", users=1, seats=1, count=1, callers=1, limit_s=STOPPED_S - 0.5)
RESTART = Order("money", users=100, seats=1, count=1_000_000, callers=16, limit_s=6.0)


class Fault(msgspec.Struct):
    """One way under one fault."""

    fault: str
    """``stopped``, ``killed``, ``killed, entries ignored`` or ``restarted``."""
    way: str
    others: int
    """Changes that others did while it lasted, or after it."""
    lost: int
    """Confirmed changes that are not there."""
    doubled: int
    """Effects that nobody got a confirmation of, or that are there twice."""
    errors: dict[str, int]
    away_s: float
    """The longest time without a success."""

    def problem(self, way: type[Way]) -> str:
        """What the run has shown that the way is not made for, or did not show though it is said of
        the way; empty if there is none."""
        shown = bool(self.doubled if self.fault.startswith("killed") else self.lost)
        forgets = self.fault.endswith("ignored")
        if shown == (forgets or (self.fault == "stopped" and way.writes_stale)):
            return ""
        return f"{self.way}, {self.fault}: {self.lost} lost, {self.doubled} unconfirmed or twice"


def find_faults(
    components: Components, progress: Progress, names: Sequence[str] = ()
) -> list[Fault]:
    """All that can be tried here."""
    found = []
    for way in chosen(components, names):
        tries: list[tuple[str, Callable[[Components, type[Way], str], Fault]]] = []
        if way.interruptible:
            tries.append(("stopped", stopped))
        if issubclass(way, BrokerWay):
            tries += [("killed", killed), ("killed, entries ignored", killed)]
        if way.uses and way.exact_in >= way.processes:
            tries.append(("restarted", restarted))
        for name, one in tries:
            with progress.of(f"{name}: {way.name}"):
                found.append(one(components, way, name))
    return found


def stopped(components: Components, way: type[Way], name: str) -> Fault:
    """Stop a process between its read and its write, past every lease; let another go on with the
    same user; resume the first, and see what it writes."""
    with ExitStack() as stack:
        urls = way.serve(components, stack)
        callers = stack.enter_context(Callers(way, urls, way.processes))
        callers.ask(msgspec.structs.replace(MONEY, work="prepare"))
        before, first = callers.totals(MONEY), callers[0]
        first.send(msgspec.structs.replace(MONEY, stop="before the write"))
        _await_stop(first.pid)
        if way.processes == 1:  # Whoever comes second takes over.
            callers = stack.enter_context(Callers(way, urls, 1))
        callers[-1].send(msgspec.structs.replace(MONEY, count=1_000_000))
        time.sleep(STOPPED_S)
        os.kill(first.pid, signal.SIGCONT)
        others: Tally = callers[-1].answer()
        tallies = [first.answer(), others]
        callers.reverse()  # The one that was stopped may have been fenced out for good.
        return _fault(name, way, tallies, differences(tallies, before, callers.totals(MONEY)))


def killed(components: Components, way: type[Way], name: str) -> Fault:
    """Kill the consumer after it has written and before it says so; start another, which may not
    look for what is done already."""
    with ExitStack() as stack:
        urls = way.serve(components, stack)
        first = stack.enter_context(Callers(way, urls, 1))
        first.ask(msgspec.structs.replace(MONEY, work="prepare"))
        before = first.totals(MONEY)
        first[0].send(msgspec.structs.replace(MONEY, stop="before the acknowledgement"))
        first[0].process.join()
        second = stack.enter_context(Callers(way, urls, 1))
        [tally] = second.ask(msgspec.structs.replace(MONEY, forgetful=name.endswith("ignored")))
        time.sleep(KILLED_S)
        # What the first had charged was never confirmed, and has to be there once all the same.
        off = differences([tally, Tally(charges=1)], before, second.totals(MONEY))
        return _fault(name, way, [tally], off)


def restarted(components: Components, way: type[Way], name: str) -> Fault:
    """End the database as a crash would while many write, and start it again."""
    with ExitStack() as stack:
        urls = way.serve(components, stack)
        callers = stack.enter_context(Callers(way, urls, 1))
        callers.ask(msgspec.structs.replace(RESTART, work="prepare"))
        before = callers.totals(RESTART)
        callers[0].send(RESTART)
        time.sleep(1.0)
        components[way.needs[0]].crash()
        tallies = [callers[0].answer()]
        return _fault(name, way, tallies, differences(tallies, before, callers.totals(RESTART)))


def _fault(name: str, way: type[Way], tallies: list[Tally], off: tuple[int, ...]) -> Fault:
    errors = sum((tally.errors for tally in tallies), Counter[str]())
    missing, extra = sum(max(0, each) for each in off), sum(max(0, -each) for each in off)
    last = tallies[-1]
    others = last.charges + last.uses
    return Fault(name, way.name, others, missing, extra, dict(errors), last.gap_s)


def _await_stop(pid: int) -> None:
    deadline = time.monotonic() + 10
    while psutil.Process(pid).status() != psutil.STATUS_STOPPED:
        if time.monotonic() > deadline:
            raise RuntimeError("the process did not stop")
        time.sleep(0.01)
