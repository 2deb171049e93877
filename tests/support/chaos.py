"""Random faults on a cluster of real processes, two at a time, each healed after a while.

A deck has each kind of fault once; it is shuffled by the seed, dealt, and shuffled again, so that
a short run meets the whole list.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from booking.embedded import EmbeddedServers
from tests.support.cluster import Cluster
from tests.support.gate import Gate
from tests.support.own_redis import OwnRedis
from tests.support.served import Served

HELD_S = (0.3, 6.0)
"""How long a fault is held. Half of the time is longer than it takes to be declared dead."""
CUT_OFF_MAX_S = 12.0
"""Without PostgreSQL: long enough that others take over."""
PAUSE_S = (0.2, 2.0)
"""Between the healing of a fault and the next one."""
AT_ONCE = 2
"""Faults held at a time, each of something else."""
POSTGRES_REST_S = 8.0
"""The guardian gives a server up that ends five times within 30 s."""
CLOCK_WRONG_S = (2, 60, 3_600, 90_000)
ENDED_MAX_S, STARTED_MAX_S = 30.0, 90.0
SAID = 4_000
"""Characters of an instance's log that are shown with a failure."""


@dataclass
class Patient:
    """What the faults are done to."""

    cluster: Cluster
    redis: OwnRedis
    postgres: EmbeddedServers
    gates: dict[str, Gate]
    clocks: Path
    """A folder with a file for each instance, see ``tests/chaos/clock``."""


@dataclass
class Chaos:
    """Faults by ``random``, until the time is over. ``say`` is told of each."""

    patient: Patient
    random: Random
    say: Callable[[str], None]
    held: Counter[str] = field(default_factory=Counter)
    """How often each kind was held."""
    _busy: set[str] = field(default_factory=set)
    """Instances and servers with a fault now."""
    _deck: list[str] = field(default_factory=list)
    _postgres_from_s: float = 0.0
    _began_s: float = field(default_factory=time.monotonic)

    async def run(self, seconds: float) -> None:
        """Hold faults for so long, and heal the last ones."""
        end_s = time.monotonic() + seconds
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(self._again_and_again(end_s))

    async def _again_and_again(self, end_s: float) -> None:
        while time.monotonic() < end_s:
            await self._next()
            await asyncio.sleep(self.random.uniform(*PAUSE_S))

    async def _next(self) -> None:
        """Hold the next fault of the deck that is possible beside those that are held."""
        kinds = self._kinds()
        if not self._deck:
            self._deck = sorted(kinds)
            self.random.shuffle(self._deck)
        for kind in self._deck:
            subject, fault = kinds[kind]
            where = self._free(subject)
            if where is not None:
                break
        else:
            return
        self._deck.remove(kind)
        self._busy |= set(where)
        self.held[kind] += 1
        self.say(f"{time.monotonic() - self._began_s:6.1f} s  {kind} {' '.join(where)}".rstrip())
        try:
            await fault(*where)
        finally:
            self._busy -= set(where)

    def _kinds(self) -> dict[str, tuple[str, Callable[..., Awaitable[None]]]]:
        """What it is done to (one instance, two, or a server), and how."""
        return {
            "killed": ("one", self._kill),
            "stopped": ("one", self._stop),
            "drained": ("one", self._drain),
            "without PostgreSQL": ("one", self._cut_off),
            "wrong clock": ("one", self._set_clock),
            "cut from each other": ("two", self._cut_link),
            "Redis ends": ("redis", self._end_redis),
            "Redis stands still": ("redis", self._freeze_redis),
            "Redis forgets": ("redis", self._empty_redis),
            "PostgreSQL restarts": ("postgres", self._restart_postgres),
        }

    def _free(self, subject: str) -> Sequence[str] | None:
        if subject in ("redis", "postgres"):
            rests = subject == "postgres" and time.monotonic() < self._postgres_from_s
            return None if subject in self._busy or rests else (subject,)
        names = [name for name in sorted(self.patient.cluster.by_name) if name not in self._busy]
        wanted = 1 if subject == "one" else 2
        # One instance at least has no fault of its own.
        if len(names) <= wanted and subject == "one":
            return None
        return self.random.sample(names, wanted) if len(names) >= wanted else None

    async def _while(self, most_s: float = HELD_S[1]) -> None:
        await asyncio.sleep(self.random.uniform(HELD_S[0], most_s))

    # -- instances ------------------------------------------------------------------------------

    def _named(self, name: str) -> Served:
        return self.patient.cluster.by_name[name]

    async def _start(self, name: str) -> None:
        """As a service manager does: again, if it ends because a server is away just then."""
        instance, end_s = self._named(name), time.monotonic() + STARTED_MAX_S
        while not (instance.running and await instance.is_ready()):
            assert time.monotonic() < end_s, instance.said[-SAID:]
            if not instance.running:
                instance.launch()
            await asyncio.sleep(0.1)

    async def _kill(self, name: str) -> None:
        self._named(name).kill()
        await self._while(3.0)
        await self._start(name)

    async def _stop(self, name: str) -> None:
        self._named(name).freeze()
        try:
            await self._while()
        finally:
            self._named(name).thaw()

    async def _drain(self, name: str) -> None:
        status = await self._named(name).end(ENDED_MAX_S)
        assert status == 0, f"{name} ended with {status}: {self._named(name).said[-SAID:]}"
        await self._start(name)

    async def _cut_off(self, name: str) -> None:
        gate = self.patient.gates[name]
        gate.close()
        try:
            await self._while(CUT_OFF_MAX_S)
        finally:
            gate.open()

    async def _set_clock(self, name: str) -> None:
        file, instance = self.patient.clocks / name, self._named(name)
        ahead_s = self.random.choice(CLOCK_WRONG_S) * self.random.choice((-1, 1))
        for seconds in (ahead_s, 0):
            file.write_text(str(seconds))
            if instance.running:
                instance.process.send_signal(signal.SIGUSR1)
            if seconds:
                await self._while()

    async def _cut_link(self, one: str, other: str) -> None:
        self.patient.cluster.cuts.cut(one, other)
        try:
            await self._while()
        finally:
            self.patient.cluster.cuts.mend()

    # -- servers --------------------------------------------------------------------------------

    async def _end_redis(self, _: str) -> None:
        self.patient.redis.stop()
        try:
            await self._while()
        finally:
            await asyncio.to_thread(self.patient.redis.start)

    async def _freeze_redis(self, _: str) -> None:
        self.patient.redis.freeze()
        try:
            await self._while()
        finally:
            self.patient.redis.thaw()

    async def _empty_redis(self, _: str) -> None:
        self.patient.redis.stop()
        await asyncio.to_thread(self.patient.redis.start)

    async def _restart_postgres(self, _: str) -> None:
        how = self.random.choice((signal.SIGINT, signal.SIGQUIT, signal.SIGKILL))
        before = self.patient.postgres.pids["postgres"]
        os.kill(before, how)
        async with asyncio.timeout(ENDED_MAX_S):
            while self.patient.postgres.pids.get("postgres", before) == before:
                await asyncio.sleep(0.05)
                self.patient.postgres.news()
        self._postgres_from_s = time.monotonic() + POSTGRES_REST_S
