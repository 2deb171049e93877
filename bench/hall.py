"""``python -m bench hall``: what one date of 100,000 seats costs, beside dates of 50.

Everything is in this process: the runtime with its entities on the journal's in-memory twin, the
seat map and the list. What is measured is our own work alone: rates are those of a core that does
nothing else.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import time
import tracemalloc
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from operator import truediv
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import uvloop

from actors.clock import SystemClock
from actors.core.context import Limits
from actors.journal.memory import MemoryJournal, MemoryStore
from actors.runtime import Runtime
from bench.report import conclude, machine
from bench.watchdog import Parts, Stops, watch
from booking.catalogue.domain import Catalogue, Schedule
from booking.cli.serving import GC_ALLOCATIONS
from booking.domain.persistent import Prices
from booking.entities import ledger_address, seat_address
from booking.instance.metrics import Tallies
from booking.instance.views import Projections
from booking.seats.domain.ledger import EMPTY_LEDGER, HoldCounted, SaleCounted, evolve_ledger
from booking.seats.domain.seat import ConfirmSale, HoldGranted, HoldSeat, SaleConfirmed
from booking.seats.entity import HoldRules, LedgerBehaviour, SeatBehaviour
from booking.seats.service import SeatService
from booking.seats.view import SeatMaps
from booking_http.seats.listing import SeatListings

SMALL_SEATS = 50
IN_FLIGHT = 256
"""Commands that wait for their commit at a time."""
SLICES = 20
"""Turns of the large date and the small ones."""
RATE_MIN = 5_000.0
RATIO_MAX = 1.5
SEAT_BYTES_MAX = 150.0
STOP_MS_MAX = 50.0
"""The claims that are checked."""
HOLD_MS = 3_600_000
_Command = Callable[[int], Any]


class Finding(msgspec.Struct):
    """What was measured."""

    machine: str
    seats: int
    holds_per_s: float = 0.0
    sales_per_s: float = 0.0
    hold_ratio: float = 0.0
    """The cost of a hold over that in dates of 50 seats; the median of the turns."""
    sale_ratio: float = 0.0
    held_bytes: float = 0.0
    """Memory of a held seat in its date's ledger."""
    sold_bytes: float = 0.0
    list_s: float = 0.0
    """The first list, while everything else goes on."""
    list_again_s: float = 0.0
    """The list after one more seat was held."""
    takeover_s: float = 0.0
    """From the claim by another instance to the answer of a seat."""
    stops_ms: dict[str, float] = {}
    """The largest stop of the event loop in each part: the most that its thread computed without a
    pause."""
    problems: list[str] = []

    def verdicts(self) -> list[tuple[str, bool]]:
        """Each claim in words, and whether it holds."""
        rate, ratio = min(self.holds_per_s, self.sales_per_s), max(self.hold_ratio, self.sale_ratio)
        part = max(self.stops_ms, key=self.stops_ms.__getitem__)
        stop_ms = self.stops_ms[part]
        stop = f"largest stop {stop_ms:.0f} ms ({part}), below {STOP_MS_MAX:g} ms"
        return [
            (f"holds and sales {rate:,.0f}/s, at least {RATE_MIN:,.0f}/s", rate >= RATE_MIN),
            (f"cost over that in dates of 50: {ratio:.2f}, at most 1.5", ratio <= RATIO_MAX),
            (f"a held seat {self.held_bytes:.0f} bytes, below 150", self.held_bytes < 150),
            (stop, stop_ms < STOP_MS_MAX),
            ("every command did what it should", not self.problems),
        ]


class Core:
    """Instances over one in-memory journal, with dates of one size in one shard."""

    def __init__(self, dates: int, seats: int) -> None:
        ids, number = list[str](), 0
        wanted = ledger_address("hall-0").slot
        while len(ids) < dates:
            if ledger_address(f"hall-{number}").slot == wanted:
                ids.append(f"hall-{number}")
            number += 1
        prices = Prices((seat, 90_000) for seat in range(1, seats + 1))
        now_ms = time.time_ns() // 1_000_000
        times = (now_ms, now_ms + HOLD_MS, 0, now_ms + HOLD_MS)
        schedules = {each: Schedule(each, "concert", "Concert", *times, prices) for each in ids}
        self.maps = SeatMaps(Catalogue(schedules), first_version=1)
        self.store = MemoryStore()
        self.slot = wanted
        self.places = [(date, seat) for date in ids for seat in range(1, seats + 1)]
        self.users = [str(uuid.uuid4()) for _ in self.places]
        self.reservations = [f"rsv_{uuid.uuid4().hex}" for _ in self.places]
        self.problems: list[str] = []
        self.held = self.sold = 0

    async def start(self, name: str) -> Runtime:
        """One more instance, which takes the shard over."""
        rules = HoldRules(HOLD_MS, 4, 30_000)
        projections = Projections(self.maps, {}, Tallies(), lambda shard: None)
        runtime = Runtime(
            instance=name,
            incarnation=name,
            behaviours=[
                SeatBehaviour(lambda: self.maps.catalogue, rules),
                LedgerBehaviour(lambda: self.maps.catalogue, rules),
            ],
            journal=MemoryJournal(self.store),
            clock=SystemClock(),
            limits=Limits(),
            subscriptions=[projections],
        )
        await runtime.start([self.slot])
        return runtime

    async def hold(self, runtime: Runtime, count: int) -> float:
        """Hold so many more seats; seconds of a core for each."""
        first, self.held = self.held, self.held + count

        def command(at: int) -> HoldSeat:
            return HoldSeat(self.users[at], self.reservations[at])

        return await self._drive(runtime, range(first, self.held), command, HoldGranted)

    async def sell(self, runtime: Runtime, count: int) -> float:
        """Sell so many more of the held seats; seconds of a core for each."""
        first, self.sold = self.sold, self.sold + count

        def command(at: int) -> ConfirmSale:
            return ConfirmSale(self.users[at], self.reservations[at], f"pay_{at}")

        return await self._drive(runtime, range(first, self.sold), command, SaleConfirmed)

    async def _drive(
        self, runtime: Runtime, which: range, command: _Command, wanted: type
    ) -> float:
        todo = iter(which)
        began = time.thread_time()
        await asyncio.gather(*(self._ask(runtime, todo, command, wanted) for _ in range(IN_FLIGHT)))
        return (time.thread_time() - began) / len(which)

    async def _ask(
        self, runtime: Runtime, todo: Iterator[int], command: _Command, wanted: type
    ) -> None:
        for at in todo:
            answer = await runtime.ask(seat_address(*self.places[at]), command(at))
            if not isinstance(answer.reply, wanted):
                self.problems.append(f"{self.places[at]}: {answer.reply}")

    @property
    def listings(self) -> SeatListings:
        """The seat lists of an instance with these maps, which are always fresh."""
        fresh = SimpleNamespace(check=lambda address: None, check_here=lambda: None)
        return SeatListings(SeatService(cast(Any, None), self.maps, cast(Any, fresh)))


