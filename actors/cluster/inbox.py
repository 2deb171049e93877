"""What other instances ask of this one: commands for its entities, and what instances say to each
other besides."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from actors.address import Address
from actors.behaviour import CommandKey
from actors.clock import Clock
from actors.cluster.allocator import ShardAllocator
from actors.cluster.coordinator import Coordinator
from actors.cluster.directory import Directory
from actors.cluster.freshness import Freshness
from actors.cluster.messages import (
    CONTROL,
    Abandon,
    Look,
    Message,
    Noted,
    Release,
    Reply,
    Told,
    Update,
    convert_change,
)
from actors.errors import UnavailableError
from actors.replication.replicas import ViewReplicas
from actors.runtime import Runtime
from actors.tasks import Tasks
from actors.transport import Answer

log = logging.getLogger(__name__)


class Inbox:
    """One instance's. ``on_told`` gets what another instance's application says."""

    def __init__(
        self,
        runtime: Runtime,
        allocator: ShardAllocator,
        coordinator: Coordinator,
        copies: ViewReplicas,
        directory: Directory,
        freshness: Freshness,
        clock: Clock,
        tasks: Tasks,
        *,
        on_told: Callable[[str, bytes], None],
    ) -> None:
        self._runtime = runtime
        self._allocator = allocator
        self._coordinator = coordinator
        self._copies = copies
        self._directory = directory
        self._freshness = freshness
        self._clock = clock
        self._tasks = tasks
        self._on_told = on_told

    def ask(
        self, address: Address, command: Any, key: CommandKey | None, timeout_s: float
    ) -> asyncio.Future[Answer]:
        """The answer, as :meth:`actors.runtime.Runtime.ask` for commands of entities."""
        if address.kind != CONTROL:
            return self._runtime.ask(address, command, key=key, timeout_s=timeout_s)
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        if not self._runtime.trustworthy:
            # It may have lain here for as long as this process stood still.
            future.set_exception(UnavailableError("this instance stood still", 0.1))
        elif isinstance(command, Release):
            self._tasks.spawn(self._release(command, future), f"release-{command.shard}")
        else:
            future.set_result(Answer(self._hear(command)))
        return future

    async def _release(self, message: Release, future: asyncio.Future[Answer]) -> None:
        reply = await self._allocator.release(message)
        if not future.done():
            future.set_result(Answer(reply))

    def _hear(self, message: Message) -> Reply:
        match message:
            case Look():
                self._allocator.kick()
                self._coordinator.kick()
            case Abandon():
                self._runtime.abandon(message.address, CommandKey(message.id, message.fingerprint))
            case Update():
                self._update(message)
            case Told():
                self._on_told(message.topic, message.body)
        return Noted()

    def _update(self, update: Update) -> None:
        # What was silent until now is doubted before this word makes its owner heard again.
        self._copies.distrust(self._freshness.silent(shard for shard, _ in update.owned or ()))
        now_s = self._clock.monotonic()
        for shard, epoch in update.owned or ():
            if 0 < self._runtime.epoch_of(shard) < epoch:
                log.warning("%s says that it owns shard %d", update.instance, shard)
                self._runtime.doubt()
            if self._directory.learn(shard, update.instance, epoch, update.incarnation):
                self._coordinator.kick()
            self._directory.confirm(shard, epoch, now_s)
        for text, seq in update.marks:
            self._copies.marked(text, seq)
        for change in update.changes:
            self._copies.changed(convert_change(change))
