"""Whether shards have an owner that answers, and whether their view replicas are recent enough."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import inf

from actors.address import SLOT_COUNT
from actors.clock import Clock
from actors.cluster.directory import ShardDirectory
from actors.cluster.membership_view import MembershipView
from actors.errors import UnavailableError
from actors.runtime import Runtime
from actors.transport import ShardOwner

STALE_AFTER_S = 2.0
"""Since an owner last confirmed that it serves a shard; older replicas are not served."""


class StaleError(UnavailableError):
    """The replica is too old to be served."""

    reason = "stale"


class ShardAvailability:
    """``released`` tells whether a shard was released just now, for another instance to claim."""

    def __init__(
        self,
        runtime: Runtime,
        directory: ShardDirectory,
        members: MembershipView,
        clock: Clock,
        released: Callable[[int], bool],
    ) -> None:
        self._runtime = runtime
        self._directory = directory
        self._members = members
        self._clock = clock
        self._released = released
        self._all_confirmed = False
        """Every owner has confirmed its shards once since the start."""

    # -- of replicas ---------------------------------------------------------------------------

    def check(self, shard: int) -> None:
        """Raises :class:`StaleError` unless this instance serves the shard itself or has heard its
        owner recently."""
        self.check_here()
        if not self._runtime.shards.holds(shard) and self._stale(shard, self._clock.monotonic()):
            raise StaleError("the owner was not heard for a while", 0.5)

    def check_here(self) -> None:
        """Raises :class:`StaleError` if this instance was paused and has not checked its leases
        since."""
        if not self._runtime.shards.trustworthy:
            raise StaleError("this instance stood still and is looking around", 0.2)

    def stale(self, shards: Iterable[int]) -> frozenset[int]:
        """Those of these shards whose owner was not heard recently."""
        now_s = self._clock.monotonic()
        return frozenset(shard for shard in shards if self._stale(shard, now_s))

    def _stale(self, shard: int, now_s: float) -> bool:
        return self._directory.unconfirmed_s(shard, now_s) > STALE_AFTER_S

    # -- of owners -----------------------------------------------------------------------------

    def owner_of(self, shard: int) -> ShardOwner | None:
        """The owner as far as it is known, for refusals that redirect the caller."""
        if epoch := self._runtime.shards.epoch_of(shard):
            return ShardOwner(self._members.me.instance, epoch)
        known = self._directory.owner(shard)
        return known if known.instance else None

    def problem(self) -> str | None:
        """Why some shards have no owner that answers, in a few words; ``None`` if all have."""
        if (problem := self._runtime.health.problem()) is not None:
            return problem
        unserved = sum(not self._served(shard) for shard in range(SLOT_COUNT))
        if unserved:
            return f"{unserved} shards have no owner that is there"
        return self._unconfirmed()

    def _served(self, shard: int) -> bool:
        if self._runtime.shards.holds(shard):
            return True
        owner = self._directory.owner(shard).instance
        if owner == self._members.me.instance:
            return self._released(shard)
        return bool(owner) and self._members.alive(owner)

    def _unconfirmed(self) -> str | None:
        """Replicas are stale until every owner was heard once. Later silence is no reason to stop
        sending requests here."""
        if not self._all_confirmed:
            now_s = self._clock.monotonic()
            unheard = sum(
                not self._runtime.shards.holds(n) and self._directory.unconfirmed_s(n, now_s) == inf
                for n in range(SLOT_COUNT)
            )
            if unheard:
                return f"{unheard} shards whose owners were not heard yet"
            self._all_confirmed = True
        return None
