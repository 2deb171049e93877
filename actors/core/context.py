"""What the shards of one instance share."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from actors.behaviour import Behaviour
from actors.clock import Clock, PauseDetector
from actors.core.limits import Limits
from actors.subscription import Subscription


@dataclass(slots=True)
class Counters:
    """What a runtime counts from its start on."""

    waiting: int = 0
    """External messages in mailboxes now."""
    turns: int = 0
    rows: int = 0
    crashes: int = 0
    refused: int = 0
    loads: int = 0
    fenced: int = 0
    sagas: int = 0
    """Sagas running now."""
    last_commit: float | None = None
    """When the last commit was, on the monotonic clock."""


class ShardContext:
    """Collaborators of one instance's shards that know nothing of shards."""

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
