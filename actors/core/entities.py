"""Entities come into memory and leave it: mail, loading, timers, crashes, passivation."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from heapq import heappop, heappush
from typing import Any

from attrs import define, field

from actors.address import Address
from actors.behaviour import TIMER_FIRED, CommandKey, Folded
from actors.core.context import ShardContext
from actors.core.envelope import PREPARE, Envelope
from actors.core.folding import Leftovers
from actors.core.sagas import Sagas
from actors.core.shard import ABSENT, NOTHING_OWED, Activation, Commit, Reading, Shard, Timer
from actors.core.snapshots import Snapshots
from actors.core.supervision import Backoff, CrashWindow, where
from actors.errors import EntityCrashedError, KeyReusedError, NotOwnedError, OverloadedError
from actors.journal.contract import OutcomeRow, TimerEntry
from actors.transport import Answer

log = logging.getLogger(__name__)

ON_THE_MOVE_S = 0.1
"""What callers of a shard on the move are told to wait: about as long as a hand-over takes."""

LOOKS_MAX = 128
"""Entities that passivation looks at for each one that comes in: some 20 us."""

GONE_LOOKS = 4
"""Places in the ring that are looked at for each one that comes in while most are empty: enough to
find more empty ones than come in."""

FORGOTTEN_TOGETHER = 500
"""Entities of a closed shard whose states go in one piece: a millisecond."""


@define(eq=False)
class Pool:
    """All activations of an instance, in a ring with a second chance (CLOCK; Corbato, 1968).

    Busy ones are never evicted, so the bound gives way to what waits in mailboxes. Idle ones are
    evicted in a callback of their own: whoever opened one keeps it until the loop goes on.
    """

    _entities_max: int
    _loop: asyncio.AbstractEventLoop
    _leftovers: Leftovers
    _save: Callable[[Shard, Iterable[Activation]], None]
    _ring: deque[Activation] = field(factory=deque, init=False)
    _came: int = field(default=0, init=False)
    """Activations that came while there were too many, since the last eviction."""
    size: int = field(default=0, init=False)
    """Entities in memory."""

    def admit(self, activation: Activation) -> None:
        """Count an activation that came into memory; beyond the bound, idle ones go."""
        self._ring.append(activation)
        self.size += 1
        if self.size > self._entities_max:
            if not self._came:
                self._loop.call_soon(self._shrink)
            self._came += 1
        elif len(self._ring) > 2 * self._entities_max:
            for _ in range(GONE_LOOKS):
                first = self._ring.popleft()
                if not first.gone:
                    self._ring.append(first)

    def leave(self, activations: list[Activation]) -> None:
        """Count activations that left memory with their shard. Their states go some at a time."""
        self.size -= len(activations)
        self._leftovers.let_go(self._forgotten(activations))

    def _forgotten(self, activations: list[Activation]) -> Iterator[None]:
        while activations:
            for activation in activations[-FORGOTTEN_TOGETHER:]:
                self.forget(activation)
            del activations[-FORGOTTEN_TOGETHER:]
            yield

    def forget(self, activation: Activation) -> None:
        """Let go of an entity's state."""
        if activation.paging is not None and activation.state is not ABSENT:
            self._leftovers.add(activation.behaviour.pieces(activation.state))
            activation.paging.pages = {}
        activation.state = activation.committed = ABSENT

    def drop(self, activation: Activation) -> None:
        """Forget an entity; its next message loads it again."""
        address, shard = activation.address, activation.shard
        del shard.activations[address]
        shard.changed.pop(address, None)
        shard.resting.pop(address, None)
        activation.dropped = True
        self.size -= 1
        self.forget(activation)

    def _shrink(self) -> None:
        looks, self._came = self._came * min(LOOKS_MAX, len(self._ring)), 0
        for _ in range(looks):
            if self.size <= self._entities_max:
                return
            activation = self._ring.popleft()
            if activation.gone:
                continue
            if activation.touched:
                activation.touched = False
                self._ring.append(activation)
            elif activation.idle:
                self._save(activation.shard, (activation,))
                self.drop(activation)
            else:
                self._ring.append(activation)


