"""When somebody may expect to come in, from how fast the line has moved; never later than told.

The estimate is ``(ahead + 1) / rate``. Nobody's ``ahead`` grows, so what one user is told only
falls or stands if the rate used *for this user* never falls. It is the highest rate that was in use
since the user's number was given. Nothing is kept for each user: rates in use are kept with the
last number given while they were, and a rate is forgotten as soon as a higher one has followed.
What is left falls from entry to entry, and measured rates go by steps of 5 %, so there are few.

Everything here follows from the queue's events and their times, so instances that follow the same
events tell the same.
"""

from bisect import bisect_left
from collections import deque
from math import floor, log

from booking.queue.domain.events import Policy

WINDOW_MS = 300_000
"""Admissions of the last five minutes say how fast the line moves. Long, because a rate that was
too high for a moment is a promise that stands, and one that was too low is made good."""

BASIS_MS = 10_000
"""With less than this to look back on there is no basis for an estimate."""

STALE_MS = 120_000
"""Nor when nobody has come in for so long, unless a rate is configured."""

STEP = 1.05
"""Measured rates are rounded down to powers of this."""

ENTRIES_MAX = 600
"""Entries that a window is remembered by: what happens within a tenth of a second of a minute is
one."""


class Recently:
    """How many of something happened within a time, to a step of the window."""

    def __init__(self, window_ms: int) -> None:
        self._window_ms = window_ms
        self._step_ms = window_ms // ENTRIES_MAX
        self._entries: deque[tuple[int, int]] = deque()
        """Begin of a step, and the count within it."""
        self._total = 0

    def add(self, at_ms: int, count: int) -> None:
        """It has happened so often at this time, which never falls."""
        if self._entries and at_ms - self._entries[-1][0] < self._step_ms:
            self._entries[-1] = (self._entries[-1][0], self._entries[-1][1] + count)
        else:
            self._entries.append((at_ms, count))
        self._total += count
        self._forget(at_ms)

    def total(self, now_ms: int) -> int:
        """How often within the window that ends now."""
        self._forget(now_ms)
        return self._total

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._total = 0

    def _forget(self, now_ms: int) -> None:
        while self._entries and self._entries[0][0] <= now_ms - self._window_ms:
            self._total -= self._entries.popleft()[1]


class Forecast:
    """The waiting-time estimate of one queue."""

    def __init__(self) -> None:
        self._counted = Recently(WINDOW_MS)
        self._since_ms = 0
        """Begin of measuring; 0 while there is nothing to measure."""
        self._been_full = False
        self._last_ms = 0
        self._measured = 0.0
        self._in_use = 0.0
        """Admissions a second; 0 for no basis."""
        self._told: list[tuple[int, float]] = []
        """``(last number given, rate)``, numbers ascending and rates descending."""

    def rules_changed(self, policy: Policy) -> None:
        """An operator changed the rules: what was told before was told under others."""
        self._told.clear()
        self._restart(0)
        self._been_full = False
        self._in_use = _configured(policy)

    def admitted(
        self, policy: Policy, at_ms: int, count: int, waiting: int, full: bool, last_number: int
    ) -> None:
        """So many came in, then so many waited; ``full`` says whether room was what kept them."""
        self._last_ms = at_ms
        if waiting == 0:
            # Who comes in without waiting says nothing of how fast a line would move.
            self._restart(0)
            self._been_full = False
            self._told.clear()
            self._in_use = _configured(policy)
            return
        if full and not self._been_full:
            # Up to here an empty room was filled, which will not happen again.
            self._been_full = True
            self._restart(at_ms)
        elif self._since_ms:
            self._counted.add(at_ms, count)
            self._measure(at_ms)
        elif policy.admit_per_interval:
            self._restart(at_ms)
        self._use(
            min(filter(None, (self._measured, _configured(policy))), default=0.0), last_number
        )

    def rate(self, number: int, now_ms: int, policy: Policy) -> float:
        """Admissions a second to reckon with for this number; 0 for no basis."""
        if not self._in_use or (not _configured(policy) and now_ms - self._last_ms > STALE_MS):
            return 0.0
        at = bisect_left(self._told, (number, 0.0))
        told = self._told[at][1] if at < len(self._told) else 0.0
        return max(told, self._in_use)

    def _restart(self, at_ms: int) -> None:
        self._counted.clear()
        self._since_ms = at_ms
        self._measured = 0.0

    def _measure(self, now_ms: int) -> None:
        span_ms = min(now_ms - self._since_ms, WINDOW_MS)
        if span_ms >= BASIS_MS:
            rate = self._counted.total(now_ms) * 1000 / span_ms
            self._measured = STEP ** floor(log(rate, STEP))

    def _use(self, rate: float, last_number: int) -> None:
        if rate == self._in_use:
            return
        if self._in_use:
            while self._told and self._told[-1][1] <= self._in_use:
                self._told.pop()
            self._told.append((last_number, self._in_use))
        self._in_use = rate


def _configured(policy: Policy) -> float:
    """The rate in the rules, where nothing else can keep people waiting: without a limit of those
    inside, or with one that the rate cannot fill."""
    rate = policy.admit_per_interval * 1000 / policy.interval_ms
    if policy.max_active and policy.max_active < rate * policy.active_ms / 1000:
        return 0.0
    return rate
