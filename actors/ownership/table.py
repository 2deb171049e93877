"""The shards that this instance serves, or wants to serve again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
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
from actors.journal.contract import Lease
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


class ShardTable:
    """Bounded by the number of shards."""

    def __init__(
        self, context: ShardContext, entities: Entities, writer: Writer, tasks: Tasks
    ) -> None:
        self._context = context
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
        reclaim = self.pending.pop(lease.shard, None)
        old = None if reclaim is None else reclaim.old
        began_ms = 0 if old is None else old.now_ms()
        submit = self.lanes[lease.shard % len(self.lanes)].submit
        shard = self.shards[lease.shard] = Shard(lease, self._context, loader, submit, began_ms)
        shard.armed.update(armed)
        shard.warm.update(warm)
        self.lost.discard(lease.shard)
        self._tasks.spawn(self._writer.run(shard), f"shard-{lease.shard}-{lease.epoch}")
        loader.recover(shard, armed)

    def close(self, shard: Shard, refusal: Callable[[], Exception]) -> None:
        """Serve the shard no longer."""
        self.shards.pop(shard.number, None)
        self._entities.close(shard, refusal)

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