def main(arguments: Sequence[str] | None = None) -> int:
    """0: every claim holds; 1: one does not."""
    parse = argparse.ArgumentParser(
        prog="python -m bench hall", description="What one date of 100,000 seats costs."
    )
    parse.add_argument("--seats", type=int, default=100_000, help="of the large date")
    parse.add_argument("--json", action="store_true", help="one JSON document on stdout")
    options = parse.parse_args(arguments)
    gc.set_threshold(GC_ALLOCATIONS, *gc.get_threshold()[1:])  # as `booking serve` does
    with TemporaryDirectory() as folder:
        seen = Stops(Path(folder) / "stops")
        watch(str(Path(folder) / "stops"))
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            finding = runner.run(measure(options.seats, seen))
    return conclude(finding, "hall.txt", as_json=options.json)


async def measure(seats: int, seen: Stops) -> Finding:
    """Sell the large date out beside small ones, and look at it."""
    found = Finding(machine(), seats)
    part = Parts(found.stops_ms, seen)
    found.held_bytes, found.sold_bytes = ledger_bytes(min(seats, 20_000))
    large, small = Core(1, seats), Core(seats // SMALL_SEATS, SMALL_SEATS)
    runtimes = [await large.start("one"), await small.start("two")]
    each = seats // SLICES

    async def turns(what: str, do: Sequence[Callable[[Runtime, int], Any]]) -> list[list[float]]:
        costs: list[list[float]] = [[], []]
        for turn in range(SLICES):
            for side in (0, 1) if turn % 2 else (1, 0):
                gc.freeze()  # what the journal's twin keeps is no work of ours
                async with part(what) if side == 0 else nullcontext():
                    costs[side].append(await do[side](runtimes[side], each))
        return costs

    holds = await turns("holds", (large.hold, small.hold))
    found.holds_per_s, found.hold_ratio = 1 / median(holds[0]), median(map(truediv, *holds))
    found.list_s, found.list_again_s = await _lists(large, part)
    sales = await turns("sales", (large.sell, small.sell))
    found.sales_per_s, found.sale_ratio = 1 / median(sales[0]), median(map(truediv, *sales))
    found.takeover_s = await _take_over(large, part)
    for runtime in runtimes:
        await runtime.stop(timeout_s=5.0)
    found.problems = (large.problems + small.problems)[:10]
    return found


async def _lists(core: Core, part: Parts) -> list[float]:
    """Seconds of a first list of all seats, and of one after a change."""
    (date, seat), listings = core.places[0], core.listings
    seats = core.maps.get(date)
    assert seats is not None
    seconds = []
    for name in ("list", "list again"):
        async with part(name):
            began = time.perf_counter()
            await listings.listing(date, True)
            seconds.append(time.perf_counter() - began)
        if name == "list":
            sold = SaleCounted(seat, core.reservations[0])
            core.maps.put(date, evolve_ledger(seats.ledger, sold))
    return seconds


async def _take_over(core: Core, part: Parts) -> float:
    """Seconds until another instance answers for a seat of the date."""
    gc.freeze()
    async with part("takeover"):
        began = time.perf_counter()
        successor = await core.start("three")
        taken = HoldSeat(core.users[0], "rsv_late")
        await successor.ask(seat_address(*core.places[-1]), taken, timeout_s=60.0)
        seconds = time.perf_counter() - began
    await successor.stop(timeout_s=5.0)
    return seconds


def ledger_bytes(seats: int) -> tuple[float, float]:
    """Bytes of a held and of a sold seat in a ledger."""
    names = [(f"rsv_{uuid.uuid4().hex}", str(uuid.uuid4())) for _ in range(seats)]
    ledger = EMPTY_LEDGER
    tracemalloc.start()
    for seat, (reservation, user) in enumerate(names, 1):
        counted = HoldCounted(seat, reservation, user, 1_800_000_000_000 + seat // 5)
        ledger = evolve_ledger(ledger, counted)
    held, _ = tracemalloc.get_traced_memory()
    for seat, (reservation, _) in enumerate(names, 1):
        ledger = evolve_ledger(ledger, SaleCounted(seat, reservation))
    sold, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return held / seats, sold / seats
