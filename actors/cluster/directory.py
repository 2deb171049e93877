"""Who owns which shard, as far as this instance has heard. The higher epoch wins.

It is told by the stored table once in a while, by owners when they claim, and by refusals. It may
be behind; then the asked instance says so, and nothing is done.
"""

from __future__ import annotations

import asyncio
from math import inf

import msgspec

from actors.address import SLOT_COUNT


class Entry(msgspec.Struct, frozen=True, gc=False):
    """An owner. Everything is empty before the first claim is heard of."""

    instance: str = ""
    incarnation: str = ""
    epoch: int = 0


NOBODY = Entry()


class Directory:
    """One instance's table. Bounded by the number of shards."""

    def __init__(self) -> None:
        self._entries = [NOBODY] * SLOT_COUNT
        self._confirmed = [-inf] * SLOT_COUNT
        self._waiting: dict[int, asyncio.Future[None]] = {}

    def owner(self, shard: int) -> Entry:
        return self._entries[shard]

    def learn(self, shard: int, instance: str, epoch: int, incarnation: str = "") -> bool:
        """Somebody says that this instance owns the shard since this epoch; whether it is news."""
        known = self._entries[shard]
        if epoch < known.epoch or not instance:
            return False
        if epoch == known.epoch:
            if incarnation and not known.incarnation:
                self._entries[shard] = Entry(instance, incarnation, epoch)
            return False
        self._entries[shard] = Entry(instance, incarnation, epoch)
        self.wake(shard)
        return True

    def confirm(self, shard: int, epoch: int, now_s: float) -> None:
        """The owner itself just said that it serves the shard under this epoch."""
        if epoch >= self._entries[shard].epoch:
            self._confirmed[shard] = now_s
            self.wake(shard)

    def distrust(self) -> None:
        """As if nobody had said anything: what is heard next may have been under way for long."""
        self._confirmed = [-inf] * SLOT_COUNT

    def unheard_s(self, shard: int, now_s: float) -> float:
        """For how long the owner has not said that it serves the shard."""
        return now_s - self._confirmed[shard]

    def wake(self, shard: int) -> None:
        """Let those look again who wait for an owner."""
        waiting = self._waiting.pop(shard, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    async def news(self, shard: int, wait_s: float) -> None:
        """Until there is something new about this shard, at most so long."""
        waiting = self._waiting.get(shard)
        if waiting is None:
            waiting = self._waiting[shard] = asyncio.get_running_loop().create_future()
        # Not awaited itself: who gives up must not take the others' future along.
        await asyncio.wait((waiting,), timeout=wait_s)
