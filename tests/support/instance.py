"""One instance of the service on the in-memory twins of its stores, for tests of what is in front
of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn
from uuid import UUID

import msgspec

from actors.address import Address
from actors.cluster.application import TIMES
from actors.consumers.contract import Consumer, Offsets
from actors.core.context import Limits
from actors.errors import StaleError
from actors.journal.contract import Batch, Row
from actors.journal.memory import MemoryStore
from booking.app import App
from booking.catalogue.domain import MAIN_QUEUE, Catalogue, Schedule
from booking.domain.persistent import Prices
from booking.entities import ledger_address
from booking.identity import Identity
from booking.instance.consumers import Followers
from booking.instance.stores import Stores
from booking.queue.view import QueueStatus, QueueView
from booking.seats.domain.ledger import Ledger
from booking.services import Services
from booking.settings import Settings
from tests.support.faulty import (
    FaultyElection,
    FaultyElectionStore,
    FaultyJournal,
    FaultyMembership,
    FaultyMembershipStore,
    FaultyOperations,
    FaultyPlacement,
    FaultyTables,
)
from tests.support.journals import user_id
from tests.support.twins.catalogue import MemoryCatalogue
from tests.support.twins.peers import MemoryTransport

HOUR_MS = 3_600_000
START_MS = 1_800_000_000_000
IDENTITY = Identity(UUID("5f0c0d9a-4c1e-4b7f-9a55-0d2f6a7b8c9d"), 7)
LIMITS = Limits(timer_check_s=0.02)
"""Timers notice soon that a test has moved the clock."""


def schedule(name: str, seats: int = 50, concert: str = "c1", **changes: Any) -> Schedule:
    """A date that can be booked from an hour before to a day after the first moment."""
    fields: dict[str, Any] = {
        "id": name,
        "concert_id": concert,
        "concert_name": f"Concert {concert}",
        "open_ms": START_MS + 30 * 24 * HOUR_MS,
        "close_ms": START_MS + 30 * 24 * HOUR_MS + 2 * HOUR_MS,
        "booking_start_ms": START_MS - HOUR_MS,
        "booking_end_ms": START_MS + 24 * HOUR_MS,
        "prices": Prices((number, 100_000 + number) for number in range(1, seats + 1)),
    }
    return Schedule(**{**fields, **changes})


def catalogue(*schedules: Schedule, version: int = 1) -> Catalogue:
    """A catalogue of these dates."""
    return Catalogue({each.id: each for each in schedules}, version)


def settings(**given: object) -> Settings:
    """Settings of one instance; keyword arguments are variables without ``BOOKING_``."""
    environ = {
        "DATABASE_URL": "postgresql://nowhere",
        "REDIS_URL": "redis://nowhere",
        "TOKEN_SECRET": "a-secret-for-tests-that-is-long-enough",
        "QUEUE_MAX_ACTIVE": "100",
    }
    environ |= {name.upper(): str(value) for name, value in given.items()}
    return Settings.from_env({f"BOOKING_{name}": value for name, value in environ.items()})


class WallClock:
    """The loop's time, and a wall clock that stands still until a test moves it; or with ``runs``
    goes on with the loop's."""

    def __init__(self, *, runs: bool = False) -> None:
        self._runs = runs
        self._moved_ms = START_MS

    def now_ms(self) -> int:
        return self._moved_ms + (round(self.monotonic() * 1000) if self._runs else 0)

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def advance(self, ms: int) -> None:
        self._moved_ms += ms


