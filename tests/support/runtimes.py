"""Runtimes over one in-memory store, for tests on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Any

from actors.address import SLOT_COUNT, Address
from actors.behaviour import CommandKey
from actors.core.context import Limits
from actors.journal.memory import MemoryStore
from actors.journal.partitioned import PartitionedJournal
from actors.runtime import Runtime
from actors.subscription import Change, Subscription
from tests.support.faulty import FaultyJournal
from tests.support.toys import Alarm, Bank, Counter, Crowd, Herald, Pair, Shop
from tests.support.virtual_time import VirtualClock

WAIT_MAX_S = 120.0
"""Virtual seconds a test waits for a condition."""


class Views(Subscription):
    """Remembers what a subscription is told."""

    def __init__(self) -> None:
        self.told: list[tuple[Address, tuple[Any, ...], Any]] = []
        self.loads: list[tuple[Address, Any]] = []
        self.all: list[tuple[Address, tuple[Any, ...] | None, Any]] = []
        """Both in order; without events for a load."""
        self.lost_shards: list[int] = []
        self.forgotten: list[int] = []
        """Shards whose past was lost."""

    def loaded(self, address: Address, state: Any, seq: int, epoch: int) -> None:
        self.loads.append((address, state))
        self.all.append((address, None, state))

    def committed(self, change: Change) -> None:
        told = (change.address, tuple(change.events), change.state)
        self.told.append(told)
        self.all.append(told)

    def lost(self, shard: int) -> None:
        self.lost_shards.append(shard)

    def past_lost(self, shard: int) -> None:
        self.forgotten.append(shard)

    def events(self, address: Address) -> list[Any]:
        return [event for at, events, _ in self.told if at == address for event in events]


class Instance:
    """One runtime with the things a test looks at. ``databases`` are so many connections to the
    store, each of which serves the shards of one part."""

    def __init__(
        self, store: MemoryStore, name: str, limits: Limits, *, databases: int = 1, **options: Any
    ) -> None:
        self.name = name.split("-")[0]
        self.databases = [FaultyJournal(store) for _ in range(databases)]
        self.journal = self.databases[0]
        self.clock = VirtualClock()
        self.counter, self.alarm, self.pair, self.bank = Counter(), Alarm(), Pair(), Bank()
        self.crowd = Crowd()
        self.views = Views()
        self.runtime = Runtime(
            instance=self.name,
            incarnation=name,
            behaviours=[
                *(self.counter, self.alarm, self.pair, self.bank),
                *(Shop(), Herald(), self.crowd),
            ],
            journal=self.journal if databases == 1 else PartitionedJournal(self.databases),
            clock=self.clock,
            limits=limits,
            subscriptions=[self.views],
            lanes=options.pop("lanes", databases),
            **options,
        )

    def ask(self, address: Address, command: Any, **options: Any) -> asyncio.Future[Any]:
        return self.runtime.ask(address, command, **options)

    async def reply(self, address: Address, command: Any, **options: Any) -> Any:
        return (await self.runtime.ask(address, command, **options)).reply


class Cluster:
    """Starts instances over one store, and stops those still running at the end."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self._running: list[Instance] = []

    async def start(
        self,
        name: str = "one-1",
        *,
        limits: Limits | None = None,
        shards: Collection[int] = range(SLOT_COUNT),
        **options: Any,
    ) -> Instance:
        instance = self.new(name, limits=limits, **options)
        await instance.runtime.start(shards)
        return instance

    def new(self, name: str = "one-1", *, limits: Limits | None = None, **options: Any) -> Instance:
        instance = Instance(self.store, name, limits or Limits(), **options)
        self._running.append(instance)
        return instance

    async def stop(self, instance: Instance) -> None:
        self._running.remove(instance)
        await instance.runtime.stop(timeout_s=5.0)

    async def stop_all(self) -> None:
        for instance in list(self._running):
            for database in instance.databases:
                database.come_back()
                database.resume()
            await self.stop(instance)


async def until(condition: Callable[[], Any], wait_max_s: float = WAIT_MAX_S) -> None:
    """Wait in virtual time until the condition holds."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + wait_max_s
    while not condition():
        assert loop.time() < ends, "the condition did not come true"
        await asyncio.sleep(0.001)


async def pass_time(seconds: float) -> None:
    """Let this much virtual time pass."""
    await asyncio.sleep(seconds)


def key(number: int, content: int = 0) -> CommandKey:
    """A command key of this number; another content gives another fingerprint."""
    return CommandKey(number.to_bytes(16, "big"), content.to_bytes(16, "big"))


def same_shard(kind: str, count: int) -> list[Address]:
    """Entities with different keys that share one shard."""
    wanted = Address(kind, "0").slot
    found: list[Address] = []
    number = 0
    while len(found) < count:
        address = Address(kind, str(number))
        if address.slot == wanted:
            found.append(address)
        number += 1
    return found
