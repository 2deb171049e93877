"""ViewReplicas of what views are made of, kept from what owners tell and from the journal.

The journal is the snapshot: an entity is read from it once, up to some seq, and what its owner
tells afterwards is applied in the order of seqs. Whatever is missed shows as a gap between the seq
a change follows and the one that is known, and the entity is read again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence
from typing import Any

from actors.address import Address
from actors.behaviour import Behaviour
from actors.cluster.messages import Changed
from actors.core.context import Observer
from actors.core.replay import fold
from actors.core.supervision import where
from actors.journal.contract import Journal, JournalError, Loaded, part_number

log = logging.getLogger(__name__)

READ_TOGETHER_MAX = 200
"""Entities of one query, as for any load."""

GAP_PATIENCE_S = 0.03
"""A gap may close by itself, when two owners in turn tell over two links: not worth a query yet."""

JOURNAL_RETRY_S = 0.5

UNREADABLE_S = 5.0
"""Before an entity that could not be read is tried again: a rolling upgrade mends it, not haste."""

BUFFERED_MAX = 10_000
"""Changes of one entity kept while it is being read: two seconds of the hottest queue. Beyond it
they are dropped, and it is read once more."""


class ViewReplica:
    """One entity as this instance knows it, whoever owns it."""

    __slots__ = (
        "buffered",
        "doubted",
        "own_epoch",
        "reading",
        "seq",
        "state",
        "wanted_epoch",
        "wanted_seq",
    )

    def __init__(self) -> None:
        self.seq = -1
        """Of the last event known; below 0 before the first reading."""
        self.state: Any = None
        """Only for kinds whose view is made of states."""
        self.wanted_seq = 0
        """Of the last event heard of."""
        self.reading = False
        self.buffered: list[Changed] = []
        self.doubted = False
        """Nobody was heard for a while: to be read again before it is shown."""
        self.own_epoch = 0
        """Under which this instance's own runtime last said something of it."""
        self.wanted_epoch = 0
        """Under which it has to say something before the copy is shown."""