class Entities:
    """The entities of one instance's shards.

    A broken invariant of a behaviour costs its caller the answer, the entities concerned their
    place in memory, and a shard that crashes in a loop a rest: ``fence`` closes it for a while.
    ``overtaken`` is called with a shard that the journal knows more of than its owner here.
    Nobody else notices. Logs name the place of an error, never its message.
    """

    def __init__(
        self,
        context: ShardContext,
        sagas: Sagas,
        fence: Callable[[Shard], None],
        overtaken: Callable[[Shard], None],
    ) -> None:
        self._context = context
        self._sagas = sagas
        self._fence = fence
        self._overtaken = overtaken
        self.snapshots = Snapshots(context)
        self.pool = Pool(
            context.limits.entities_max, context.loop, context.leftovers, self.snapshots.save
        )
        self.timers = Timers(context, self._timer_fired)
        self._crashes = CrashWindow(context.limits)

    # -- mail ----------------------------------------------------------------------------------

    def post(self, shard: Shard, address: Address, envelope: Envelope) -> None:
        """Put a message into the entity's mailbox, or answer it at once. Raises what refuses it
        (:mod:`actors.errors`)."""
        if shard.frozen and envelope.external:
            raise NotOwnedError("the shard is on the move", ON_THE_MOVE_S)
        activation = shard.activations.get(address) or self.open(shard, address)
        if envelope.external and activation.size >= self._context.limits.mailbox_max:
            raise OverloadedError("the entity's mailbox is full", self._context.retry_after_s())
        if envelope.key is not None:
            known = shard.keys.admit(envelope.key, envelope)
            if known is not None:
                envelope.answer(Answer(known.reply, replayed=True))
                return
            if envelope.unchecked:
                shard.journal.look_up(activation, envelope)
        shard.put(activation, envelope)
        if activation.loaded:
            shard.queue(activation)
        else:
            self.want(activation)

    def prepare(self, shard: Shard, address: Address, key: CommandKey) -> None:
        """Have the entity and the outcome of a key at hand for a command that comes soon."""
        activation = shard.activations.get(address) or self.open(shard, address)
        if shard.keys.prepare(key):
            shard.journal.look_up(activation, Envelope(PREPARE, key))
        if not activation.loaded:
            activation.awaited = True
            self.want(activation)

    def checked(self, activation: Activation, envelope: Envelope, row: OutcomeRow | None) -> None:
        """Take the journal's answer for an envelope's key: answer a repeat, serve anything else."""
        shard = activation.shard
        envelope.unchecked = False
        if shard.closed:
            return
        if envelope.command is PREPARE:
            assert envelope.key is not None
            if row is None:
                shard.keys.prepared(envelope.key.id)
            return
        if row is not None:
            shard.keys.release(envelope)
            self._replay(activation, envelope, row)
        if activation.loaded and activation.size:
            shard.queue(activation)

    def _replay(self, activation: Activation, envelope: Envelope, row: OutcomeRow) -> None:
        assert envelope.key is not None
        if row.fingerprint != envelope.key.fingerprint:
            envelope.refuse(KeyReusedError())
            return
        try:
            reply = activation.behaviour.decode_reply(row.reply)
        except Exception as error:  # noqa: BLE001 - a broken invariant of the behaviour
            self._log(activation, "cannot read a stored reply", error)
            envelope.refuse(EntityCrashedError(activation.address.text))
            self._context.counters.crashes += 1
            return
        activation.shard.keys.remember(row.command, row.fingerprint, reply)
        envelope.answer(Answer(reply, replayed=True))

    # -- loading -------------------------------------------------------------------------------

    def open(self, shard: Shard, address: Address) -> Activation:
        """The entity's activation, empty if it was not in memory."""
        activation = shard.activations.get(address)
        if activation is None:
            assert address.slot == shard.number, f"{address.kind} belongs to another shard"
            activation = Activation(address, self._context.behaviours[address.kind], shard)
            shard.activations[address] = activation
            self.pool.admit(activation)
        return activation

    def want(self, activation: Activation) -> None:
        """Have the entity loaded, unless it is or will be."""
        if activation.loaded or activation.loading or activation.crashed:
            return
        address, behaviour, shard = activation.address, activation.behaviour, activation.shard
        state = behaviour.infer(address, partial(_state_of, shard))
        if state is None:
            activation.loading = True
            shard.journal.load(activation)
        else:
            self.loaded(activation, Folded(behaviour, state))

    def still_wanted(self, activation: Activation) -> bool:
        """Whether the entity is still worth loading; if not, it is forgotten."""
        if activation.gone:
            return False
        shard = activation.shard
        while activation.head is not None and activation.head.over:
            shard.keys.release(shard.take(activation))
        address = activation.address
        if activation.needed or address in shard.armed or address in shard.unreadable:
            return True
        self.pool.drop(activation)
        return False

    def loaded(self, activation: Activation, folded: Folded) -> None:
        """Take the journal's state of an entity, and serve it."""
        address, shard, state = activation.address, activation.shard, folded.state
        if folded.seq > shard.seq:
            self._overtaken(shard)
            return
        activation.loading = activation.awaited = False
        activation.loaded = True
        activation.state = activation.committed = state
        activation.seq = folded.seq
        activation.event_bytes = folded.event_bytes
        activation.snapshot_bytes = folded.snapshot_bytes
        if folded.event_bytes:
            shard.changed[address] = activation
        if activation.paging is not None:
            activation.paging.pages = folded.pages
        self._context.counters.loads += 1
        if shard.unreadable:
            shard.unreadable.pop(address, None)
        for subscription in self._context.subscriptions:
            if subscription.kinds_loaded is None or address.kind in subscription.kinds_loaded:
                subscription.loaded(address, state, folded.seq, shard.epoch)
        for key in folded.keys:
            if key is not None:
                shard.keys.hold_for_saga(key)
        if folded.timer_ms is not None and address not in shard.firing:
            self.timers.arm(shard, address, folded.timer_ms)
        for saga in folded.unfinished:
            self._sagas.begin(activation, saga)
        if address in shard.armed:
            self._follow_up(activation, folded)
        self._resume_watchers(activation)
        if activation.size:
            shard.queue(activation)

    def _follow_up(self, activation: Activation, folded: Folded) -> None:
        """Run the follow-ups of a marked entity, of which nobody knows whether they were done."""
        follow_ups = activation.behaviour.follow_ups(folded.state)
        activation.owed = frozenset(follow_ups) if follow_ups else NOTHING_OWED
        for saga in follow_ups:
            self._sagas.begin(activation, saga, follows=True)
        if folded.timer_ms is None and not (folded.unfinished or follow_ups):
            activation.shard.disarmed[activation.address] = None

    @staticmethod
    def _resume_watchers(activation: Activation) -> None:
        watchers, activation.watchers = activation.watchers, None
        for watcher in watchers or ():
            activation.shard.resume(watcher)

    # -- timers --------------------------------------------------------------------------------

    def _timer_fired(self, shard: Shard, address: Address) -> None:
        if address not in shard.firing:
            shard.firing.add(address)
            self.post(shard, address, Envelope(TIMER_FIRED))

    def sweep(self, shard: Shard, entries_max: int) -> int:
        """Take back timer entries that are not needed any more; returns how many."""
        addresses = [] if shard.journal.halted else list(shard.disarmed)[:entries_max]
        if addresses:
            commit = Commit(shard)
            commit.timers = [TimerEntry(shard.number, shard.epoch, a, False) for a in addresses]
            for address in addresses:
                del shard.disarmed[address]
                shard.armed.pop(address, None)
            shard.submit(commit)
        return len(addresses)

    def close(self, shard: Shard, refusal: Callable[[], Exception]) -> None:
        """Take a shard out of memory; see :meth:`actors.core.shard.Shard.close`."""
        for saga in list(shard.sagas.values()):
            self._sagas.end(saga)
        self.leave_behind(shard.warm)
        self.pool.leave(shard.close(refusal))

    def leave_behind(self, warm: Mapping[Address, Folded]) -> None:
        """Let go of entities that were read ahead."""
        for folded in warm.values():
            self._context.leftovers.add(folded.behaviour.pieces(folded.state))

    # -- crashes -------------------------------------------------------------------------------

    def crashed_in_turn(
        self,
        activation: Activation,
        others: Mapping[Address, Activation],
        envelope: Envelope,
        error: Exception,
    ) -> None:
        """Refuse the caller, and forget the entities once what they submitted is committed."""
        self._log(activation, f"crashed on {type(envelope.command).__name__}", error)
        self._fail(activation, envelope)
        for concerned in (activation, *others.values()):
            concerned.loaded = False
            concerned.crashed = True
            if not concerned.uncommitted:
                self.reload(concerned)
        self._count_crash(activation.shard)

    def crashed_in_load(self, activation: Activation, error: Exception) -> None:
        """Refuse everybody who needs an entity whose events cannot be read, and read it again
        later. It is no reason to fence the shard: a new claim would find the same events."""
        shard, address = activation.shard, activation.address
        self._log(activation, "cannot be loaded", error)
        self._context.counters.crashes += 1
        activation.loading = False
        while activation.size:
            self._refuse(activation, shard.take(activation))
        for watcher in activation.watchers or ():
            if watcher.waits and watcher.size:
                self._fail(watcher, shard.take(watcher))
        self._resume_watchers(activation)
        for saga in [saga for saga in shard.sagas.values() if saga.activation is activation]:
            self._sagas.end(saga)
        self.pool.drop(activation)
        self._read_again(shard, address)

    def _read_again(self, shard: Shard, address: Address) -> None:
        """Load the entity again after ever longer whiles until it can be read: its timer and sagas
        wait for it. One try is under way at a time."""
        limits = self._context.limits
        reading = shard.unreadable.get(address)
        if reading is None:
            reading = shard.unreadable[address] = Reading(
                Backoff(
                    limits.read_backoff_min_s,
                    limits.read_backoff_max_s,
                    self._context.random.random,
                )
            )
        if not reading.planned:
            reading.planned = True
            self._context.loop.call_later(
                reading.backoff.next_s(), self._read_now, shard, address, reading
            )

    def _read_now(self, shard: Shard, address: Address, reading: Reading) -> None:
        reading.planned = False
        if not shard.closed and shard.unreadable.get(address) is reading:
            self.want(self.open(shard, address))

    def reload(self, activation: Activation) -> None:
        """Have a crashed entity as the journal has it, as soon as somebody needs it."""
        activation.crashed = False
        self.pool.forget(activation)
        if activation.needed:
            self.want(activation)
        else:
            self.pool.drop(activation)

    @staticmethod
    def _log(activation: Activation, what: str, error: Exception) -> None:
        place = activation.shard.place
        log.error("%s %s: %s", activation.address.text, what, where(error), extra=place)

    @staticmethod
    def _refuse(activation: Activation, envelope: Envelope) -> None:
        activation.shard.keys.release(envelope)
        envelope.refuse(EntityCrashedError(activation.address.text))

    def _fail(self, activation: Activation, envelope: Envelope) -> None:
        """Refuse the envelope; a timer fires again when it may have been forgiven."""
        self._refuse(activation, envelope)
        if envelope.command is TIMER_FIRED:
            shard = activation.shard
            at_ms = shard.now_ms() + int(self._context.limits.crash_retry_s * 1000)
            self.timers.arm(shard, activation.address, at_ms)

    def _count_crash(self, shard: Shard) -> None:
        self._context.counters.crashes += 1
        if self._crashes.crashed(shard.number, self._context.clock.monotonic()):
            text = "shard %d crashes in a loop: fenced for a while"
            log.error(text, shard.number, extra=shard.place)
            self._fence(shard)


