"""The shard directory: which instance owns which shard, as far as this instance has heard.

The higher epoch wins. An owner that is out of date refuses, and nothing is done.
"""

import asyncio
from math import inf

from actors.address import SLOT_COUNT
from actors.transport import ShardOwner

UNOWNED = ShardOwner()


class ShardDirectory:
    """One instance's entries, one for each shard."""

    def __init__(self) -> None:
        self._owners = [UNOWNED] * SLOT_COUNT
        self._confirmed = [-inf] * SLOT_COUNT
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self.distrusted: set[int] = set()
        """Shards whose owners were not heard since the last :meth:`distrust`."""

    def owner(self, shard: int) -> ShardOwner:
        """The last known owner of the shard."""
        return self._owners[shard]

    def learn(self, shard: int, instance: str, epoch: int, incarnation: str = "") -> bool:
        """Record that the instance owns the shard since this epoch; returns whether that is new."""
        known = self._owners[shard]
        if epoch < known.epoch or not instance:
            return False
        if epoch == known.epoch:
            if incarnation and not known.incarnation:
                self._owners[shard] = ShardOwner(instance, epoch, incarnation)
            return False
        self._owners[shard] = ShardOwner(instance, epoch, incarnation)
        self.wake(shard)
        return True

    def confirm(self, shard: int, epoch: int, now_s: float) -> None:
        """Record that the owner itself says that it serves the shard under this epoch."""
        if epoch >= self._owners[shard].epoch:
            self._confirmed[shard] = now_s
            self.distrusted.discard(shard)
            self.wake(shard)

    def distrust(self) -> None:
        """Forget all confirmations, after a pause in which messages may have grown old."""
        self._confirmed = [-inf] * SLOT_COUNT
        self.distrusted = set(range(SLOT_COUNT))

    def unconfirmed_s(self, shard: int, now_s: float) -> float:
        """For how many seconds the owner has not confirmed that it serves the shard."""
        return now_s - self._confirmed[shard]

    def wake(self, shard: int) -> None:
        """Let the callers of :meth:`changed` look again."""
        waiting = self._waiting.pop(shard, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    async def changed(self, shard: int, timeout_s: float) -> None:
        """Wait until something new is known of the shard, or ``timeout_s`` have passed."""
        waiting = self._waiting.get(shard)
        if waiting is None:
            waiting = self._waiting[shard] = asyncio.get_running_loop().create_future()
        # Not awaited itself: one caller's cancellation must not cancel the others' future.
        await asyncio.wait((waiting,), timeout=timeout_s)
