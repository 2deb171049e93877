"""A shard, for as long as this instance holds it under one epoch.

When the shard is lost, or the journal does not say what became of a batch, the whole object is
closed and forgotten; after a new claim a new one starts from what the journal says. So whatever
still refers to the old one only has to look whether it is closed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from actors.address import Address
from actors.behaviour import TIMER_FIRED, Decision
from actors.core.activation import Activation
from actors.core.commit import Commit
from actors.core.context import ShardContext
from actors.core.crashes import Crashes
from actors.core.envelope import Envelope
from actors.core.keys import KeyBook
from actors.core.replay import Folded
from actors.core.sagas import Saga
from actors.core.timers import Timer
from actors.core.writer import Writer
from actors.errors import (
    KeyReusedError,
    NotOwnedError,
    OutcomeUnknownError,
    OverloadedError,
)
from actors.journal.contract import Lease, Loaded, OutcomeRow, TimerEntry, part_number
from actors.transport import Answer

ON_THE_MOVE_S = 0.1
"""What callers of a shard on the move are told to wait: about as long as a hand-over takes."""


class Shard:
    """See the module. Everything in here happens on the event loop's thread."""

    def __init__(self, lease: Lease, context: ShardContext, began_ms: int = 0) -> None:
        self.number = lease.shard
        self.epoch = lease.epoch
        self.part = context.parts[part_number(lease.shard, len(context.parts))]
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
        self.activations: dict[Address, Activation] = {}
        self.keys = KeyBook(context.limits.outcomes_max, context.limits.begun_max)
        self.parked: dict[tuple[Address, str], list[Envelope]] = {}
        """Callers who wait for a saga of this name."""
        self.sagas: dict[tuple[Address, str], Saga] = {}
        self.timers: dict[Address, Timer] = {}
        self.warm: dict[Address, Folded] = {}
        """Entities that were read before the shard was claimed; only what came since is missing."""
        self.marked: set[Address] = set()
        """Entities with a armed timer, in the journal or on the way there."""
        self.unneeded: dict[Address, None] = {}
        """Marked entities that want no wake any more."""
        self.snapshot_bytes_min = context.limits.snapshot_bytes_min
        self.crashes = Crashes(self, context)
        self.writer = Writer(self, context)
        self._context = context
        self._tail: Commit | None = None
        """The last commit submitted, until the journal has it."""
        self._waking: set[Address] = set()
        """Entities with a wake in their mailbox."""
        self._now_ms = began_ms

    def now_ms(self) -> int:
        """Wall time that never falls within this shard."""
        now_ms = self._context.clock.now_ms()
        if now_ms > self._now_ms:
            self._now_ms = now_ms
        return self._now_ms

    # -- mail ----------------------------------------------------------------------------------

    def post(self, address: Address, envelope: Envelope) -> None:
        """Put a message into the entity's mailbox, or answer it at once. Raises what refuses it."""
        if self.frozen and envelope.external:
            raise NotOwnedError("the shard is on the move", ON_THE_MOVE_S)
        activation = self.activations.get(address) or self.open(address)
        if envelope.external and activation.size >= self._context.limits.mailbox_max:
            raise OverloadedError("the entity's mailbox is full", self._context.retry_after_s())
        if envelope.key is not None:
            now = self._context.clock.monotonic()
            known = self.keys.admit(envelope.key, envelope, now)
            if known is not None:
                envelope.answer(Answer(known.reply, replayed=True))
                return
            if envelope.unchecked:
                self.part.loader.look_up(activation, envelope)
        activation.put(envelope)
        self.mail += 1
        if envelope.external:
            self._context.counters.waiting += 1
        if activation.loaded:
            self.writer.queue(activation)
        else:
            self.want(activation)

    def take(self, activation: Activation) -> Envelope:
        """The next message out of the mailbox."""
        envelope = activation.take()
        self.mail -= 1
        if envelope.external:
            self._context.counters.waiting -= 1
        if envelope.command is TIMER_FIRED:
            self._waking.discard(activation.address)
        return envelope

    def wake_entity(self, address: Address) -> None:
        """The entity's timer has come."""
        if address not in self._waking:
            self._waking.add(address)
            self.post(address, Envelope(TIMER_FIRED))

    def saga_answers(
        self, activation: Activation, envelope: Envelope, decision: Decision
    ) -> list[tuple[Envelope, Answer]]:
        """Who gets the reply of a decision that begins or settles a saga: the caller, unless the
        decision lets it wait, and those who waited."""
        answer = Answer(decision.reply)
        waiting = [(envelope, answer)] if decision.awaits is None else []
        if decision.awaits is not None:
            self._park(activation.address, decision.awaits, envelope)
        if decision.settles is not None:
            parked = self.parked.pop((activation.address, decision.settles), ())
            waiting += [(waiter, answer) for waiter in parked]
        return waiting

    def _park(self, address: Address, saga: str, envelope: Envelope) -> None:
        """Keep a caller until the saga is settled. Bounded by the deadlines: a caller who is gone
        leaves only a key behind."""
        waiting = self.parked.setdefault((address, saga), [])
        waiting[:] = [waiter for waiter in waiting if waiter.key is not None or not waiter.over]
        waiting.append(envelope)

    def checked(self, activation: Activation, envelope: Envelope, row: OutcomeRow | None) -> None:
        """The journal was asked for an envelope's key."""
        envelope.unchecked = False
        if self.closed:
            return
        if row is not None:
            self.keys.release(envelope)
            self._replay(activation, envelope, row)
        if activation.loaded and activation.size:
            self.writer.queue(activation)

    def _replay(self, activation: Activation, envelope: Envelope, row: OutcomeRow) -> None:
        assert envelope.key is not None
        if row.fingerprint != envelope.key.fingerprint:
            envelope.refuse(KeyReusedError())
            return
        try:
            reply = activation.behaviour.decode_reply(row.reply)
        except Exception as error:  # noqa: BLE001 - a broken invariant of the behaviour
            self.crashes.in_reply(activation, envelope, error)
            return
        self.keys.remember(row.command, row.fingerprint, reply)
        envelope.answer(Answer(reply, replayed=True))

    # -- entities ------------------------------------------------------------------------------

    def open(self, address: Address) -> Activation:
        """The entity's activation, empty if it was not in memory."""
        activation = self.activations.get(address)
        if activation is None:
            assert address.slot == self.number, f"{address.kind} belongs to another shard"
            activation = Activation(address, self._context.behaviours[address.kind], self)
            self.activations[address] = activation
            self._context.pool.admit(activation)
        return activation

    def want(self, activation: Activation) -> None:
        """Have the entity loaded, unless it is or will be."""
        if activation.loaded or activation.loading or activation.crashed:
            return
        state = activation.behaviour.infer(activation.address, self._state_of)
        if state is None:
            activation.loading = True
            self.part.loader.load(activation)
        else:
            self.loaded(
                activation,
                Folded(activation.behaviour, state, Loaded(activation.address, None, ())),
            )

    def _state_of(self, address: Address) -> Any | None:
        activation = self.activations.get(address)
        return activation.state if activation is not None and activation.loaded else None

    def wanted(self, activation: Activation) -> bool:
        """Whether the entity is still worth loading; if not, it is forgotten."""
        if activation.gone:
            return False
        while activation.head is not None and activation.head.over:
            self.keys.release(self.take(activation))
        if activation.needed or activation.address in self.marked:
            return True
        self.drop(activation)
        return False

    def loaded(self, activation: Activation, folded: Folded) -> None:
        """The journal's state of an entity."""
        address = activation.address
        activation.loading = False
        activation.loaded = True
        activation.state = activation.committed = folded.state
        activation.event_bytes = folded.event_bytes
        activation.snapshot_bytes = folded.snapshot_bytes
        self._now_ms = max(self._now_ms, folded.at_ms)
        self._context.counters.loads += 1
        self._context.observer.loaded(address, folded.state)
        if self._context.tap is not None:
            self._context.tap.loaded(self, address, folded.state, folded.seq)
        for key in folded.keys:
            if key is not None:
                self.keys.hold_for_saga(key)
        if folded.wake_ms is not None:
            if address not in self._waking:
                self.arm(address, folded.wake_ms)
        elif not folded.unfinished and address in self.marked:
            self.unneeded[address] = None
        for saga in folded.unfinished:
            self._context.sagas.begin(activation, saga)
        watchers, activation.watchers = activation.watchers, None
        for watcher in watchers or ():
            self.rouse(watcher)
        if activation.size:
            self.writer.queue(activation)

    def rouse(self, watcher: Activation) -> None:
        """What the activation's next message waited for is there, or will not come."""
        watcher.waits = False
        if watcher.size and watcher.loaded:
            self.writer.queue(watcher)

    def drop(self, activation: Activation) -> None:
        """Forget an entity; its next message loads it again."""
        del self.activations[activation.address]
        self._context.pool.leave(activation)

    # -- timers ----------------------------------------------------------------------------------

    def arm(self, address: Address, at_ms: int | None) -> None:
        """Wake the entity at this time, or not at all."""
        timer = self.timers.get(address)
        if timer is None:
            timer = self.timers[address] = Timer(self, address)
        self._context.timers.arm(timer, at_ms)

    def sweep(self, marks_max: int) -> int:
        """Take back timer entries that are not needed any more; returns how many. Let go of begun
        operations past their time."""
        self.keys.expire(self._context.clock.monotonic())
        addresses = list(self.unneeded)[:marks_max]
        if addresses:
            commit = Commit(self)
            commit.timers = [TimerEntry(self.number, self.epoch, a, False) for a in addresses]
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
        for timer in commit.timers:
            if timer.armed:
                self.marked.add(timer.address)
        self._tail = commit
        self._context.keeper.submit(commit)

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
            activation = change.activation
            activation.uncommitted -= 1
            activation.committed = change.state
            self._context.observer.committed(activation.address, change.events, change.state)
            if self._context.tap is not None:
                self._context.tap.committed(self, change)
            if self.closed:
                continue
            for saga in change.unfinished:
                self._context.sagas.begin(activation, saga, commit.trace)
            if activation.crashed and not activation.uncommitted:
                self.crashes.reload(activation)
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
        for activation in self.activations.values():
            for envelope in activation:
                if envelope.external and not envelope.over:
                    self.keys.release(envelope)
                    envelope.refuse(refusal())

    def close(self, refusal: Callable[[], Exception]) -> None:
        """Forget everything. Undecided messages are refused with ``refusal``; what is in a lane
        is the lane's to answer."""
        self.closed = True
        for activation in self.activations.values():
            while activation.size:
                self.take(activation).refuse(refusal())
            self._context.pool.leave(activation)
        for waiting in self.parked.values():
            for waiter in waiting:
                waiter.refuse(OutcomeUnknownError("the shard was left while the saga ran"))
        for saga in list(self.sagas.values()):
            self._context.sagas.end(saga)
        self.activations.clear()
        self.parked.clear()
        self.timers.clear()
        self.writer.rouse()
