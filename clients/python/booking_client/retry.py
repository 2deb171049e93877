"""When to try again and how long to wait: a rule without a clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from booking_client.errors import Refused, Unavailable

WORTH_REPEATING = frozenset((*Unavailable.codes, "rate_limited"))
"""Codes of moments that pass. ``queue_full`` is not one: it is an outcome, stored under the
request's key, and the same key would be told the same for a day. ``hold_cooling_down`` is none
either: waiting for one seat while others are free is for the caller to choose."""
_PASSING_STATUS = frozenset({429, 502, 503, 504})
"""From a proxy in between, whose answer is no problem document."""


@dataclass(frozen=True, slots=True)
class Retry:
    """How patient a client is."""

    attempts_max: int = 8
    """With the waits below about 15 s without any word of the service's: longer than it takes
    another instance to serve what a killed one did."""
    total_s: float = 30.0
    """For one call with all its attempts; a wait that would end later is not begun."""
    first_wait_s: float = 0.1
    """Doubled for each further attempt."""
    wait_max_s: float = 5.0
    """Of our own waits; what the service asks for is kept even if it is longer."""

    def wait_s(
        self, failures: int, asked_s: float | None, spent_s: float, draw: Callable[[], float]
    ) -> float | None:
        """Seconds to wait after so many failures; ``None`` to give up. ``draw`` gives 0 to 1, so
        that clients hit by one failure do not come back together."""
        if failures >= self.attempts_max:
            return None
        own = min(self.wait_max_s, self.first_wait_s * 2 ** (failures - 1))
        wait = own * (0.5 + 0.5 * draw()) if asked_s is None else asked_s + own * draw()
        return wait if spent_s + wait <= self.total_s else None


def passes(error: Refused) -> bool:
    """Whether the same request may be answered differently in a moment."""
    if error.code:
        return error.code in WORTH_REPEATING
    return error.status in _PASSING_STATUS