class Instance:
    """The application over stores in memory, which a test may look into and take away.

    Keyword arguments are settings by their names, without ``BOOKING_``. Without ``serving`` it is
    never started, which saves the time in tests of requests that do not reach it.
    """

    def __init__(
        self,
        dates: Catalogue | None = None,
        *,
        store: MemoryStore | None = None,
        clock: WallClock | None = None,
        limits: Limits = LIMITS,
        instance: str = "one",
        serving: bool = True,
        consumers: Sequence[tuple[Consumer, Offsets]] = (),
        **given: object,
    ) -> None:
        self.serving = serving
        self.clock = clock or WallClock()
        self.store = store or MemoryStore()
        self.seeds: list[str] = []
        """Of the draws of queues, in order."""
        self.journal = FaultyJournal(self.store)
        self.catalogue = MemoryCatalogue(
            catalogue(schedule("d1")) if dates is None else dates, self._is_booked
        )
        tables = FaultyTables(self.store, self.clock)
        for wish in tables.shards:
            wish.desired = instance  # as after an earlier run: nothing is left to plan
        members = FaultyMembershipStore(self.clock)
        transport = MemoryTransport()
        self.app = App(
            settings(instance=instance, **given),
            Stores(
                journal=self.journal,
                placement=FaultyPlacement(tables),
                operations=FaultyOperations(tables),
                membership=FaultyMembership(members),
                standby=FaultyMembership(members),
                election=FaultyElection(FaultyElectionStore(self.clock), ttl_s=TIMES.key_ttl_s),
                catalogue=self.catalogue,
            ),
            lambda member: lambda url_of, behaviour_of: transport,
            self.clock,
            identity=IDENTITY,
            limits=limits,
            draw=lambda: 0.5,
            seed=self._seed,
            followers=Followers(self.journal, consumers),
        )

    def _seed(self) -> str:
        self.seeds.append(f"seed {len(self.seeds)}")
        return self.seeds[-1]

    async def start(self) -> None:
        await self.app.load_catalogue()
        if self.serving:
            await self.app.start()

    async def stop(self) -> None:
        self.journal.resume()
        if self.serving:
            await self.app.node.stop(1.0)
        await self.app.close()
        assert not any(failed.done() for failed in self.app.failures)

    @property
    def services(self) -> Services:
        return self.app.services

    @property
    def queue(self) -> QueueView:
        """The house's queue as this instance knows it."""
        return self.app.views.queues[MAIN_QUEUE]

    # -- what there is, and what a test puts there ---------------------------------------------

    def events(self, kind: str) -> list[Row]:
        """All events of this kind in the journal."""
        return [row for rows in self.store.rows for row in rows if row.type == kind]

    def signs(self) -> list[int]:
        """Numbers in the house's queue whose holders give a sign from now on, as they do."""
        book, numbers = self.queue.presence, list[int]()
        seen = book.seen

        def noted(number: int, now_ms: int) -> None:
            numbers.append(number)
            seen(number, now_ms)

        book.seen = noted  # type: ignore[method-assign]
        return numbers

    def _is_booked(self, date: str) -> bool:
        return bool(self.store.events(ledger_address(date)))

    def seed(self, address: Address, event: msgspec.Struct) -> None:
        """Put an event into the journal, before the start."""
        seq = len(self.store.rows[address.slot]) + 1
        kind, payload = type(event).__name__, msgspec.json.encode(event)
        row = Row(address.slot, seq, 0, address, kind, 1, payload, self.clock.now_ms())
        assert not self.store.write(Batch(rows=[row]))

    def use(self, dates: Catalogue) -> None:
        """The catalogue is another one from now on."""
        self.catalogue.current = dates
        self.app.views.use(dates)

    def show(self, date: str, seats: Ledger) -> None:
        """The seat map of the date is like this now."""
        self.app.views.seats.put(date, seats)

    async def line_up(self, *numbers: int) -> list[QueueStatus]:
        """Users of these numbers join the house's queue."""
        outcomes = [
            await self.services.queue.issue(user_id(number), MAIN_QUEUE, None) for number in numbers
        ]
        return [each.value for each in outcomes if isinstance(each.value, QueueStatus)]

    # -- faults --------------------------------------------------------------------------------

    def fail(self, error: Exception) -> None:
        """Every message to an entity ends like this, until :meth:`mend`."""

        def ask(*arguments: object, **options: object) -> NoReturn:
            raise error

        self.app.node.router.ask = ask  # type: ignore[method-assign]

    def mend(self) -> None:
        del self.app.node.router.ask

    @contextmanager
    def too_old(self) -> Iterator[None]:
        """What is known of others' shards is too old to be told."""
        checks = self.app.node.availability

        def check(*slots: int) -> NoReturn:
            raise StaleError("the owner was not heard for a while")

        checks.check = checks.check_here = check  # type: ignore[method-assign,assignment]
        yield
        del checks.check, checks.check_here
