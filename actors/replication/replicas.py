"""Replicas of the entities that views are made of, kept current from owners and the journal.

An entity is read from the journal once, and the changes that its owner publishes are applied in the
order of seqs; at a gap it is read again.
"""

import asyncio
import logging
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from typing import Any

from attrs import define, field

from actors.address import SLOT_COUNT, Address
from actors.behaviour import Behaviour
from actors.core.folding import Folding, Leftovers, done_ahead
from actors.core.supervision import where
from actors.journal.contract import Journal, JournalError, Loaded, part_number
from actors.replication.streams import EntityChange, UpdateStreams, encode
from actors.subscription import Change, Subscription
from actors.tasks import Tasks

log = logging.getLogger(__name__)

READ_TOGETHER_MAX = 200
"""Entities of one query, as for any load."""

APPLIED_TOGETHER_MAX = 10
"""Events applied at once: a millisecond at most. The views are told of them together."""

GAP_PATIENCE_S = 0.03
"""A gap may close by itself, when two owners in turn publish over two links; a query costs more."""

JOURNAL_RETRY_S = 0.5

UNREADABLE_S = 5.0
"""Before an entity that could not be read is tried again: a rolling upgrade mends it, not haste."""

BUFFERED_MAX = 10_000
"""Changes of one entity kept while it is being read: two seconds of the busiest queue."""


@define(eq=False)
class _Replica:
    """One entity as this instance knows it, whoever owns it."""

    seq: int = field(default=-1, init=False)
    """Of the last event applied; below 0 before the first reading."""
    state: Any = field(default=None, init=False)
    """Only for kinds whose view is made of states."""
    epoch: int = field(default=0, init=False)
    """The latest epoch of which anything is known here."""
    wanted_seq: int = field(default=0, init=False)
    """The highest seq that was heard of."""
    reading: bool = field(default=False, init=False)
    buffered: list[EntityChange] = field(factory=list, init=False)
    doubted: bool = field(default=False, init=False)
    """Changes may have been missed: it is read again before it is served."""
    own_epoch: int = field(default=0, init=False)
    """The epoch under which the own runtime last loaded or committed the entity."""
    wanted_epoch: int = field(default=0, init=False)
    """The epoch under which the own runtime has to do so before it is served."""


