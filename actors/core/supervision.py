"""Supervision: how crashes are told, counted, and waited after."""

from __future__ import annotations

import traceback
from collections import defaultdict, deque
from collections.abc import Callable

from actors.core.limits import Limits

FRAMES_MAX = 8
"""Innermost stack frames that are logged: behaviours are shallow."""


class CrashWindow:
    """Crashes of each shard within the last window; at most ``crashes_max`` are remembered."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._crashes: defaultdict[int, deque[float]] = defaultdict(deque)

    def crashed(self, shard: int, now: float) -> bool:
        """Note a crash; true if this one is too many."""
        crashes = self._crashes[shard]
        while crashes and crashes[0] <= now - self._limits.crash_window_s:
            crashes.popleft()
        crashes.append(now)
        if len(crashes) <= self._limits.crashes_max:
            return False
        crashes.clear()
        return True


class Backoff:
    """Waits that double up to a maximum, each cut by up to a half so that many who wait for the
    same thing do not come back at the same moment."""

    __slots__ = ("_max_s", "_min_s", "_random", "tries")

    def __init__(self, min_s: float, max_s: float, random: Callable[[], float]) -> None:
        self._min_s = min_s
        self._max_s = max_s
        self._random = random
        self.tries = 0

    def reset(self) -> None:
        self.tries = 0

    def next_s(self) -> float:
        """How long to wait before the next try."""
        doubled = self._min_s * 2.0 ** min(self.tries, 30)
        self.tries += 1
        return min(doubled, self._max_s) * (1.0 - 0.5 * self._random())


def where(error: BaseException) -> str:
    """Type and place of an error, without its message: that may hold what people sent us."""
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES_MAX:]
    places = " < ".join(f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames[::-1])
    return f"{type(error).__name__} at {places}"
