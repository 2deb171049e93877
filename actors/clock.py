"""Time as an argument: wall time, and monotonic time."""

from __future__ import annotations

import time
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

    def monotonic(self) -> float:
        """The event loop's time in seconds."""
        return time.monotonic()


class ManualClock:
    """A clock that a test moves."""

    def __init__(self, now_ms: int = 1_800_000_000_000) -> None:
        self._start_ms = now_ms
        self._passed_ms = 0

    def now_ms(self) -> int:
        """The time to which a test has moved the clock, in milliseconds since the epoch."""
        return self._start_ms + self._passed_ms

    def monotonic(self) -> float:
        """Seconds that a test has let pass."""
        return self._passed_ms / 1000

    def advance(self, ms: int) -> None:
        """Let milliseconds pass."""
        if ms < 0:
            raise ValueError("time does not run backwards")
        self._passed_ms += ms
