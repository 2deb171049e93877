"""The shards that this instance serves, those it wants to serve again, and what it knows of others
that it served."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from actors.address import Address
from actors.behaviour import Folded
from actors.core.context import ShardContext
from actors.core.entities import Entities
from actors.core.lane import Lane
from actors.core.loader import Loader
from actors.core.shard import Shard
from actors.core.writer import Writer
from actors.errors import JournalUnavailableError
from actors.journal.contract import Lease, Past, ShardInfo
from actors.tasks import Tasks

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Reclaim:
    """A shard this instance wants to hold (again)."""

    number: int
    old: Shard | None = None
    """As it was held before; ``None`` for a shard that is taken from whoever has it."""
    not_before: float = 0.0
    """On the monotonic clock."""
    doubtful: dict[Address, None] = field(default_factory=dict)
    """Entities with rows whose fate is not known."""


class ServedShards:
    """The shards that this instance serves, and those it claims again."""

    def __init__(
        self,
        context: ShardContext,
        entities: Entities,
        writer: Writer,
        tasks: Tasks,
        incarnation: str,
    ) -> None:
        self._context = context
        self._incarnation = incarnation
        self._entities = entities
        self._writer = writer
        self._tasks = tasks
        self.lanes: list[Lane] = []
        self.shards: dict[int, Shard] = {}
        """Served here, by number."""
        self.pending: dict[int, Reclaim] = {}
        """To be claimed."""
        self.lost: set[int] = set()
        """Shards that another instance claimed."""
        self.known: dict[int, Lease] = {}
        """Of shards that are not served here now: how they were when they were last."""
        self.losses: dict[int, int] = {}
        """How often the journal of each shard was found to have lost rows."""
        self.waiting: set[int] = set()
        """Shards that wait for an operator to accept such a loss."""
        self.left = False
        """This instance takes no more shards."""

    def install(
        self,
        lease: Lease,
        loader: Loader,
        armed: Collection[Address],
        warm: Mapping[Address, Folded],
    ) -> None:
        """Serve a shard that was claimed. ``armed`` are its entities with a timer entry, ``warm``
        those that were read before."""
        # The older of two writers would answer reads from its past until it wrote something.
        assert lease.shard not in self.shards, f"shard {lease.shard} is served already"
        self.known.pop(lease.shard, None)
        reclaim = self.pending.pop(lease.shard, None)
        old = None if reclaim is None else reclaim.old
        began_ms = 0 if old is None else old.now_ms()
        submit = self.lanes[lease.shard % len(self.lanes)].submit
        shard = self.shards[lease.shard] = Shard(lease, self._context, loader, submit, began_ms)
        for address in [a for a in armed if a.kind not in self._context.behaviours]:
            # Of a newer release, which will find it again.
            log.warning("%s has a timer, and a kind that is not known here", address.text)
        armed = [address for address in armed if address.kind in self._context.behaviours]
        shard.armed.update(armed)
        shard.warm.update(warm)
        self.lost.discard(lease.shard)
        self._tasks.spawn(self._writer.run(shard), f"shard-{lease.shard}-{lease.epoch}")
        loader.recover(shard, armed)

    def close(self, shard: Shard, refusal: Callable[[], Exception]) -> None:
        """Serve the shard no longer."""
        self.shards.pop(shard.number, None)
        self.known[shard.number] = self.lease_of(shard)
        self._entities.close(shard, refusal)

    def lease_of(self, shard: Shard) -> Lease:
        """The shard with what is known to be in the journal of it."""
        past = shard.began
        if shard.committed_seq > past.seq:
            past = Past(shard.committed_seq, shard.epoch, self._incarnation)
        return Lease(shard.number, shard.epoch, past)

    def reclaim(self, shard: Shard, refusal: Callable[[], Exception]) -> None:
        """Serve the shard no longer, and claim it again."""
        self.pending[shard.number] = Reclaim(shard.number, shard)
        self.close(shard, refusal)

    def learn_losses(self, infos: Iterable[ShardInfo]) -> None:
        """Take over what the journal says of losses of these shards."""
        for info in infos:
            number = info.shard
            (self.waiting.add if info.lost else self.waiting.discard)(number)
            if info.losses > self.losses.get(number, 0):
                self.losses[number] = info.losses
                for subscription in self._context.subscriptions:
                    subscription.past_lost(number)

    def lose(self, number: int) -> None:
        """Another instance owns this shard."""
        log.warning("shard %d belongs to another instance now", number, extra={"shard": number})
        self._context.counters.fenced += 1
        self.lost.add(number)
        for subscription in self._context.subscriptions:
            subscription.lost(number)

    def unavailable(self) -> JournalUnavailableError:
        """What callers are told while the journal is away."""
        return JournalUnavailableError(retry_after_s=self._context.limits.journal_retry_after_s)
