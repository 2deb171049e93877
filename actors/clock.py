"""Time as an argument; the database's clock, which judges; and the detector that notices when this
process stood still."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from math import inf
from typing import Protocol


class Clock(Protocol):
    """The only place time comes from."""

    def now_ms(self) -> int:
        """Wall time in milliseconds since the epoch."""

    def monotonic(self) -> float:
        """Seconds that never fall, for durations and deadlines; equal to the event loop's time."""


class SystemClock:
    """The machine's clocks."""

    def now_ms(self) -> int:
        """Wall time in milliseconds since the epoch."""
        return time.time_ns() // 1_000_000

    monotonic = staticmethod(time.monotonic)
    """The event loop's time in seconds."""


SKEW_MAX_MS = 1_000
"""By how much a clock may differ from the database's, whose shards are left otherwise: twice what a
bad network makes of a comparison, and too little to be noticed in a hold of minutes."""


class DatabaseClock:
    """The time of the journal's database, which is the time of every decision.

    It runs on the machine's monotonic clock from the last :meth:`compare` on. Only before the first
    one, and for a journal in memory, it tells the wall clock's time.
    """

    def __init__(self, machine: Clock) -> None:
        self._machine = machine
        self.monotonic = machine.monotonic
        self._offset_ms: float | None = None
        """The database's time when the monotonic clock was 0."""

    @classmethod
    def over(cls, clock: Clock) -> DatabaseClock:
        """The database's clock on this machine's; the clock itself if it is one."""
        return clock if isinstance(clock, cls) else cls(clock)

    def now_ms(self) -> int:
        """The database's time in milliseconds since the epoch."""
        if self._offset_ms is None:
            return self._machine.now_ms()
        return int(self.monotonic() * 1000 + self._offset_ms)

    @property
    def machine_ahead_ms(self) -> int:
        """By how much the machine's wall clock is ahead; negative if it is behind."""
        return self._machine.now_ms() - self.now_ms()

    def ahead_ms(self, told_ms: float, sent_s: float) -> float:
        """By how many milliseconds this clock is ahead of one read as ``told_ms`` between
        ``sent_s`` and now; negative if behind, 0 if the two may agree."""
        if self._offset_ms is None:
            return 0.0
        least, most = self._offsets(told_ms, sent_s)
        return self._offset_ms - min(max(self._offset_ms, least), most)

    def compare(self, told_ms: float, sent_s: float) -> float:
        """Go by what the database told from now on; returns how far this clock was ahead. Later
        comparisons change only what they contradict, so that it does not waver."""
        ahead_ms = self.ahead_ms(told_ms, sent_s)
        known_ms = self._offset_ms
        self._offset_ms = (
            sum(self._offsets(told_ms, sent_s)) / 2 if known_ms is None else known_ms - ahead_ms
        )
        return ahead_ms

    def _offsets(self, told_ms: float, sent_s: float) -> tuple[float, float]:
        """The least and the greatest offset that the answer allows."""
        return told_ms - self.monotonic() * 1000, told_ms - sent_s * 1000


TICK_EVERY_S = 0.1
JUMP_S = 1.0
"""Nobody is declared dead for a silence as short as this, so a shorter pause took no shard away."""
LAG_KEPT = 0.9
"""The share of the last lag that remains at each tick: ``lag_s`` covers about the last second."""


def _nothing() -> None: ...


class PauseDetector:
    """Notices that this process was stopped, swapped out, or starved of its processor.

    Meanwhile another instance may have taken its shards over. It ticks on the event loop; call
    :meth:`jumped` before you answer from memory, because the loop may run you before the tick.
    """

    def __init__(self, clock: Clock, loop: asyncio.AbstractEventLoop) -> None:
        self._clock = clock
        self._loop = loop
        self._ticked = clock.monotonic()
        self._sure_until = inf
        self._handle: asyncio.TimerHandle | None = None
        self._on_jump: Callable[[], None] = _nothing
        self.lag_s = 0.0
        """How many seconds late the loop runs what is due: the worst of the last second, fading."""

    def start(self, on_jump: Callable[[], None]) -> None:
        """``on_jump`` is called once after each pause, before anything else is decided."""
        self._on_jump = on_jump
        self._note(self._clock.monotonic())
        self._sleep()

    def jumped(self, now: float) -> bool:
        """Whether the process stood still just now; if so ``on_jump`` has been called."""
        if now <= self._sure_until:
            return False
        self._note(now)
        self._on_jump()
        return True

    def _note(self, now: float) -> None:
        self._ticked, self._sure_until = now, now + JUMP_S

    def _sleep(self) -> None:
        self._handle = self._loop.call_later(TICK_EVERY_S, self._tick)

    def _tick(self) -> None:
        now = self._clock.monotonic()
        late_s = max(0.0, now - self._ticked - TICK_EVERY_S)
        self.lag_s = max(late_s, self.lag_s * LAG_KEPT)
        if not self.jumped(now):
            self._note(now)
        self._sleep()

    def close(self) -> None:
        """Stop ticking."""
        self._sure_until = inf
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
