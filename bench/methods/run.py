"""The work, on every way in turn: cells of so many callers in so many processes, in rounds.

A round does every cell of every way once, so that a slow minute of the machine meets all alike.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import count
from statistics import median
from typing import NamedTuple

import msgspec

from bench.methods.components import Components
from bench.methods.syncs import CommitCounter, SyncCounter, counting
from bench.methods.way import Totals, Way
from bench.methods.ways import all_ways
from bench.methods.worker import CHARGE, Order, Tally
from bench.processes import family_cpu_seconds
from bench.record import latencies
from bench.rig import ROOT

COMMAND = (sys.executable, "-m", "bench.methods.worker")
WORKS = ("one user", "many users", "seat race")
STOP_S_MAX = 15.0
RACE_S_MAX = 2.0
BEGIN_S = 0.02
"""Given to the processes to read their orders."""


class Size(msgspec.Struct, frozen=True):
    """How much is measured."""

    users: int = 3_000
    changes: int = 3_000
    """Charges of a cell, and as many uses."""
    racers: int = 500
    seats: int = 50
    callers: tuple[int, ...] = (1, 16, 128)
    rounds: int = 3
    limit_s: float = 0.3
    """A cell ends then, with what it has done."""


SMALLEST = Size(users=20, changes=20, racers=20, seats=5, callers=(8,), rounds=1, limit_s=5.0)
"""For tests."""


class Cell(msgspec.Struct, frozen=True):
    """Which work: one of :data:`WORKS`, by so many callers in so many processes."""

    work: str
    callers: int
    processes: int


class Result(msgspec.Struct):
    """One cell of one round."""

    way: str
    cell: Cell
    done: int
    """Successes and refusals."""
    seconds: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    attempts: float
    """For each that was done, as are CPU times and syncs."""
    errors: dict[str, int]
    lost: int
    client_cpu_us: float
    server_cpu_us: float
    syncs: float | None
    commits: float

    @property
    def rate(self) -> float:
        """Done in a second."""
        return self.done / self.seconds if self.seconds else 0.0


class Counters(NamedTuple):
    """What is looked at around a cell."""

    syncs: SyncCounter
    commits: CommitCounter
    pids: Callable[[], list[int]]
    """Of the servers."""


class Callers:
    """The processes that call one way."""

    def __init__(self, name: str, urls: dict[str, list[str]], processes: int) -> None:
        path = f"{ROOT}{os.pathsep}{ROOT / 'http'}"
        self.all = [
            subprocess.Popen(  # noqa: S603 - our own module
                [*COMMAND, name, str(index), str(processes), json.dumps(urls)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=ROOT,
                env=os.environ | {"PYTHONPATH": path},
                start_new_session=True,
            )
            for index in range(processes)
        ]

    def __enter__(self) -> Callers:
        self.answers()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End them; done again, it does nothing."""
        while self.all:
            process = self.all.pop()
            try:
                process.communicate(timeout=STOP_S_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()

    def send(self, order: Order, processes: int = 1, *, last: bool = False) -> None:
        """Give the first process, or more, or the last one, an order."""
        line = msgspec.json.encode(order).decode() + "\n"
        for process in self.all[-1:] if last else self.all[:processes]:
            assert process.stdin is not None
            process.stdin.write(line)
            process.stdin.flush()

    def answers(self, processes: int | None = None, *, last: bool = False) -> list[Tally]:
        """What came of it."""
        tallies = []
        for process in self.all[-1:] if last else self.all[:processes]:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise RuntimeError("a process of callers ended")
            tallies.append(msgspec.json.decode(line, type=Tally))
        return tallies

    def ask(self, order: Order, processes: int = 1) -> list[Tally]:
        """Both."""
        self.send(order, processes)
        return self.answers(processes)

    def totals(self, order: Order) -> Totals:
        """What is true now of the order's users and seats."""
        totals = self.ask(msgspec.structs.replace(order, work="totals"))[0].totals
        assert totals is not None
        return totals


def measure(
    components: Components, size: Size, say: Callable[[str], None], names: Iterable[str] = ()
) -> list[Result]:
    """Every way that can be had, in rounds."""
    ways = [way for way in all_ways().values() if not names or way.name in names]
    results: list[Result] = []
    with counting() as syncs, CommitCounter(components) as commits:
        for number in range(size.rounds):
            for way in ways:
                if set(way.needs) <= set(components.servers):
                    say(f"round {number + 1} of {size.rounds}: {way.name}")
                    results += _one_round(components, way, size, syncs, commits)
    return results


def _one_round(
    components: Components,
    way: type[Way],
    size: Size,
    syncs: SyncCounter,
    commits: CommitCounter,
) -> Iterator[Result]:
    with ExitStack() as stack:
        urls = way.serve(components, stack)
        names = dict.fromkeys((*way.needs, *urls))
        servers = [each for name, each in components.servers.items() if name in names]
        counters = Counters(syncs, commits, lambda: [p for each in servers for p in each.pids])
        races = count()
        for processes in range(1, way.processes + 1):
            callers = stack.enter_context(Callers(way.name, urls, processes))
            if processes == 1:
                seats = way.processes * len(size.callers) * size.seats
                callers.ask(Order("prepare", users=size.users, seats=seats))
            for many in size.callers:
                if many < processes:
                    continue
                first = next(races) * size.seats
                for work in WORKS:
                    cell = Cell(work, many, processes)
                    yield _measure(way, callers, cell, _order(size, cell, first), counters)
            callers.stop()


def _order(size: Size, cell: Cell, first_seat: int) -> Order:
    racing = cell.work == "seat race"
    return Order(
        work="race" if racing else "money",
        users=1 if cell.work == "one user" else size.users,
        first_seat=first_seat,
        seats=size.seats,
        count=size.racers if racing else size.changes,
        callers=cell.callers // cell.processes,
        limit_s=RACE_S_MAX if racing else size.limit_s,
    )


def _measure(
    way: type[Way], callers: Callers, cell: Cell, order: Order, counters: Counters
) -> Result:
    before, committed = callers.totals(order), counters.commits.count(way.needs[0])
    pids = counters.pids()
    counters.syncs.watch(pids)
    cpu_s = sum(map(family_cpu_seconds, pids))
    order.begin = time.monotonic() + BEGIN_S
    tallies = callers.ask(order, cell.processes)
    synced = counters.syncs.count()
    committed = counters.commits.count(way.needs[0]) - committed
    cpu_s = sum(map(family_cpu_seconds, pids)) - cpu_s
    seconds = [each for tally in tallies for each in tally.seconds]
    done, found = max(1, len(seconds)), latencies(seconds)
    errors: Counter[str] = Counter()
    for tally in tallies:
        errors.update(tally.errors)
    return Result(
        way=way.name,
        cell=cell,
        done=len(seconds),
        seconds=max(each.ended for each in tallies) - min(each.began for each in tallies),
        p50_ms=found.p50_ms,
        p95_ms=found.p95_ms,
        p99_ms=found.p99_ms,
        attempts=sum(tally.attempts for tally in tallies) / done,
        errors=dict(errors),
        lost=sum(map(abs, differences(tallies, before, callers.totals(order)))),
        client_cpu_us=sum(tally.cpu_s for tally in tallies) / done * 1e6,
        server_cpu_us=cpu_s / done * 1e6,
        syncs=None if synced is None else synced / done,
        commits=committed / done,
    )


def differences(tallies: Sequence[Tally], before: Totals, after: Totals) -> tuple[int, int, int]:
    """Charges, uses and seats that were confirmed and are not there; negative for those that are
    there and were not, or are there twice."""
    charges, uses, holds = (
        int(sum(getattr(tally, kind) for tally in tallies)) for kind in ("charges", "uses", "holds")
    )
    gained = after.balance - before.balance
    # A lost charge lowers the sum by a million, a lost use raises it by one.
    lost_charges = charges - round((gained + uses) / CHARGE)
    lost_uses = gained - ((charges - lost_charges) * CHARGE - uses)
    return lost_charges, lost_uses, holds - (after.taken - before.taken)


class Summary(msgspec.Struct, frozen=True):
    """A cell over all rounds: the middle one, and how far they lay apart."""

    result: Result
    low: float
    high: float
    """Rates."""
    lost: int
    """In all rounds together."""


def summaries(results: Iterable[Result]) -> dict[tuple[str, Cell], Summary]:
    """By way and cell."""
    groups: dict[tuple[str, Cell], list[Result]] = {}
    for result in results:
        groups.setdefault((result.way, result.cell), []).append(result)
    return {key: _summary(group) for key, group in groups.items()}


def _summary(group: list[Result]) -> Summary:
    rates = [each.rate for each in group]
    middle = median(rates)
    typical = min(group, key=lambda each: abs(each.rate - middle))
    return Summary(typical, min(rates), max(rates), sum(each.lost for each in group))
