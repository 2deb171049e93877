"""Deadlines of all waiting callers, without a timer for each.

A timing wheel (Varghese and Lauck, 1987) with one slot for each tick: putting a caller in and
taking it out costs the same however many wait. A refusal comes at most a tick late, never early.
"""

from __future__ import annotations

import asyncio
from math import ceil

from actors.clock import Clock
from actors.core.envelope import Envelope
from actors.errors import DeadlineExceededError

TICK_S = 0.05
"""A hundredth of the default deadline: nobody notices, and twenty looks a second cost nothing."""


class Deadlines:
    """Refuses callers whose deadline has passed. Bounded by what the mailboxes and lanes let in,
    times the longest deadline."""

    def __init__(self, clock: Clock, loop: asyncio.AbstractEventLoop) -> None:
        self._clock = clock
        self._loop = loop
        self._wheel: dict[int, list[Envelope]] = {}
        self._swept = int(clock.monotonic() / TICK_S)
        self._handle: asyncio.TimerHandle | None = None
        self.exceeded = 0
        """Callers refused so far."""

    def watch(self, envelope: Envelope) -> None:
        """Refuse this caller once the deadline has passed."""
        if self._handle is None:
            self._swept = int(self._clock.monotonic() / TICK_S)
            self._sleep()
        tick = ceil(envelope.deadline / TICK_S)
        if tick <= self._swept:
            tick = self._swept + 1
        self._wheel.setdefault(tick, []).append(envelope)

    def _sweep(self) -> None:
        now = int(self._clock.monotonic() / TICK_S)
        for tick in range(self._swept + 1, now + 1):
            for envelope in self._wheel.pop(tick, ()):
                if not envelope.over:
                    self.exceeded += 1
                    envelope.refuse(DeadlineExceededError("no answer in time"))
        self._swept = max(self._swept, now)
        self._handle = None
        if self._wheel:
            self._sleep()

    def _sleep(self) -> None:
        """Until the next tick begins."""
        wait_s = (self._swept + 1) * TICK_S - self._clock.monotonic()
        self._handle = self._loop.call_later(max(wait_s, 0.001), self._sweep)

    def close(self) -> None:
        """Refuse nobody any more."""
        if self._handle is not None:
            self._handle.cancel()
        self._wheel.clear()
