"""Who answers for which shard: this instance, or one that it knows to be there."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from actors.address import SLOT_COUNT
from actors.clock import Clock
from actors.cluster.directory import Directory
from actors.cluster.roster import Roster
from actors.peers.served import Owner
from actors.runtime import Runtime


class Coverage:
    """One instance's. ``giving`` says whether a shard was let go just now, for somebody who is
    about to claim it."""

    def __init__(
        self,
        runtime: Runtime,
        directory: Directory,
        roster: Roster,
        clock: Clock,
        giving: Callable[[int], bool],
    ) -> None:
        self._runtime = runtime
        self._directory = directory
        self._roster = roster
        self._clock = clock
        self._giving = giving
        self._heard_all = False
        """Every shard's owner has spoken since the start."""

    def owner_of(self, slot: int) -> Owner | None:
        """Who has the slot, as far as it is heard: for refusals, which say where to go."""
        if epoch := self._runtime.epoch_of(slot):
            return Owner(self._roster.me.instance, epoch)
        known = self._directory.owner(slot)
        return Owner(known.instance, known.epoch) if known.instance else None

    def problem(self) -> str | None:
        """Why this instance cannot answer for every shard, in a few words."""
        if (problem := self._runtime.problem()) is not None:
            return problem
        unserved = sum(not self._served(slot) for slot in range(SLOT_COUNT))
        if unserved:
            return f"{unserved} shards have no owner that is there"
        return self._unheard()

    def _served(self, slot: int) -> bool:
        if self._runtime.holds(slot):
            return True
        owner = self._directory.owner(slot).instance
        if owner == self._roster.me.instance:
            return self._giving(slot)
        return bool(owner) and self._roster.alive(owner)

    def _unheard(self) -> str | None:
        """Until every owner has spoken once, what is known of some shards is as old as the table,
        and would be refused as stale. Later silence is no reason to get no requests."""
        if not self._heard_all:
            now_s = self._clock.monotonic()
            unheard = sum(
                not self._runtime.holds(slot) and self._directory.unheard_s(slot, now_s) == inf
                for slot in range(SLOT_COUNT)
            )
            if unheard:
                return f"{unheard} shards whose owners were not heard yet"
            self._heard_all = True
        return None