@define(eq=False)
class ViewReplicas:
    """``kinds`` names the kinds of entities that are replicated, and whether their view wants
    states. ``owned`` tells whether this instance decides for an entity itself; what others publish
    of it is then out of date. Each database of the journal is read on its own, so that the loss of
    one makes only the replicas of its shards stale."""

    _kinds: Mapping[str, bool]
    _behaviour_of: Callable[[str], Behaviour]
    _subscriptions: Sequence[Subscription]
    _journal: Journal
    _owned: Callable[[Address], bool]
    _replicas: dict[Address, _Replica] = field(factory=dict, init=False)
    _unread: dict[Address, None] = field(factory=dict, init=False)
    _lost: set[int] = field(factory=set, init=False)
    _kicks: list[asyncio.Event] = field(init=False)
    _foldings: list[Folding] = field(init=False)
    _leftovers: Leftovers = field(factory=Leftovers, init=False)
    _unreadable: set[Address] = field(factory=set, init=False)
    """Given up a moment ago."""
    _distrusts: int = field(default=0, init=False)
    reads: int = field(default=0, init=False)
    """Entities read from the journal so far."""

    def __attrs_post_init__(self) -> None:
        self._kicks = [asyncio.Event() for _ in self._journal.parts]
        self._foldings = [Folding(part) for part in self._journal.parts]

    def replicates(self, address: Address) -> bool:
        """Whether the entity is of a replicated kind."""
        return address.kind in self._kinds

    def latest_seqs(self, owned: Callable[[int], bool]) -> list[tuple[str, int]]:
        """The last seq of each entity in the shards for which ``owned`` is true."""
        return [
            (address.text, replica.seq)
            for address, replica in self._replicas.items()
            if replica.seq >= 0 and owned(address.slot)
        ]

    # -- what this instance's own runtime tells ------------------------------------------------

    def own_loaded(self, address: Address, state: Any, seq: int, epoch: int) -> None:
        """The own runtime has loaded the entity, under this epoch of its shard."""
        replica = self._open(address)
        # What was known beyond the end of an earlier owner's past is lost.
        replica.seq = max(replica.seq, seq) if epoch == replica.own_epoch else seq
        replica.own_epoch = replica.epoch = epoch
        replica.wanted_seq = max(replica.wanted_seq, seq)
        self._keep(address, replica, state)

    def own_committed(self, address: Address, state: Any, seq: int, epoch: int) -> int:
        """The own runtime committed up to ``seq``; returns the seq before."""
        replica = self._open(address)
        replica.own_epoch = replica.epoch = epoch
        before, replica.seq, replica.wanted_seq = replica.seq, seq, seq
        self._keep(address, replica, state)
        return before

    def _open(self, address: Address) -> _Replica:
        replica = self._replicas.get(address)
        if replica is None:
            replica = self._replicas[address] = _Replica()
        return replica

    def _keep(self, address: Address, replica: _Replica, state: Any) -> None:
        if self._kinds[address.kind]:
            replica.state = state

    # -- what other owners publish --------------------------------------------------------------

    def on_seq(self, text: str, seq: int) -> None:
        """An owner publishes an entity's last seq."""
        self._want(Address.parse(text), seq)

    def on_change(self, change: EntityChange) -> None:
        """An owner publishes a change."""
        address = Address.parse(change.address)
        if self._owned(address) or not self.replicates(address):
            return
        replica = self._open(address)
        newer = change.epoch > replica.epoch
        if change.last_seq <= replica.seq and not newer:
            return
        if change.before_seq < replica.seq and (
            newer or all(seq != replica.seq for seq, *_ in change.rows)
        ):
            # A new owner's past ends before what is known here, or its owner passed over what is
            # the newest here: the store has lost that.
            self._forget(address, replica)
        replica.wanted_seq = max(replica.wanted_seq, change.last_seq)
        missed = replica.reading or replica.seq < 0 or change.before_seq > replica.seq
        if missed or self._apply(address, replica, change) is not None:
            self._buffer(address, replica, change)

    def _buffer(self, address: Address, replica: _Replica, change: EntityChange) -> None:
        if len(replica.buffered) >= BUFFERED_MAX:
            replica.buffered.clear()
        replica.buffered.append(change)
        self._want(address, replica.wanted_seq)

    def _apply(
        self, address: Address, replica: _Replica, change: EntityChange
    ) -> Iterator[None] | None:
        """Take in what is new in the change, or return what has to be done before."""
        behaviour = self._behaviour_of(address.kind)
        state = replica.state
        try:
            events = [
                behaviour.decode_event(kind, version, payload)
                for seq, kind, version, payload in change.rows
                if seq > replica.seq
            ]
            for event in events:
                if (work := behaviour.groundwork(event)) is not None:
                    return work
            if self._kinds[address.kind]:
                for event in events:
                    state = behaviour.evolve(state, event)
            replica.seq, replica.state = change.last_seq, state
            replica.epoch = max(replica.epoch, change.epoch)
            told = Change(address, state, seq=replica.seq, events=events)
            for subscription in self._subscriptions:
                subscription.committed(told)
        except Exception as error:  # noqa: BLE001 - of a later version, broken, or of another past
            self._give_up(address, error)
        return None

    def _give_up(self, address: Address, error: Exception) -> None:
        """Stop serving an entity that cannot be read here, for a while."""
        log.error("%s cannot be shown: %s", address.text, where(error))
        replica = self._replicas[address]
        replica.seq = -1
        replica.buffered.clear()
        self._unreadable.add(address)
        asyncio.get_running_loop().call_later(UNREADABLE_S, self._try_again, address)

    def _try_again(self, address: Address) -> None:
        self._unreadable.discard(address)
        self._want(address, 0)

    # -- serving -------------------------------------------------------------------------------

    def track(self, addresses: Iterable[Address]) -> None:
        """Load those of these entities that are not loaded, and keep them current."""
        for address in addresses:
            if self._open(address).seq < 0:
                self._want(address, 0)

    def ready(self, address: Address) -> bool:
        """Whether the replica is loaded and may be served. Called with every read."""
        replica = self._replicas.get(address)
        if replica is None:
            return False
        if replica.own_epoch < replica.wanted_epoch and not self._owned(address):
            # Handed over again before the own runtime had read it.
            self._doubt(address, replica)
        if self._lost and address.slot in self._lost:
            self._doubt(address, replica)
        return (
            replica.seq >= 0 and not replica.doubted and replica.own_epoch >= replica.wanted_epoch
        )

    @property
    def in_doubt(self) -> bool:
        """Whether any replica has to be read again before it is served."""
        return bool(self._unread) and any(
            self._replicas[address].doubted for address in self._unread
        )

    def doubts(self, address: Address) -> bool:
        """Whether this one has to be read again before it is served."""
        replica = self._replicas.get(address)
        return replica is not None and replica.doubted

    def _doubt(self, address: Address, replica: _Replica) -> None:
        replica.doubted, replica.wanted_epoch = True, 0
        self._read_soon(address)

    def distrust(self, shards: Container[int]) -> None:
        """Read the replicas of these shards again before they are served."""
        if not shards:
            return
        self._distrusts += 1
        for address, replica in self._replicas.items():
            if replica.seq >= 0 and address.slot in shards and not self._owned(address):
                self._doubt(address, replica)

    def lost(self, shard: int) -> None:
        """Another instance owns it: read its replicas again before they are served."""
        self._lost.add(shard)
        self._kick(shard)

    def past_lost(self, shard: int) -> None:
        """Read the replicas anew from the journal, which may end before them."""
        self._distrusts += 1
        for address, replica in self._replicas.items():
            if address.slot == shard:
                self._forget(address, replica)

    def _forget(self, address: Address, replica: _Replica) -> None:
        replica.seq, replica.wanted_seq, replica.state = -1, 0, None
        replica.buffered.clear()
        self._doubt(address, replica)

    def distrust_gained(self, shards: Mapping[int, int]) -> None:
        """Serve these only after the own runtime has loaded them under these epochs."""
        for address, replica in self._replicas.items():
            replica.wanted_epoch = max(replica.wanted_epoch, shards.get(address.slot, 0))

    def _want(self, address: Address, seq: int) -> None:
        if self._owned(address) or not self.replicates(address):
            return
        replica = self._open(address)
        replica.wanted_seq = max(replica.wanted_seq, seq)
        if address in self._unreadable:
            return
        if not replica.reading and (replica.seq < 0 or replica.seq < replica.wanted_seq):
            self._read_soon(address)

    def _read_soon(self, address: Address) -> None:
        self._unread[address] = None
        self._kick(address.slot)

    def _kick(self, slot: int) -> None:
        self._kicks[self._part_of(slot)].set()

    def _part_of(self, slot: int) -> int:
        return part_number(slot, len(self._kicks))

    def start(self, tasks: Tasks) -> None:
        """Keep the replicas current, with one task for each database of the journal."""
        for part in range(len(self._kicks)):
            tasks.spawn(self.run(part), f"replicas-{part}")

    async def run(self, part: int) -> None:
        """Read what is missing from this database of the journal, until cancelled."""
        kick = self._kicks[part]
        while True:
            await kick.wait()
            kick.clear()
            if self._lost:
                lost, self._lost = self._lost, set()
                self.distrust(lost)
            await asyncio.sleep(GAP_PATIENCE_S)
            self._close_gaps()
            try:
                await self._catch_up(part)
            except JournalError as error:
                log.info("views wait for the journal: %s", error)
                kick.set()
                await asyncio.sleep(JOURNAL_RETRY_S)

    async def _catch_up(self, part: int) -> None:
        while unread := [one for one in self._unread if self._part_of(one.slot) == part]:
            chunk = unread[:READ_TOGETHER_MAX]
            distrusts = self._distrusts
            for address in chunk:
                if self._owned(address):
                    self._done(address)
            wanted = [address for address in chunk if not self._owned(address)]
            for address in wanted:
                replica = self._replicas[address]
                replica.reading = True
                replica.wanted_seq = 0  # What was heard of before is in the journal, or lost.
            try:
                await self._read(part, wanted, distrusts)
            finally:
                for address in wanted:
                    self._replicas[address].reading = False

    async def _read(self, part: int, addresses: Sequence[Address], distrusts: int) -> None:
        """Read these, those that take long after the others. An answer that was under way when
        replicas came to be distrusted may be as old as what is distrusted, so it does not count."""
        replicas = self._replicas
        known = [(a, replicas[a].seq) for a in addresses if replicas[a].seq >= 0]
        fresh = [a for a in addresses if replicas[a].seq < 0]
        found = await self._journal.later(known) if known else []
        found += await self._journal.load(fresh) if fresh else []
        for loaded in sorted(found, key=_is_large):
            address = loaded.address
            if replicas[address].seq < 0:
                await self._take(part, loaded)
            else:
                await self._take_later(part, loaded)
            replicas[address].reading = False
            if distrusts == self._distrusts:
                self._done(address)

    def _done(self, address: Address) -> None:
        self._unread.pop(address, None)
        self._settle(address)

    def _close_gaps(self) -> None:
        """Drop those whose buffered changes follow by now."""
        for address in list(self._unread):
            replica = self._replicas[address]
            if replica.seq >= 0:
                self._replay(address, replica)
            if replica.seq >= 0 and replica.wanted_seq <= replica.seq and not replica.doubted:
                del self._unread[address]

    async def _take(self, part: int, loaded: Loaded) -> None:
        """Begin with what the journal knows of an entity."""
        address = loaded.address
        behaviour = self._behaviour_of(address.kind)
        try:
            folded = await self._foldings[part].fold(behaviour, loaded)
        except JournalError:
            raise
        except Exception as error:  # noqa: BLE001 - as in :meth:`_apply`
            self._give_up(address, error)
            return
        self._unreadable.discard(address)
        replica = self._replicas[address]
        self.reads += 1
        if folded.seq > replica.seq and not self._owned(address):
            replica.seq = folded.seq
            last = loaded.rows[-1] if loaded.rows else loaded.snapshot
            replica.epoch = max(replica.epoch, last.epoch if last else 0)
            self._keep(address, replica, folded.state)
            for subscription in self._subscriptions:
                subscription.loaded(address, folded.state, folded.seq, 0)
        if not self._kinds[address.kind]:
            self._leftovers.add(behaviour.pieces(folded.state))

    async def _take_later(self, part: int, loaded: Loaded) -> None:
        """Go on with what the journal has after what is known already."""
        address = loaded.address
        replica = self._replicas[address]
        self.reads += 1
        while loaded.rows:
            for start in range(0, len(loaded.rows), APPLIED_TOGETHER_MAX):
                some = loaded.rows[start : start + APPLIED_TOGETHER_MAX]
                rows = [(row.seq, row.type, row.version, row.payload) for row in some]
                work: Iterator[None] | None = iter(())
                while work is not None:
                    if replica.seq < 0 or self._owned(address):
                        return
                    change = EntityChange(address.text, replica.seq, rows, some[-1].epoch)
                    work = self._apply(address, replica, change)
                    await done_ahead(work)
                await asyncio.sleep(0)
            if not loaded.more:
                return
            [loaded] = await self._journal.later([(address, loaded.rows[-1].seq)])

    def _settle(self, address: Address) -> None:
        """After a reading: apply what was buffered meanwhile, or read again."""
        replica = self._replicas[address]
        replica.doubted = False
        if self._owned(address):
            replica.buffered.clear()
            return
        self._replay(address, replica)
        replica.buffered.clear()
        self._want(address, replica.wanted_seq)

    def _replay(self, address: Address, replica: _Replica) -> None:
        """Apply buffered changes as far as they follow without a gap."""
        rest: list[EntityChange] = []
        for change in sorted(replica.buffered, key=lambda one: one.last_seq):
            if change.last_seq <= replica.seq:
                continue
            gap = change.before_seq > replica.seq
            if gap or self._apply(address, replica, change) is not None:
                rest.append(change)
        replica.buffered = rest


