"""An event loop whose clock jumps to the next timer whenever nothing else is to do.

Hours of virtual time pass in milliseconds, nothing ever sleeps, and a run is repeatable. Waiting
with neither a timer nor a ready callback is an error at once: nothing could ever end it. So is a
run that takes more steps or more virtual time than any that ends.
"""

from __future__ import annotations

import asyncio
import gc
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

START_MS = 1_800_000_000_000


STEPS_MAX = 4_000_000
"""Passes through the loop: some minutes, and ten times what the longest run takes."""
STEPS_STILL_MAX = 500_000
"""As many while the clock stands still: half a minute."""
VIRTUAL_MAX_S = 60 * 86_400.0
STEPS_TO_CLOSE = 20_000
"""What may be spent on cancelling everything after the end."""


class NothingWillHappenError(Exception):
    """The loop waits for something that cannot come."""


class EndlessRunError(Exception):
    """The loop goes on and on."""


class _JumpingSelector(selectors.DefaultSelector):
    """Does not wait: moves the clock on by as much."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.thrown: BaseException | None = None
        """Raised within a callback to end the run, as the time-out of a test is."""
        self.steps, self._moved = 0, 0
        self._steps_max, self._virtual_max_s = STEPS_MAX, VIRTUAL_MAX_S

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Called once in each pass, and outside of all callbacks: what it raises ends the run."""
        self.steps += 1
        if self.steps > self._steps_max or self.steps - self._moved > STEPS_STILL_MAX:
            self._end(f"{self.steps:,} steps, {self.steps - self._moved:,} of them since it moved")
        if self.thrown is not None:
            thrown, self.thrown = self.thrown, None
            raise thrown
        if timeout == 0:
            return []  # There is something to run: nothing needs to come from outside.
        ready = super().select(0)
        if ready:
            return ready
        if timeout is None:
            raise NothingWillHappenError("no timer and nothing ready: this would hang for ever")
        self.now += max(timeout, 0.0)
        self._moved = self.steps
        if self.now > self._virtual_max_s:
            self._end("beyond all limits")
        return []

    def _end(self, words: str) -> None:
        self._steps_max, self._moved = self.steps + STEPS_TO_CLOSE, self.steps
        self._virtual_max_s = self.now + VIRTUAL_MAX_S
        raise EndlessRunError(f"the run does not end: its clock is at {self.now:.3f} s, {words}")


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Starts at time 0. Keeps what asyncio would only log: errors that nobody retrieved."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        self.problems: list[dict[str, Any]] = []
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now

    @property
    def steps(self) -> int:
        """Passes through the loop so far."""
        return self._jumping.steps

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if error is not None and not isinstance(error, Exception | asyncio.CancelledError):
            self._jumping.thrown = error
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