class ViewReplicas:
    """``kinds`` says which kinds of entities are shown, and whether their view wants states.
    ``owned`` tells whether this instance decides for an entity itself: what others say of it is
    then overtaken. Each database of the journal is read on its own, so that one which is away
    makes only copies of its own shards old."""

    def __init__(
        self,
        kinds: dict[str, bool],
        behaviour_of: Callable[[str], Behaviour],
        observer: Observer,
        journal: Journal,
        owned: Callable[[Address], bool],
    ) -> None:
        self._kinds = kinds
        self._behaviour_of = behaviour_of
        self._observer = observer
        self._journal = journal
        self._owned = owned
        self._copies: dict[Address, ViewReplica] = {}
        self._unread: dict[Address, None] = {}
        self._lost: set[int] = set()
        self._kicks = [asyncio.Event() for _ in journal.parts]
        self._unreadable: dict[Address, float] = {}
        """When these were given up."""
        self._distrusts = 0
        self.reads = 0
        """Entities read from the journal so far."""

    def shows(self, address: Address) -> bool:
        return address.kind in self._kinds

    def seqs(self, owned: Callable[[int], bool]) -> list[tuple[str, int]]:
        """The last seq of each entity in a shard of which this is true."""
        return [
            (address.text, copy.seq)
            for address, copy in self._copies.items()
            if copy.seq >= 0 and owned(address.slot)
        ]

    # -- what this instance's own runtime says -------------------------------------------------

    def own_loaded(self, address: Address, state: Any, seq: int, epoch: int) -> None:
        copy = self._open(address)
        copy.own_epoch = epoch
        copy.seq = max(copy.seq, seq)
        copy.wanted_seq = max(copy.wanted_seq, seq)
        self._keep(address, copy, state)

    def own_committed(
        self, address: Address, state: Any, seq: int, epoch: int | None = None
    ) -> int:
        """Returns the seq that was known before. Without an epoch for what was in doubt, and became
        known before the shard is served again."""
        copy = self._open(address)
        if epoch is not None:
            copy.own_epoch = epoch
        before, copy.seq, copy.wanted_seq = copy.seq, seq, seq
        self._keep(address, copy, state)
        return before

    def _open(self, address: Address) -> ViewReplica:
        copy = self._copies.get(address)
        if copy is None:
            copy = self._copies[address] = ViewReplica()
        return copy

    def _keep(self, address: Address, copy: ViewReplica, state: Any) -> None:
        if self._kinds[address.kind]:
            copy.state = state

    # -- what owners say -----------------------------------------------------------------------

    def marked(self, text: str, seq: int) -> None:
        """An owner says what its last event is."""
        self._want(Address.parse(text), seq)

    def changed(self, change: Changed) -> None:
        """An owner says what became true."""
        address = Address.parse(change.address)
        if self._owned(address) or not self.shows(address):
            return
        copy = self._open(address)
        last_seq = change.rows[-1][0]
        if last_seq <= copy.seq:
            return
        copy.wanted_seq = max(copy.wanted_seq, last_seq)
        if copy.reading or copy.seq < 0 or change.before_seq > copy.seq:
            self._buffer(address, copy, change)
        else:
            self._apply(address, copy, change)

    def _buffer(self, address: Address, copy: ViewReplica, change: Changed) -> None:
        if len(copy.buffered) >= BUFFERED_MAX:
            copy.buffered.clear()
        copy.buffered.append(change)
        self._want(address, copy.wanted_seq)

    def _apply(self, address: Address, copy: ViewReplica, change: Changed) -> None:
        behaviour = self._behaviour_of(address.kind)
        state = copy.state
        try:
            events = [
                behaviour.decode_event(kind, version, payload)
                for seq, kind, version, payload in change.rows
                if seq > copy.seq
            ]
            if self._kinds[address.kind]:
                for event in events:
                    state = behaviour.evolve(state, event)
        except Exception as error:  # noqa: BLE001 - an event of a later version, or a broken one
            self._give_up(address, error)
            return
        copy.seq, copy.state = change.rows[-1][0], state
        self._observer.committed(address, events, state)

    def _give_up(self, address: Address, error: Exception) -> None:
        """It cannot be read here: it is not shown, and tried again when more of it is told, after a
        while. Others may read it, and nothing else depends on it."""
        log.error("%s cannot be shown: %s", address.text, where(error))
        copy = self._copies[address]
        copy.seq = -1
        copy.buffered.clear()
        self._unreadable[address] = asyncio.get_running_loop().time()

    # -- reading -------------------------------------------------------------------------------

    def want(self, addresses: Iterable[Address]) -> None:
        """Have these, from the journal, unless they are known."""
        for address in addresses:
            if self._open(address).seq < 0:
                self._want(address, 0)

    def has(self, addresses: Collection[Address]) -> bool:
        """Whether all of these are known, and nothing speaks against showing them."""
        return all(self.shown(address) for address in addresses)

    def shown(self, address: Address) -> bool:
        """The same of one; asked with every read."""
        copy = self._copies.get(address)
        return copy is not None and self._sound(address, copy)

    @property
    def in_doubt(self) -> bool:
        """Whether anything is to be read again before it is shown."""
        if not self._unread:
            return False
        return any(self._copies[address].doubted for address in self._unread)

    def _sound(self, address: Address, copy: ViewReplica) -> bool:
        if copy.own_epoch < copy.wanted_epoch and not self._owned(address):
            # Given away again before the own runtime had read it.
            self._doubt(address, copy)
        if self._lost and address.slot in self._lost:
            self._doubt(address, copy)
        return copy.seq >= 0 and not copy.doubted and copy.own_epoch >= copy.wanted_epoch

    def _doubt(self, address: Address, copy: ViewReplica) -> None:
        copy.doubted, copy.wanted_epoch = True, 0
        self._read_soon(address)

    def distrust(self, slots: Container[int]) -> None:
        """The owners of these slots were not heard for a while, or this instance heard nothing:
        what it has of theirs is not shown before it was read again."""
        self._distrusts += 1
        for address, copy in self._copies.items():
            if copy.seq >= 0 and address.slot in slots and not self._owned(address):
                self._doubt(address, copy)

    def lost(self, slot: int) -> None:
        """Somebody else turns out to own this slot, maybe since a while: what was heard of it
        meanwhile was overheard, because this instance took itself for the owner."""
        self._lost.add(slot)
        self._kick(slot)

    def distrust_gained(self, slots: Mapping[int, int]) -> None:
        """These slots are this instance's now, under these epochs, and nobody was heard of them
        for a while: what it has of them is not shown before its own runtime has read it."""
        for address, copy in self._copies.items():
            copy.wanted_epoch = max(copy.wanted_epoch, slots.get(address.slot, 0))

    def _want(self, address: Address, seq: int) -> None:
        if self._owned(address) or not self.shows(address):
            return
        copy = self._open(address)
        copy.wanted_seq = max(copy.wanted_seq, seq)
        gave_up = self._unreadable.get(address)
        if gave_up is not None and asyncio.get_running_loop().time() < gave_up + UNREADABLE_S:
            return
        if not copy.reading and (copy.seq < 0 or copy.seq < copy.wanted_seq):
            self._read_soon(address)

    def _read_soon(self, address: Address) -> None:
        self._unread[address] = None
        self._kick(address.slot)

    def _kick(self, slot: int) -> None:
        self._kicks[self._part_of(slot)].set()

    def _part_of(self, slot: int) -> int:
        return part_number(slot, len(self._kicks))

    async def run(self, part: int) -> None:
        """Read what is wanted of this part of the journal, for ever."""
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
            await self._read([a for a in chunk if not self._owned(a)])
            if distrusts != self._distrusts:
                continue  # what came may have been under way for just as long
            for address in chunk:
                self._unread.pop(address, None)
                self._settle(address)

    def _close_gaps(self) -> None:
        """What fits by now needs no reading."""
        for address in list(self._unread):
            copy = self._copies[address]
            if copy.seq >= 0:
                self._replay(address, copy)
            if copy.seq >= 0 and copy.wanted_seq <= copy.seq and not copy.doubted:
                del self._unread[address]

    async def _read(self, addresses: Sequence[Address], *, whole: bool = False) -> None:
        copies = [self._copies[address] for address in addresses]
        for copy in copies:
            copy.reading = True
        try:
            found = await self._journal.load(addresses, whole=whole) if addresses else []
        finally:
            for copy in copies:
                copy.reading = False
        outdated = [one.address for one in found if not self._take(one)]
        if outdated:
            await self._read(outdated, whole=True)

    def _take(self, loaded: Loaded) -> bool:
        """False if the whole journal of the entity is needed."""
        address = loaded.address
        try:
            folded = fold(self._behaviour_of(address.kind), loaded)
        except Exception as error:  # noqa: BLE001 - as in :meth:`_apply`
            self._give_up(address, error)
            return True
        if folded is None:
            return False
        self._unreadable.pop(address, None)
        copy = self._copies[address]
        self.reads += 1
        if folded.seq > copy.seq and not self._owned(address):
            copy.seq = folded.seq
            self._keep(address, copy, folded.state)
            self._observer.loaded(address, folded.state)
        return True

    def _settle(self, address: Address) -> None:
        """After a reading: what was told meanwhile follows, or it is read again."""
        copy = self._copies[address]
        copy.doubted = False
        if self._owned(address):
            copy.buffered.clear()
            return
        self._replay(address, copy)
        copy.buffered.clear()
        self._want(address, copy.wanted_seq)

    def _replay(self, address: Address, copy: ViewReplica) -> None:
        """Apply what was buffered as far as it follows."""
        rest: list[Changed] = []
        for change in sorted(copy.buffered, key=lambda one: one.rows[-1][0]):
            if change.rows[-1][0] <= copy.seq:
                continue
            if change.before_seq > copy.seq:
                rest.append(change)
            else:
                self._apply(address, copy, change)
        copy.buffered = rest