def _is_large(loaded: Loaded) -> bool:
    return loaded.more or (loaded.snapshot is not None and loaded.snapshot.pages > 0)


@define(eq=False)
class ReplicationPublisher(Subscription):
    """Passes what is committed here on to all. ``on_paused``: this process stood still."""

    replicas: ViewReplicas
    streams: UpdateStreams
    _on_paused: Callable[[], None]

    def loaded(self, address: Address, state: Any, seq: int, epoch: int) -> None:
        """Publish the entity's seq, because its last owner may have died before telling it."""
        if self.replicas.replicates(address):
            self.replicas.own_loaded(address, state, seq, epoch)
            self.streams.publish_seq(address.text, seq)

    def committed(self, change: Change) -> None:
        """Publish the change, encoded once for all instances."""
        address = change.address
        if not self.replicas.replicates(address):
            return
        before_seq = self.replicas.own_committed(address, change.state, change.seq, change.epoch)
        if self.streams.receivers:
            rows = [(row.seq, row.type, row.version, row.payload) for row in change.rows]
            told = EntityChange(address.text, max(before_seq, 0), rows, change.epoch)
            self.streams.publish(address.text, change.seq, encode(told))

    def lost(self, shard: int) -> None:
        """Reload the shard's replicas before they are served again."""
        self.replicas.lost(shard)

    def past_lost(self, shard: int) -> None:
        """Read the shard's replicas anew."""
        self.replicas.past_lost(shard)

    def stood_still(self) -> None:
        """Reload all replicas of other instances' shards before they are served again."""
        self._on_paused()
        self.replicas.distrust(range(SLOT_COUNT))
