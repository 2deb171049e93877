"""Claiming shards: the database grants a new epoch, and this instance serves them under it."""

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial

from attrs import define, field

from actors.address import Address
from actors.behaviour import Folded
from actors.cluster.application import Stores
from actors.cluster.directory import ShardDirectory
from actors.journal.contract import JournalError, Lease
from actors.membership.contract import Member
from actors.placement.contract import PlacedShard
from actors.runtime import Runtime

log = logging.getLogger(__name__)

_Claim = Callable[[Sequence[tuple[int, int]], str, str], Awaitable[list[Lease]]]


@define(eq=False)
class ShardClaims:
    """``on_gained`` is called with the shards that this instance serves from now on."""

    _member: Member
    _stores: Stores
    _runtime: Runtime
    _directory: ShardDirectory
    _on_gained: Callable[[Collection[int]], None]
    total: int = field(default=0, init=False)
    """Shards claimed so far."""

    def held(self, shard: int) -> bool:
        """Whether this instance has the shard, or is about to claim its own shard again."""
        return self._runtime.shards.holds(shard) or shard in self._runtime.shards.claiming

    async def claim_desired(
        self, placed: Sequence[PlacedShard], warm: Mapping[Address, Folded] | None = None
    ) -> int:
        """Claim shards that are desired here; returns how many. ``warm`` are entities that
        :meth:`actors.ownership.owned_shards.OwnedShards.preload` has read of them."""
        return await self._claim(placed, self._stores.placement.claim, warm)

    async def reclaim(self, placed: Sequence[PlacedShard]) -> int:
        """Claim shards back that this run owned last, wherever desired; returns how many."""
        return await self._claim(placed, self._stores.journal.claim)

    async def _claim(
        self,
        placed: Sequence[PlacedShard],
        claim: _Claim,
        warm: Mapping[Address, Folded] | None = None,
    ) -> int:
        """In each database on its own. One that does not answer is tried again later."""
        epochs = {one.shard: one.epoch for one in placed}
        count = 0
        for shards in self._runtime.shards.claimable(epochs):
            wanted = [(shard, epochs[shard]) for shard in shards]
            claim_these = partial(claim, wanted, self._member.instance, self._member.incarnation)
            try:
                gained = await self._runtime.shards.adopt(claim_these, shards, warm)
            except JournalError as error:
                log.info("%d shards cannot be claimed yet: %s", len(wanted), error)
                continue
            self._gained(gained)
            count += len(gained)
        return count

    def _gained(self, shards: Collection[int]) -> None:
        for shard in shards:
            epoch = self._runtime.shards.epoch_of(shard)
            self._directory.learn(shard, self._member.instance, epoch, self._member.incarnation)
            self._directory.wake(shard)
        self.total += len(shards)
        if shards:
            self._on_gained(shards)
