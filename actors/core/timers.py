"""Timers: which entity gets :data:`~actors.behaviour.TIMER_FIRED` when. One heap and one loop timer
for the instance.

Timers are kept beside the activations, so they survive passivation; after a crash they come back
from the states of the entities that the timer entries in the journal name.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from heapq import heappop, heappush

from actors.address import Address
from actors.core.context import ShardContext
from actors.core.shard import Shard, Timer


class Timers:
    """All timers of an instance, at most one for each entity."""

    def __init__(self, context: ShardContext, due: Callable[[Shard, Address], None]) -> None:
        self._context = context
        self._due = due
        self._heap: list[tuple[int, int, Timer]] = []
        self._count = 0
        self._handle: asyncio.TimerHandle | None = None
        self._handle_ms = 0

    def arm(self, shard: Shard, address: Address, at_ms: int | None) -> None:
        """Fire the entity's timer at this time, or not at all."""
        timer = shard.timers.get(address)
        if timer is None:
            timer = shard.timers[address] = Timer(shard, address)
        timer.armed_ms = at_ms
        if at_ms is not None and (timer.queued_ms is None or at_ms < timer.queued_ms):
            self._push(timer, at_ms)

    def _push(self, timer: Timer, at_ms: int) -> None:
        timer.queued_ms = at_ms
        self._count += 1
        heappush(self._heap, (at_ms, self._count, timer))
        if self._handle is None or at_ms < self._handle_ms:
            self._schedule()

    def _schedule(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        if not self._heap:
            return
        self._handle_ms = self._heap[0][0]
        wait_s = (self._handle_ms - self._context.clock.now_ms()) / 1000
        wait_s = min(max(wait_s, 0.0), self._context.limits.timer_check_s)
        self._handle = self._context.loop.call_later(wait_s, self._fire)

    def _fire(self) -> None:
        self._handle = None
        now_ms = self._context.clock.now_ms()
        for _ in range(self._context.limits.timers_fired_max):
            if not self._heap or self._heap[0][0] > now_ms:
                break
            at_ms, _, timer = heappop(self._heap)
            if timer.queued_ms == at_ms:
                timer.queued_ms = None
                self._ring(timer, now_ms)
        self._schedule()

    def _ring(self, timer: Timer, now_ms: int) -> None:
        shard, at_ms = timer.shard, timer.armed_ms
        if shard.closed:
            return
        if at_ms is not None and at_ms > now_ms:
            self._push(timer, at_ms)
            return
        del shard.timers[timer.address]
        if at_ms is not None:
            self._due(shard, timer.address)

    def close(self) -> None:
        """Fire no timer any more."""
        if self._handle is not None:
            self._handle.cancel()
        self._heap.clear()