def _state_of(shard: Shard, address: Address) -> Any | None:
    activation = shard.activations.get(address)
    return activation.state if activation is not None and activation.loaded else None


class Timers:
    """All timers of an instance, at most one an entity, with one heap and one loop timer. They
    survive passivation; after a crash the journal's timer entries bring them back."""

    def __init__(self, context: ShardContext, due: Callable[[Shard, Address], None]) -> None:
        self._context = context
        self._due = due
        self._heap: list[tuple[int, int, Timer]] = []
        self._count = 0
        self._handle: asyncio.TimerHandle | None = None
        self._handle_ms = 0

    def arm(self, shard: Shard, address: Address, at_ms: int | None) -> None:
        """Fire the entity's timer at this time, or not at all."""
        timer = shard.timers.get(address)
        if timer is None:
            timer = shard.timers[address] = Timer(shard, address)
        timer.armed_ms = at_ms
        if at_ms is not None and (timer.queued_ms is None or at_ms < timer.queued_ms):
            self._push(timer, at_ms)

    def _push(self, timer: Timer, at_ms: int) -> None:
        timer.queued_ms = at_ms
        self._count += 1
        heappush(self._heap, (at_ms, self._count, timer))
        if self._handle is None or at_ms < self._handle_ms:
            self._schedule()

    def _schedule(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        if not self._heap:
            return
        self._handle_ms = self._heap[0][0]
        wait_s = (self._handle_ms - self._context.clock.now_ms()) / 1000
        wait_s = min(max(wait_s, 0.0), self._context.limits.timer_check_s)
        self._handle = self._context.loop.call_later(wait_s, self._fire)

    def _fire(self) -> None:
        self._handle = None
        now_ms = self._context.clock.now_ms()
        for _ in range(self._context.limits.timers_fired_max):
            if not self._heap or self._heap[0][0] > now_ms:
                break
            at_ms, _, timer = heappop(self._heap)
            if timer.queued_ms == at_ms:
                timer.queued_ms = None
                self._ring(timer, now_ms)
        self._schedule()

    def _ring(self, timer: Timer, now_ms: int) -> None:
        shard, at_ms = timer.shard, timer.armed_ms
        if shard.closed:
            return
        if at_ms is not None and at_ms > now_ms:
            self._push(timer, at_ms)
            return
        del shard.timers[timer.address]
        if at_ms is not None:
            self._due(shard, timer.address)

    def close(self) -> None:
        """Fire no timer any more."""
        if self._handle is not None:
            self._handle.cancel()
        self._heap.clear()
