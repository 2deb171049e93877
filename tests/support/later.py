"""Time that goes by for a running event loop at once: whatever has to happen may have a long limit
in a test, which still sees what happens when a limit is over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class _Time:
    """A loop's clock, and how far it is ahead."""

    def __init__(self, real: Callable[[], float]) -> None:
        self._real = real
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return self._real() + self.ahead_s


def time_passes(seconds: float) -> None:
    """The running loop's clock is so much later, and what is due by then runs next. Who kept the
    clock's method before the first call keeps the old one; to give them this one, pass 0 first."""
    loop = asyncio.get_running_loop()
    clock = loop.time
    if not isinstance(clock, _Time):
        clock = _Time(clock)
        loop.time = clock  # type: ignore[method-assign]
    clock.ahead_s += seconds
