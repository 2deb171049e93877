"""The work, on every way in turn: cells of so many callers in so many processes, in rounds.

A round does every cell of every way once, so that a slow minute of the machine meets all alike.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import count

import msgspec

from bench.methods.components import Components
from bench.methods.database import commits
from bench.methods.forked import Fork
from bench.methods.syncs import SyncCounter, counting
from bench.methods.way import Totals, Way
from bench.methods.ways import chosen
from bench.methods.worker import CHARGE, Order, Tally, work
from bench.processes import family_cpu_seconds
from bench.record import Latencies, latencies

WORKS = ("one user", "many users", "seat race")
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
    limit_s: float = 0.25
    """A cell ends then, with what it has done."""
    race_limit_s: float = 1.0


SMALLEST = Size(20, 20, racers=20, seats=5, callers=(8,), rounds=1, limit_s=5.0, race_limit_s=5.0)
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
    latency: Latencies
    attempts: float
    """For each that was done, as are CPU times, syncs and commits."""
    errors: dict[str, int]
    lost: int
    sold: int
    """Seats."""
    client_cpu_us: float
    server_cpu_us: float
    syncs: float | None
    commits: float

    @property
    def rate(self) -> float:
        """Done in a second."""
        return self.done / self.seconds if self.seconds else 0.0


class Callers(list[Fork]):
    """The processes that call one way. Use as a context manager: they end with it."""

    def __init__(self, way: type[Way], urls: dict[str, list[str]], processes: int) -> None:
        super().__init__()
        self._of = (way, urls, processes)

    def __enter__(self) -> "Callers":
        way, urls, processes = self._of
        for index in range(processes):
            # One after the other: of the consumers of one queue, the first that came is active.
            self.append(Fork(work, way.name, urls, index, processes))
            self[-1].answer()
        return self

    def __exit__(self, *_: object) -> None:
        for fork in self:
            fork.stop()

    def ask(self, order: Order, processes: int = 1) -> list[Tally]:
        """Give the first process, or more, an order; what came of it."""
        for fork in self[:processes]:
            fork.send(order)
        return [fork.answer() for fork in self[:processes]]

    def totals(self, order: Order) -> Totals:
        """What is true now of the order's users and seats."""
        return self.ask(msgspec.structs.replace(order, work="totals"))[0].totals


class Progress:
    """Tells what is under way, and goes on after what could not be measured."""

    def __init__(self, say: Callable[[str], None] = lambda _: None) -> None:
        self._say = say
        self.failed: list[str] = []

    @contextmanager
    def of(self, what: str) -> Iterator[None]:
        """Whatever is raised is told at the end."""
        self._say(what)
        try:
            yield
        except Exception as error:  # noqa: BLE001 - the rest of a long run is worth having
            self.failed.append(f"{what}: {type(error).__name__}: {error}")
            self._say(f"FAILED: {self.failed[-1]}")


def measure(
    components: Components, size: Size, progress: Progress, names: Iterable[str] = ()
) -> list[Result]:
    """Every way that can be had, in rounds."""
    results: list[Result] = []
    with counting() as syncs:
        for number in range(size.rounds):
            for way in chosen(components, names):
                with progress.of(f"round {number + 1} of {size.rounds}: {way.name}"):
                    results += _one_round(components, way, size, syncs)
    return results


def _one_round(
    components: Components, way: type[Way], size: Size, syncs: SyncCounter
) -> Iterator[Result]:
    with ExitStack() as stack:
        urls, races = way.serve(components, stack), count()
        meters = _Meters(components, way, syncs)
        for processes in range(1, way.processes + 1):
            with Callers(way, urls, processes) as callers:
                if processes == 1:
                    seats = way.processes * len(size.callers) * size.seats
                    callers.ask(Order("prepare", users=size.users, seats=seats))
                for many in size.callers:
                    first = next(races) * size.seats
                    for name in WORKS if many >= processes else ():
                        cell = Cell(name, many, processes)
                        order = _order(size, cell, first)
                        yield _measure(callers, cell, order, meters)


def _order(size: Size, cell: Cell, first_seat: int) -> Order:
    racing = cell.work == "seat race"
    return Order(
        work="race" if racing else "money",
        users=1 if cell.work == "one user" else size.users,
        first_seat=first_seat,
        seats=size.seats,
        count=size.racers if racing else size.changes,
        callers=cell.callers // cell.processes,
        limit_s=size.race_limit_s if racing else size.limit_s,
    )


class _Meters:
    """What is read before and after a cell."""

    def __init__(self, components: Components, way: type[Way], syncs: SyncCounter) -> None:
        self.way, self._components, self._syncs = way.name, components, syncs
        names = {*way.needs, *way.serves}
        self._pids = [pid for name in names for pid in components[name].pids()]
        self._rows = way.needs[0]
        syncs.watch(self._pids)
        self.counts_syncs = syncs.count() is not None

    def read(self) -> tuple[int, int, float]:
        """Commits, syncs and seconds of the servers' CPU so far."""
        cpu_s = sum(map(family_cpu_seconds, self._pids))
        return commits(self._components, self._rows), self._syncs.count() or 0, cpu_s


def _measure(callers: Callers, cell: Cell, order: Order, meters: _Meters) -> Result:
    if order.work == "race":
        callers.ask(msgspec.structs.replace(order, work="admit"), cell.processes)
    before, read = callers.totals(order), meters.read()
    order.begin = time.monotonic() + BEGIN_S
    tallies = callers.ask(order, cell.processes)
    committed, synced, cpu_s = (b - a for a, b in zip(read, meters.read(), strict=True))
    after = callers.totals(order)
    seconds = [each for tally in tallies for each in tally.seconds]
    done = max(1, len(seconds))
    return Result(
        way=meters.way,
        cell=cell,
        done=len(seconds),
        seconds=max(each.ended for each in tallies) - min(each.began for each in tallies),
        latency=latencies(seconds),
        attempts=sum(tally.attempts for tally in tallies) / done,
        errors=dict(sum((tally.errors for tally in tallies), Counter())),
        lost=sum(map(abs, differences(tallies, before, after))),
        sold=after.taken - before.taken,
        client_cpu_us=sum(tally.cpu_s for tally in tallies) / done * 1e6,
        server_cpu_us=cpu_s / done * 1e6,
        syncs=synced / done if meters.counts_syncs else None,
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
