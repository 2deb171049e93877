"""The shards that this instance serves, those it wants to serve again, and what it knows of others
that it served."""

import logging
from collections.abc import Callable, Iterable, Mapping

from attrs import define, field

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


@define(eq=False)
class Reclaim:
    """A shard this instance wants to hold (again)."""

    number: int
    old: Shard | None = None
    """As it was held before; ``None`` for a shard that is taken from whoever has it."""
    not_before: float = 0.0
    """On the monotonic clock."""
    doubtful: dict[Address, None] = field(factory=dict)
    """Entities with rows whose fate is not known."""


@define(eq=False)
class ServedShards:
    """The shards that this instance serves, and those it claims again."""

    _context: ShardContext
    _entities: Entities
    _writer: Writer
    _tasks: Tasks
    _incarnation: str
    lanes: list[Lane] = field(factory=list, init=False)
    shards: dict[int, Shard] = field(factory=dict, init=False)
    """Served here, by number."""
    pending: dict[int, Reclaim] = field(factory=dict, init=False)
    """To be claimed."""
    lost: set[int] = field(factory=set, init=False)
    """Shards that another instance claimed."""
    known: dict[int, Lease] = field(factory=dict, init=False)
    """Of shards that are not served here now: how they were when they were last, or what their
    owners have told of them since. It has to be in the journal for ever."""
    unchecked: set[int] = field(factory=set, init=False)
    """Those of them that the journal has not confirmed since they were last heard of."""
    losses: dict[int, int] = field(factory=dict, init=False)
    """How often the journal of each shard was found to have lost rows."""
    waiting: set[int] = field(factory=set, init=False)
    """Shards that wait for an operator to accept such a loss."""
    unverified: set[int] = field(factory=set, init=False)
    """Databases of the journal of whose shards nothing is decided or told until they say whose the
    shards are; by their number."""
    left: bool = field(default=False, init=False)
    """This instance takes no more shards."""

    def install(
        self,
        lease: Lease,
        loader: Loader,
        armed: dict[Address, None],
        warm: Mapping[Address, Folded],
    ) -> None:
        """Serve a claimed shard; ``armed`` have a timer entry, ``warm`` were read before. What is
        done with each of the armed is to cost next to nothing: there may be a hundred thousand."""
        # The older of two writers would answer reads from its past until it wrote something.
        assert lease.shard not in self.shards, f"shard {lease.shard} is served already"
        self.known.pop(lease.shard, None)
        reclaim = self.pending.pop(lease.shard, None)
        old = None if reclaim is None else reclaim.old
        began_ms = 0 if old is None else old.now_ms()
        submit = self.lanes[lease.shard % len(self.lanes)].submit
        shard = self.shards[lease.shard] = Shard(lease, self._context, loader, submit, began_ms)
        shard.armed = armed
        shard.warm.update(warm)
        self.lost.discard(lease.shard)
        self._tasks.spawn(self._writer.run(shard), f"shard-{lease.shard}-{lease.epoch}")
        loader.recover(shard, list(armed))

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

    def hear(self, number: int, past: Past) -> None:
        """The owner of a shard says what it has committed. Of a later owner that counts only when
        it is certain that the journal has what the one before it told."""
        known = self.known.get(number)
        if number in self.shards or (known is not None and past.seq <= known.past.seq):
            return
        if known is not None and past.epoch != known.past.epoch and number in self.unchecked:
            return
        self.known[number] = Lease(number, past.epoch, past)
        self.unchecked.add(number)

    def learn_losses(self, infos: Iterable[ShardInfo]) -> None:
        """Take over what the journal says of losses of these shards. One that is open no longer was
        accepted, unless it is not there at all: then it was itself lost."""
        for info in infos:
            number = info.shard
            if info.lost:
                self.waiting.add(number)
            elif number in self.waiting:
                self.waiting.discard(number)
                if info.losses >= self.losses[number]:
                    self.known.pop(number, None)
            if info.losses != self.losses.get(number, 0):
                self.forget_past(number, info.losses)

    def forget_past(self, number: int, losses: int) -> None:
        """What was told of this shard is not to be trusted; so often it lost something by now."""
        self.losses[number] = losses
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
