"""The in-memory twins of the stores, with faults that a test can order."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import wraps
from typing import Any, Literal

from actors.address import Address
from actors.clock import Clock
from actors.election.contract import KEY_TTL_S, ElectionError
from actors.journal.contract import Batch, JournalError, Loaded, OutcomeRow
from actors.journal.memory import MemoryJournal, MemoryStore
from actors.membership.contract import MembershipError
from actors.placement.contract import Leadership, Via
from tests.support.twins.election import MemoryElection, MemoryElectionStore
from tests.support.twins.membership import MemoryMembership, MemoryMembershipStore
from tests.support.twins.placement import MemoryOperations, MemoryPlacement, MemoryTables

Fault = Literal["refused", "unknown", "late"]
"""What becomes of an append: ``refused`` writes nothing, ``unknown`` writes and then loses the
answer, ``late`` loses the answer and writes afterwards unless the shard was claimed by then."""


class FaultyTables(MemoryTables):
    """The database's own outage, for everybody, is ``away``; so in the two stores below."""

    away = False


class FaultyMembershipStore(MemoryMembershipStore):
    away = False


class FaultyElectionStore(MemoryElectionStore):
    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.away = False
        self.grants_everybody = False
        """A campaign is granted though somebody else holds the key: a store that lost a write, or
        two of them after a split."""


class Faulty:
    """Before a twin: one instance's connection to it. Each call takes ``latency_s`` on the event
    loop's clock; 0 yields once."""

    def __init__(self, shared: object, refusal: type[Exception], *, latency_s: float = 0.0) -> None:
        self.latency_s = latency_s
        self._shared = shared
        self._refusal = refusal
        self._away = False
        self._running = asyncio.Event()
        self._running.set()

    def __init_subclass__(cls) -> None:
        """Every call of the twin's own has to reach it first."""
        for name in dir(cls):
            owner = next(base for base in cls.__mro__ if name in vars(base))
            method = vars(owner)[name]
            if issubclass(owner, Faulty) or name.startswith("_") or name == "close":
                continue
            if inspect.iscoroutinefunction(method):
                setattr(cls, name, _reaching(method))

    def go_away(self) -> None:
        """Every call of this instance fails until :meth:`come_back`."""
        self._away = True

    def come_back(self) -> None:
        self._away = False

    def pause(self) -> None:
        """Every call hangs until :meth:`resume`, as with a stopped server or process."""
        self._running.clear()

    def resume(self) -> None:
        self._running.set()

    async def reach(self) -> None:
        await asyncio.sleep(self.latency_s)
        await self._running.wait()
        if self._away or getattr(self._shared, "away", False):
            name = type(self).__name__.removeprefix("Faulty").lower()
            raise self._refusal(f"the {name} store is out of reach")


def _reaching(method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    @wraps(method)
    async def reach_first(self: Any, *arguments: Any, **named: Any) -> Any:
        await self.reach()
        return await method(self, *arguments, **named)

    return reach_first


class FaultyJournal(Faulty, MemoryJournal):
    """Counts calls, too."""

    def __init__(self, store: MemoryStore | None = None, *, latency_s: float = 0.0) -> None:
        MemoryJournal.__init__(self, store)
        Faulty.__init__(self, self.store, JournalError, latency_s=latency_s)
        self.appends = 0
        self.loads = 0
        self.look_ups = 0
        self.timers_written = 0
        self._faults: list[Fault] = []
        self._late: set[asyncio.TimerHandle] = set()

    def fail_next(self, count: int = 1) -> None:
        """The next appends are refused: nothing is written, the caller gets an error."""
        self._faults += ["refused"] * count

    def unknown_after_write(self, count: int = 1) -> None:
        """The next appends are written, and then the caller gets an error."""
        self._faults += ["unknown"] * count

    def late_write(self, count: int = 1) -> None:
        """The next appends give an error and are written 50 ms later, unless fenced by then. That
        is the database's doing, so it happens also when this connection was closed."""
        self._faults += ["late"] * count

    async def append(self, lane: int, batch: Batch) -> Collection[int]:
        self.appends += 1
        self.timers_written += len(batch.timers)
        await self.reach()
        fault = self._faults.pop(0) if self._faults else None
        if fault is None:
            return self.store.write(batch)
        if fault == "unknown":
            self.store.write(batch)
        elif fault == "late":
            self._write_late(batch)
        raise JournalError(f"ordered by a test: {fault}")

    def _write_late(self, batch: Batch) -> None:
        def write() -> None:
            self._late.discard(handle)
            self.store.write(batch)

        handle = asyncio.get_running_loop().call_later(0.05, write)
        self._late.add(handle)

    async def load(self, addresses: Sequence[Address], *, whole: bool = False) -> list[Loaded]:
        self.loads += 1
        await self.reach()
        return await MemoryJournal.load(self, addresses, whole=whole)

    async def later(self, known: Sequence[tuple[Address, int]]) -> list[Loaded]:
        self.loads += 1
        await self.reach()
        return await MemoryJournal.later(self, known)

    async def outcomes(self, commands: Sequence[tuple[int, bytes]]) -> dict[bytes, OutcomeRow]:
        self.look_ups += 1
        await self.reach()
        return await MemoryJournal.outcomes(self, commands)


class FaultyPlacement(Faulty, MemoryPlacement):
    def __init__(self, tables: MemoryTables) -> None:
        MemoryPlacement.__init__(self, tables)
        Faulty.__init__(self, tables, JournalError)
        self._lost_answers = 0

    def lose_answers(self, count: int = 1) -> None:
        """The next raised terms are carried out, and then the caller gets an error."""
        self._lost_answers += count

    async def raise_term(
        self, holder: str, via: Via, lease_s: float, seen: Leadership
    ) -> int | None:
        await self.reach()
        term = await MemoryPlacement.raise_term(self, holder, via, lease_s, seen)
        if term is not None and self._lost_answers:
            self._lost_answers -= 1
            raise JournalError("ordered by a test: the answer is lost")
        return term


class FaultyOperations(Faulty, MemoryOperations):
    def __init__(self, tables: MemoryTables) -> None:
        MemoryOperations.__init__(self, tables)
        Faulty.__init__(self, tables, JournalError)


class FaultyMembership(Faulty, MemoryMembership):
    def __init__(self, members: MemoryMembershipStore) -> None:
        MemoryMembership.__init__(self, members)
        Faulty.__init__(self, members, MembershipError)


class FaultyElection(Faulty, MemoryElection):
    def __init__(self, store: FaultyElectionStore, ttl_s: float = KEY_TTL_S) -> None:
        MemoryElection.__init__(self, store, ttl_s)
        Faulty.__init__(self, store, ElectionError)
        self._grants = store

    async def campaign(self, incarnation: str) -> bool:
        await self.reach()
        granted = await MemoryElection.campaign(self, incarnation)
        return granted or self._grants.grants_everybody
