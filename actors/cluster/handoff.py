"""Handing a shard over: its owner releases it, and the target claims it.

Each step may be repeated, and whoever is lost in between, the shard is served again. The epoch
keeps that safe in any order.
"""

import asyncio
import logging
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Sequence

from attrs import define, field

from actors.address import Address
from actors.clock import Clock
from actors.cluster.admin_views import Handover
from actors.cluster.claims import ShardClaims
from actors.cluster.control import ControlChannel
from actors.cluster.control_messages import (
    ControlReply,
    NotShardOwner,
    ReleaseShard,
    ShardBusy,
    ShardReleased,
)
from actors.cluster.membership_view import MembershipView
from actors.errors import EntityCrashedError, NotOwnedError, UnavailableError
from actors.journal.contract import JournalError
from actors.placement.contract import PlacedShard
from actors.placement.inputs import Pause
from actors.runtime import Runtime

log = logging.getLogger(__name__)

RELEASE_TIMEOUT_S = 0.2
"""How long an owner may take to answer all callers; they are promised 250 ms for a hand-over."""

ASK_TIMEOUT_S = 1.0
"""For the owner's reply: five times that."""

ASK_AGAIN_S = 0.05
"""Pause before an owner that did not reply is asked again."""

BUSY_PAUSE_S = 0.5
"""Pause before an owner that could not release the shard is asked again."""

UNRESPONSIVE_S = 2.0
"""After which the target claims unasked, and an owner claims back what nobody claimed."""

HANDOVERS_KEPT = 200
"""Remembered hand-overs, for operators and for the expected pauses of plans."""

PAUSE_BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Around the 250 ms that callers of a shard on the move are promised."""


class PauseHistogram:
    """Counts of pauses by length, as Prometheus takes them."""

    def __init__(self) -> None:
        self._counts = [0] * (len(PAUSE_BOUNDS_S) + 1)
        self.sum_s = 0.0

    def add(self, pause_s: float) -> None:
        """Count one pause."""
        self._counts[bisect_left(PAUSE_BOUNDS_S, pause_s)] += 1
        self.sum_s += pause_s

    def cumulative(self) -> list[tuple[str, float]]:
        """Each upper bound, and how many pauses were not longer; the last one counts all."""
        rows, total = [], 0
        for bound, count in zip((*map(str, PAUSE_BOUNDS_S), "+Inf"), self._counts, strict=True):
            total += count
            rows.append((bound, float(total)))
        return rows


class ShardReleases:
    """The owner's side: releases shards on request, and remembers which."""

    def __init__(self, runtime: Runtime, clock: Clock) -> None:
        self._runtime = runtime
        self._clock = clock
        self._released: dict[int, tuple[int, float]] = {}
        """Epoch and time of each release, by shard."""

    async def release(self, message: ReleaseShard) -> ControlReply:
        """Answer all callers of a shard and stop serving it."""
        shard, epoch = message.shard, message.epoch
        if self._runtime.shards.epoch_of(shard) != epoch:
            return NotShardOwner()
        try:
            if not await self._runtime.shards.release(shard, RELEASE_TIMEOUT_S):
                log.info("shard %d does not come to rest and stays", shard)
                return ShardBusy()
        except NotOwnedError:
            return NotShardOwner()
        self._released[shard] = (epoch, self._clock.monotonic())
        return ShardReleased()

    @property
    def waiting(self) -> bool:
        """Whether any shard was released that this instance did not see claimed."""
        return any(not self._expired(released_s) for _, released_s in self._released.values())

    def recent(self, shard: int) -> bool:
        """Whether the shard was released just now, so that somebody is about to claim it."""
        released = self._released.get(shard)
        return released is not None and not self._expired(released[1])

    def claimable(self, placed: PlacedShard) -> bool:
        """Whether the shard is not released under its epoch, or was so long ago."""
        released = self._released.get(placed.shard)
        return released is None or released[0] != placed.epoch or self._expired(released[1])

    def forget(self, shard: int) -> None:
        """This instance serves the shard again."""
        self._released.pop(shard, None)

    def _expired(self, released_s: float) -> bool:
        return self._clock.monotonic() - released_s >= UNRESPONSIVE_S


@define(eq=False)
class HandoffRequests:
    """The target's side: asks owners to release shards. ``hot`` names what callers want at once."""

    _runtime: Runtime
    _members: MembershipView
    _control: ControlChannel
    _claims: ShardClaims
    _clock: Clock
    _hot: Callable[[int], Sequence[Address]]
    history: deque[Handover] = field(factory=lambda: deque(maxlen=HANDOVERS_KEPT), init=False)
    """The last hand-overs to this instance, newest first."""
    pauses: PauseHistogram = field(factory=PauseHistogram, init=False)

    def observed_pauses(self) -> Sequence[Pause]:
        """How long recent hand-overs to this instance took, for planning the next."""
        return [Pause(one.shard, one.pause_ms) for one in self.history]

    async def take(self, placed: PlacedShard) -> None:
        """Have the owner release a shard, and claim it. After a failure the table is read anew."""
        try:
            warm = await self._runtime.shards.preload(self._hot(placed.shard))
        except JournalError as error:
            log.warning("shard %d cannot be read yet: %s", placed.shard, error)
            return
        began_s = self._clock.monotonic()
        reply = await self._ask_to_release(placed)
        if isinstance(reply, ShardBusy):
            await asyncio.sleep(BUSY_PAUSE_S)
        elif await self._claims.claim_desired([placed], warm) and isinstance(reply, ShardReleased):
            self._record(placed, self._clock.monotonic() - began_s)
        self._runtime.shards.entities.leave_behind(warm)

    async def _ask_to_release(self, placed: PlacedShard) -> ControlReply:
        """The owner's reply; that it is not the owner if it does not reply for long."""
        release = ReleaseShard(placed.shard, placed.epoch, self._members.me.instance)
        gives_up_s, logged = self._clock.monotonic() + UNRESPONSIVE_S, False
        while True:
            try:
                return await self._control.ask(placed.owner, release, ASK_TIMEOUT_S)
            except (UnavailableError, EntityCrashedError) as error:
                if not logged:
                    log.info("%s does not say whether it lets go: %s", placed.owner, error)
                logged = True
            serves = self._members.serves(placed.owner)
            if not serves or self._clock.monotonic() >= gives_up_s:
                return NotShardOwner()
            await asyncio.sleep(ASK_AGAIN_S)

    def _record(self, placed: PlacedShard, pause_s: float) -> None:
        self.pauses.add(pause_s)
        self.history.appendleft(
            Handover(
                shard=placed.shard,
                from_=placed.owner,
                to=self._members.me.instance,
                at_ms=self._clock.now_ms(),
                pause_ms=round(pause_s * 1000, 1),
            )
        )
