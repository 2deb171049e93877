"""Candidates over in-memory stores, for tests of leadership on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from actors.election.leadership import Leader
from actors.journal.memory import MemoryStore
from actors.placement.contract import WriteResult
from actors.tasks import Tasks
from tests.support.faulty import FaultyElection, FaultyElectionStore, FaultyPlacement, FaultyTables
from tests.support.virtual_time import VirtualClock

STEP_S = 0.1
"""Between two looks at who leads."""


class Candidate:
    """A leader's loop with connections of its own, and what it was told."""

    def __init__(self, house: House, name: str) -> None:
        self.name = name
        self.election = FaultyElection(house.ballot)
        self.store = FaultyPlacement(house.tables)
        self.told: list[int | None] = []
        """Each term it was elected for, and ``None`` each time it was deposed."""
        self.fit = True
        self.leader = Leader(
            self.election,
            self.store,
            name,
            house.clock,
            on_elected=self.told.append,
            on_deposed=lambda: self.told.append(None),
            fit=lambda: self.fit,
        )
        self.task = house.tasks.spawn(self.leader.run(), name)

    @property
    def term(self) -> int | None:
        return self.leader.term

    async def crash(self) -> None:
        """Be gone without a farewell."""
        self.task.cancel()
        await asyncio.wait([self.task])

    async def plan(self, term: int, shard: int = 0) -> WriteResult:
        """Write a plan of one shard under this term."""
        [state] = [one for one in await self.store.shards() if one.shard == shard]
        return await self.store.write_desired(term, {shard: (state.epoch, self.name)})


class House:
    """What the candidates share: the two stores. ``database_clock`` is the database's own."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.database_clock = VirtualClock()
        self.ballot = FaultyElectionStore(self.clock)
        self.tables = FaultyTables(MemoryStore(), self.database_clock)
        self.tasks = Tasks("candidates")
        self.candidates: list[Candidate] = []

    def candidate(self, name: str) -> Candidate:
        candidate = Candidate(self, name)
        self.candidates.append(candidate)
        return candidate

    def leaders(self) -> list[str]:
        """Those who believe that they lead."""
        return [one.name for one in self.candidates if one.term is not None]

    async def pass_time(self, seconds: float, *, leaders_max: int = 1) -> set[str]:
        """Let time pass; returns everybody who led in it. There are never more at once."""
        led: set[str] = set()
        for _ in range(round(seconds / STEP_S)):
            await asyncio.sleep(STEP_S)
            assert len(self.leaders()) <= leaders_max, self.leaders()
            led.update(self.leaders())
        return led

    async def until(self, condition: Callable[[], bool], limit_s: float = 30.0) -> float:
        """Let time pass until then; returns how long it took. Never two leaders at once."""
        began = self.clock.monotonic()
        while not condition():
            waited = self.clock.monotonic() - began
            assert waited < limit_s, f"not within {limit_s} s; leaders: {self.leaders()}"
            await self.pass_time(STEP_S)
        return self.clock.monotonic() - began

    async def close(self) -> None:
        await self.tasks.close()
        assert not self.tasks.failed.done(), self.tasks.failed
