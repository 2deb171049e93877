"""Whether what this instance knows of other owners' shards is recent enough to be told."""

from __future__ import annotations

from collections.abc import Iterable

from actors.clock import Clock
from actors.cluster.directory import Directory
from actors.errors import UnavailableError
from actors.runtime import Runtime

OLD_AFTER_S = 2.0
"""Since an owner last said that it serves a shard: what is known of it is not told any more."""


class StaleError(UnavailableError):
    """What is known of the shard is too old to be told."""

    reason = "stale"


class Freshness:
    """One instance's. Its own shards are always fresh while it did not stand still."""

    def __init__(self, runtime: Runtime, directory: Directory, clock: Clock) -> None:
        self._runtime = runtime
        self._directory = directory
        self._clock = clock

    def check(self, slot: int) -> None:
        """Raises :class:`StaleError` if what this instance knows of the slot is too old to be
        told: it stood still, or the owner was not heard for a while."""
        self.check_here()
        if self._runtime.holds(slot):
            return
        if self._directory.unheard_s(slot, self._clock.monotonic()) > OLD_AFTER_S:
            raise StaleError("the owner was not heard for a while", 0.5)

    def check_here(self) -> None:
        """Raises :class:`StaleError` if this instance stood still just now."""
        if not self._runtime.trustworthy:
            raise StaleError("this instance stood still and is looking around", 0.2)

    def silent(self, slots: Iterable[int]) -> frozenset[int]:
        """Those of which nobody was heard for a while."""
        now_s = self._clock.monotonic()
        unheard = ((slot, self._directory.unheard_s(slot, now_s)) for slot in slots)
        return frozenset(slot for slot, for_s in unheard if for_s > OLD_AFTER_S)
