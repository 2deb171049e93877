"""An event loop whose clock jumps to the next timer whenever nothing else is to do.

Hours of virtual time pass in milliseconds, nothing ever sleeps, and a run is repeatable. Waiting
with neither a timer nor a ready callback is an error at once: nothing could ever end it.
"""

from __future__ import annotations

import asyncio
import gc
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

START_MS = 1_800_000_000_000


class NothingWillHappenError(Exception):
    """The loop waits for something that cannot come."""


class _JumpingSelector(selectors.DefaultSelector):
    """Does not wait: moves the clock on by as much."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready:
            return ready
        if timeout is None:
            raise NothingWillHappenError("no timer and nothing ready: this would hang for ever")
        self.now += max(timeout, 0.0)
        return []


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Starts at time 0. Keeps what asyncio would only log: errors that nobody retrieved."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        self.problems: list[dict[str, Any]] = []
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.problems.append(context)

    def assert_no_problems(self) -> None:
        gc.collect(1)  # the older generation is the test process' own and takes long
        assert not self.problems, self.problems


class VirtualClock:
    """The loop's time as :class:`actors.clock.Clock`; a test may set the wall clock apart."""

    def __init__(self) -> None:
        self.wall_offset_ms = START_MS

    def now_ms(self) -> int:
        return round(self.monotonic() * 1000) + self.wall_offset_ms

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


def run(main: Coroutine[Any, Any, T], loop_factory: type[VirtualTimeLoop] = VirtualTimeLoop) -> T:
    """Run on virtual time; errors that nobody retrieved fail the run."""
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        result = runner.run(main)
        loop = runner.get_loop()
        assert isinstance(loop, VirtualTimeLoop)
        loop.assert_no_problems()
    return result
