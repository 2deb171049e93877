"""Time as an argument: what the wall says, and what only ever grows."""

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
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()


class ManualClock:
    """A clock that a test moves."""

    def __init__(self, now_ms: int = 1_800_000_000_000) -> None:
        self._start_ms = now_ms
        self._passed_ms = 0

    def now_ms(self) -> int:
        return self._start_ms + self._passed_ms

    def monotonic(self) -> float:
        return self._passed_ms / 1000

    def advance(self, ms: int) -> None:
        if ms < 0:
            raise ValueError("time does not run backwards")
        self._passed_ms += ms
