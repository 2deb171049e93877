"""What the shards of one instance share."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from random import Random
from typing import TYPE_CHECKING, Any, Protocol

from actors.address import Address
from actors.behaviour import Behaviour
from actors.clock import Clock
from actors.core.commit import Change, Commit
from actors.core.limits import Limits
from actors.core.passivation import Pool
from actors.core.pause_detector import PauseDetector
from actors.core.statistics import Counters
from actors.core.supervision import CrashWindow
from actors.core.timers import Timers
from actors.ownership.partition import JournalPartition

if TYPE_CHECKING:
    from actors.core.sagas import Sagas
    from actors.core.shard import Shard


class Observer(Protocol):
    """Learns what became true, to keep views. Called synchronously, in order within a shard; what
    it raises is a broken invariant and ends the runtime."""

    def loaded(self, address: Address, state: Any) -> None:
        """The entity was read from the journal; ``state`` is all that is known of it so far."""

    def committed(self, address: Address, events: Sequence[Any], state: Any) -> None:
        """These events of the entity are in the journal; ``state`` is the one after them.

        Every event is told once, even those whose commit was in doubt for a while.
        """

    def lost(self, shard: int) -> None:
        """Another instance owns this shard now: what is known of it grows stale."""


class ReplicationListener(Protocol):
    """Carries what became true to other instances, as it is journalled. Called after the observer,
    synchronously and in order within a shard."""

    def loaded(self, shard: Shard, address: Address, state: Any, seq: int) -> None:
        """The entity was read from the journal, up to and including ``seq``."""

    def committed(self, shard: Shard, change: Change) -> None:
        """This change of an entity is in the journal."""

    def lost(self, shard: int) -> None:
        """Another instance owns this shard, and maybe has for a while."""

    def stood_still(self) -> None:
        """This process did nothing for a while. What it is about to hear may be old."""

    def missed(self, address: Address, state: Any, seq: int) -> None:
        """An event that was in doubt is in the journal after all; ``state`` is the one after
        it."""


class NoObserver:
    """For runtimes without views."""

    def loaded(self, address: Address, state: Any) -> None:
        """Nobody wants to know."""

    def committed(self, address: Address, events: Sequence[Any], state: Any) -> None:
        """Nobody wants to know."""

    def lost(self, shard: int) -> None:
        """Nobody wants to know."""


class Keeper(Protocol):
    """What a shard asks of its runtime."""

    def submit(self, commit: Commit) -> None:
        """Put a commit into the shard's lane."""

    def fence(self, shard: Shard) -> None:
        """Close a shard that crashes in a loop, and claim it again later."""


class ShardContext:
    """Collaborators of one instance's shards."""

    __slots__ = (
        "behaviours",
        "clock",
        "counters",
        "crashes",
        "drain_rate",
        "keeper",
        "limits",
        "loop",
        "observer",
        "parts",
        "pause_detector",
        "pool",
        "random",
        "sagas",
        "tap",
        "timers",
    )

    sagas: Sagas

    def __init__(
        self,
        behaviours: Mapping[str, Behaviour],
        clock: Clock,
        limits: Limits,
        observer: Observer,
        keeper: Keeper,
        parts: Sequence[JournalPartition],
    ) -> None:
        self.behaviours = behaviours
        self.clock = clock
        self.limits = limits
        self.observer = observer
        self.keeper = keeper
        self.parts = parts
        """The databases of the journal."""
        self.loop = asyncio.get_running_loop()
        self.counters = Counters()
        self.crashes = CrashWindow(limits)
        self.pool = Pool(limits.entities_max)
        self.timers = Timers(clock, self.loop, limits)
        self.random = Random()  # noqa: S311 - spreads retries, guards nothing
        self.drain_rate = 0.0
        """Turns a second, measured over the last round of housekeeping."""
        self.tap: ReplicationListener | None = None
        self.pause_detector = PauseDetector(clock, self.loop)

    def retry_after_s(self) -> float:
        """In how many seconds what waits now will have been decided, at the measured rate."""
        limit = self.limits.retry_after_max_s
        wait_s = self.counters.waiting / self.drain_rate if self.drain_rate > 0 else 1.0
        return min(max(wait_s, 0.1), limit)
