"""Supervision: logging crashes, counting them, and backing off after them."""

import traceback
from collections import defaultdict, deque
from collections.abc import Callable

from actors.core.context import Limits

FRAMES_MAX = 8
"""Innermost stack frames that are logged: behaviours are shallow."""


class CrashWindow:
    """Crashes of each shard within the last window; at most ``crashes_max`` are remembered."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._crashes: defaultdict[int, deque[float]] = defaultdict(deque)

    def crashed(self, shard: int, now: float) -> bool:
        """Count a crash of the shard; true if it is one too many within the window."""
        crashes = self._crashes[shard]
        while crashes and crashes[0] <= now - self._limits.crash_window_s:
            crashes.popleft()
        crashes.append(now)
        if len(crashes) <= self._limits.crashes_max:
            return False
        crashes.clear()
        return True


class Backoff:
    """Exponential backoff up to a maximum, each wait shortened at random by up to a half."""

    __slots__ = ("_max_s", "_min_s", "_random", "tries")

    def __init__(self, min_s: float, max_s: float, random: Callable[[], float]) -> None:
        self._min_s = min_s
        self._max_s = max_s
        self._random = random
        self.tries = 0

    def reset(self) -> None:
        """Start again from the shortest wait."""
        self.tries = 0

    def next_s(self) -> float:
        """Seconds to wait before the next try."""
        doubled = self._min_s * 2.0 ** min(self.tries, 30)
        self.tries += 1
        return min(doubled, self._max_s) * (1.0 - 0.5 * self._random())


def where(error: BaseException) -> str:
    """The type and place of an error, without its message, which may hold what people sent."""
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES_MAX:]
    places = " < ".join(f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames[::-1])
    return f"{type(error).__name__} at {places}"
