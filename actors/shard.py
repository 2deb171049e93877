"""A shard, for as long as this instance holds it under one epoch.

When the shard is lost, or the journal does not say what became of a batch, the whole object is
closed and forgotten; after a new claim a new one starts from what the journal says. So whatever
still refers to the old one only has to look whether it is closed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from actors.address import Address
from actors.behaviour import WAKE, Decision
from actors.cell import Cell
from actors.commit import Commit
from actors.crashes import Crashes
from actors.envelope import Envelope
from actors.errors import (
    KeyReusedError,
    NotOwnedError,
    OutcomeUnknownError,
    OverloadedError,
)
from actors.fold import Folded
from actors.journal import Lease, Loaded, OutcomeRow, WakeMark, part_number
from actors.keys import KeyBook
from actors.room import Room
from actors.sagas import Saga
from actors.timers import Timer
from actors.transport import Answer
from actors.writer import Writer

ON_THE_MOVE_S = 0.1
"""What callers of a shard on the move are told to wait: about as long as a hand-over takes."""


class Shard:
    """See the module. Everything in here happens on the event loop's thread."""

    def __init__(self, lease: Lease, room: Room, began_ms: int = 0) -> None:
        self.number = lease.shard
        self.epoch = lease.epoch
        self.part = room.parts[part_number(lease.shard, len(room.parts))]
        self.seq = lease.last_seq
        """Of the last event decided."""
        self.committed_seq = lease.last_seq
        """Of the last event known to be in the journal."""
        self.closed = False
        self.frozen = False
        """On the move: nobody new is let in, and what is there is decided."""
        self.turns = 0
        """Messages decided; the load that balancing looks at."""
        self.mail = 0
        """Messages in all mailboxes."""
        self.cells: dict[Address, Cell] = {}
        self.keys = KeyBook(room.limits.outcomes_max, room.limits.begun_max)
        self.parked: dict[tuple[Address, str], list[Envelope]] = {}
        """Callers who wait for a saga of this name."""
        self.sagas: dict[tuple[Address, str], Saga] = {}
        self.timers: dict[Address, Timer] = {}
        self.warm: dict[Address, Folded] = {}
        """Entities that were read before the shard was claimed; only what came since is missing."""
        self.marked: set[Address] = set()
        """Entities with a wake mark, in the journal or on the way there."""
        self.unneeded: dict[Address, None] = {}
        """Marked entities that want no wake any more."""
        self.snapshot_bytes_min = room.limits.snapshot_bytes_min
        self.crashes = Crashes(self, room)
        self.writer = Writer(self, room)
        self._room = room
        self._tail: Commit | None = None
        """The last commit submitted, until the journal has it."""
        self._waking: set[Address] = set()
        """Entities with a wake in their mailbox."""
        self._now_ms = began_ms

    def now_ms(self) -> int:
        """Wall time that never falls within this shard."""
        now_ms = self._room.clock.now_ms()
        if now_ms > self._now_ms:
            self._now_ms = now_ms
        return self._now_ms

    # -- mail ----------------------------------------------------------------------------------

    def post(self, address: Address, envelope: Envelope) -> None:
        """Put a message into the entity's mailbox, or answer it at once. Raises what refuses it."""
        if self.frozen and envelope.external:
            raise NotOwnedError("the shard is on the move", ON_THE_MOVE_S)
        cell = self.cells.get(address) or self.open(address)
        if envelope.external and cell.size >= self._room.limits.mailbox_max:
            raise OverloadedError("the entity's mailbox is full", self._room.retry_after_s())
        if envelope.key is not None:
            now = self._room.clock.monotonic()
            known = self.keys.admit(envelope.key, envelope, now)
            if known is not None:
                envelope.answer(Answer(known.reply, replayed=True))
                return
            if envelope.unchecked:
                self.part.loader.look_up(cell, envelope)
        cell.put(envelope)
        self.mail += 1
        if envelope.external:
            self._room.counters.waiting += 1
        if cell.loaded:
            self.writer.queue(cell)
        else:
            self.want(cell)

    def take(self, cell: Cell) -> Envelope:
        """The next message out of the mailbox."""
        envelope = cell.take()
        self.mail -= 1
        if envelope.external:
            self._room.counters.waiting -= 1
        if envelope.command is WAKE:
            self._waking.discard(cell.address)
        return envelope

    def wake_entity(self, address: Address) -> None:
        """The entity's timer has come."""
        if address not in self._waking:
            self._waking.add(address)
            self.post(address, Envelope(WAKE))

    def saga_answers(
        self, cell: Cell, envelope: Envelope, decision: Decision
    ) -> list[tuple[Envelope, Answer]]:
        """Who gets the reply of a decision that begins or settles a saga: the caller, unless the
        decision lets it wait, and those who waited."""
        answer = Answer(decision.reply)
        waiting = [(envelope, answer)] if decision.awaits is None else []
        if decision.awaits is not None:
            self._park(cell.address, decision.awaits, envelope)
        if decision.settles is not None:
            parked = self.parked.pop((cell.address, decision.settles), ())
            waiting += [(waiter, answer) for waiter in parked]
        return waiting

    def _park(self, address: Address, saga: str, envelope: Envelope) -> None:
        """Keep a caller until the saga is settled. Bounded by the deadlines: a caller who is gone
        leaves only a key behind."""
        waiting = self.parked.setdefault((address, saga), [])
        waiting[:] = [waiter for waiter in waiting if waiter.key is not None or not waiter.over]
        waiting.append(envelope)

    def checked(self, cell: Cell, envelope: Envelope, row: OutcomeRow | None) -> None:
        """The journal was asked for an envelope's key."""
        envelope.unchecked = False
        if self.closed:
            return
        if row is not None:
            self.keys.release(envelope)
            self._replay(cell, envelope, row)
        if cell.loaded and cell.size:
            self.writer.queue(cell)

    def _replay(self, cell: Cell, envelope: Envelope, row: OutcomeRow) -> None:
        assert envelope.key is not None
        if row.fingerprint != envelope.key.fingerprint:
            envelope.refuse(KeyReusedError())
            return
        try:
            reply = cell.behaviour.decode_reply(row.reply)
        except Exception as error:  # noqa: BLE001 - a broken invariant of the behaviour
            self.crashes.in_reply(cell, envelope, error)
            return
        self.keys.remember(row.command, row.fingerprint, reply)
        envelope.answer(Answer(reply, replayed=True))

    # -- entities ------------------------------------------------------------------------------

    def open(self, address: Address) -> Cell:
        """The entity's cell, empty if it was not in memory."""
        cell = self.cells.get(address)
        if cell is None:
            assert address.slot == self.number, f"{address.kind} belongs to another shard"
            cell = Cell(address, self._room.behaviours[address.kind], self)
            self.cells[address] = cell
            self._room.pool.admit(cell)
        return cell

    def want(self, cell: Cell) -> None:
        """Have the entity loaded, unless it is or will be."""
        if cell.loaded or cell.loading or cell.crashed:
            return
        state = cell.behaviour.infer(cell.address, self._state_of)
        if state is None:
            cell.loading = True
            self.part.loader.load(cell)
        else:
            self.loaded(cell, Folded(cell.behaviour, state, Loaded(cell.address, None, ())))

    def _state_of(self, address: Address) -> Any | None:
        cell = self.cells.get(address)
        return cell.state if cell is not None and cell.loaded else None

    def wanted(self, cell: Cell) -> bool:
        """Whether the entity is still worth loading; if not, it is forgotten."""
        if cell.gone:
            return False
        while cell.head is not None and cell.head.over:
            self.keys.release(self.take(cell))
        if cell.needed or cell.address in self.marked:
            return True
        self.drop(cell)
        return False

    def loaded(self, cell: Cell, folded: Folded) -> None:
        """The journal's state of an entity."""
        address = cell.address
        cell.loading = False
        cell.loaded = True
        cell.state = cell.committed = folded.state
        cell.event_bytes = folded.event_bytes
        cell.snapshot_bytes = folded.snapshot_bytes
        self._now_ms = max(self._now_ms, folded.at_ms)
        self._room.counters.loads += 1
        self._room.observer.loaded(address, folded.state)
        if self._room.tap is not None:
            self._room.tap.loaded(self, address, folded.state, folded.seq)
        for key in folded.keys:
            if key is not None:
                self.keys.hold_for_saga(key)
        if folded.wake_ms is not None:
            if address not in self._waking:
                self.arm(address, folded.wake_ms)
        elif not folded.unfinished and address in self.marked:
            self.unneeded[address] = None
        for saga in folded.unfinished:
            self._room.sagas.begin(cell, saga)
        watchers, cell.watchers = cell.watchers, None
        for watcher in watchers or ():
            self.rouse(watcher)
        if cell.size:
            self.writer.queue(cell)

    def rouse(self, watcher: Cell) -> None:
        """What the cell's next message waited for is there, or will not come."""
        watcher.waits = False
        if watcher.size and watcher.loaded:
            self.writer.queue(watcher)

    def drop(self, cell: Cell) -> None:
        """Forget an entity; its next message loads it again."""
        del self.cells[cell.address]
        self._room.pool.leave(cell)

    # -- timers and marks ----------------------------------------------------------------------

    def arm(self, address: Address, at_ms: int | None) -> None:
        """Wake the entity at this time, or not at all."""
        timer = self.timers.get(address)
        if timer is None:
            timer = self.timers[address] = Timer(self, address)
        self._room.timers.arm(timer, at_ms)

    def sweep(self, marks_max: int) -> int:
        """Take back wake marks that are not needed any more; returns how many. Let go of begun
        operations past their time."""
        self.keys.expire(self._room.clock.monotonic())
        addresses = list(self.unneeded)[:marks_max]
        if addresses:
            commit = Commit(self)
            commit.marks = [WakeMark(self.number, self.epoch, a, False) for a in addresses]
            for address in addresses:
                del self.unneeded[address]
                self.marked.discard(address)
            self.submit(commit)
        return len(addresses)

    # -- the journal ---------------------------------------------------------------------------

    def submit(self, commit: Commit) -> None:
        """Send a commit on its way."""
        assert not commit.rows or commit.rows[0].seq == self.seq + 1, "drafted on another seq"
        self.seq += len(commit.rows)
        for mark in commit.marks:
            if mark.wanted:
                self.marked.add(mark.address)
        self._tail = commit
        self._room.keeper.submit(commit)

    def reply(self, replies: list[tuple[Envelope, Answer]]) -> None:
        """Answer a decision that writes nothing, as soon as what it saw is true."""
        if self._tail is not None:
            if self._tail.followers is None:
                self._tail.followers = replies
            else:
                self._tail.followers += replies
            return
        for envelope, answer in replies:
            envelope.answer(answer)

    @property
    def settled(self) -> bool:
        """Nothing of this shard is on its way to the journal."""
        return self._tail is None

    @property
    def quiet(self) -> bool:
        """Nobody waits for anything of this shard: it can be left without a word."""
        if self.mail or self._tail is not None:
            return False
        return all(waiter.over for waiting in self.parked.values() for waiter in waiting)

    def committed(self, commit: Commit) -> None:
        """The journal has it: tell the views, the sagas, and who waits."""
        self.ended(commit)
        if commit.rows:
            gap = commit.rows[0].seq - self.committed_seq - 1
            assert gap == 0, f"shard {self.number}: accepted {gap} rows ahead of its turn"
            self.committed_seq = commit.rows[-1].seq
        for change in commit.changes:
            cell = change.cell
            cell.uncommitted -= 1
            cell.committed = change.state
            self._room.observer.committed(cell.address, change.events, change.state)
            if self._room.tap is not None:
                self._room.tap.committed(self, change)
            if self.closed:
                continue
            for saga in change.unfinished:
                self._room.sagas.begin(cell, saga, commit.trace)
            if cell.crashed and not cell.uncommitted:
                self.crashes.reload(cell)
        for key, reply in commit.stored:
            self.keys.store(key, reply)
        commit.release()

    def ended(self, commit: Commit) -> None:
        """The commit is no longer on its way, whatever became of it."""
        if self._tail is commit:
            self._tail = None

    # -- the end -------------------------------------------------------------------------------

    def refuse_mail(self, refusal: Callable[[], Exception]) -> None:
        """Refuse everybody who waits to be decided; timers and sagas stay."""
        for cell in self.cells.values():
            for envelope in cell:
                if envelope.external and not envelope.over:
                    self.keys.release(envelope)
                    envelope.refuse(refusal())

    def close(self, refusal: Callable[[], Exception]) -> None:
        """Forget everything. Undecided messages are refused with ``refusal``; what is in a lane
        is the lane's to answer."""
        self.closed = True
        for cell in self.cells.values():
            while cell.size:
                self.take(cell).refuse(refusal())
            self._room.pool.leave(cell)
        for waiting in self.parked.values():
            for waiter in waiting:
                waiter.refuse(OutcomeUnknownError("the shard was left while the saga ran"))
        for saga in list(self.sagas.values()):
            self._room.sagas.end(saga)
        self.cells.clear()
        self.parked.clear()
        self.timers.clear()
        self.writer.rouse()
