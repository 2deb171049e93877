"""What the shards of one instance share."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from random import Random

from actors.behaviour import Behaviour
from actors.clock import Clock
from actors.core.limits import Limits
from actors.core.pause_detector import PauseDetector
from actors.core.statistics import Counters
from actors.subscription import Subscription


class ShardContext:
    """Collaborators of one instance's shards that know nothing of shards."""

    __slots__ = (
        "behaviours",
        "clock",
        "counters",
        "drain_rate",
        "limits",
        "loop",
        "pause_detector",
        "random",
        "subscriptions",
    )

    def __init__(
        self,
        behaviours: Mapping[str, Behaviour],
        clock: Clock,
        limits: Limits,
        subscriptions: Sequence[Subscription],
    ) -> None:
        self.behaviours = behaviours
        self.clock = clock
        self.limits = limits
        self.subscriptions = list(subscriptions)
        self.loop = asyncio.get_running_loop()
        self.counters = Counters()
        self.random = Random()  # noqa: S311 - spreads retries, guards nothing
        self.drain_rate = 0.0
        """Turns a second, measured over the last round of housekeeping."""
        self.pause_detector = PauseDetector(clock, self.loop)

    def retry_after_s(self) -> float:
        """In how many seconds what waits now will have been decided, at the measured rate."""
        limit = self.limits.retry_after_max_s
        wait_s = self.counters.waiting / self.drain_rate if self.drain_rate > 0 else 1.0
        return min(max(wait_s, 0.1), limit)
