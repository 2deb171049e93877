"""The writer: the only coroutine that decides and changes the state of a shard's entities."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from actors.address import Address
from actors.behaviour import TIMER_FIRED, Decision, Turn
from actors.core.context import ShardContext
from actors.core.draft import draft
from actors.core.entities import Entities
from actors.core.envelope import QUERY, Envelope, Probe
from actors.core.sagas import Sagas
from actors.core.shard import Activation, Commit, Shard
from actors.errors import DeadlineExceededError, KeyInFlightError, UnavailableError
from actors.transport import Answer

NO_OTHERS: Mapping[Address, Activation] = {}
NO_STATES: Mapping[Address, Any] = {}


class Writer:
    """Takes one message at a time from the runnable activations of each shard, in turn; each shard
    has a :meth:`run` of its own."""

    def __init__(self, context: ShardContext, entities: Entities, sagas: Sagas) -> None:
        self._context = context
        self._entities = entities
        self._sagas = sagas

    async def run(self, shard: Shard) -> None:
        """Decide what comes until the shard is closed."""
        runnable, journal = shard.runnable, shard.journal
        while not shard.closed:
            if not runnable or journal.halted:
                shard.wakeup = self._context.loop.create_future()
                await shard.wakeup
            else:
                self._slice(shard)
                if runnable:
                    await asyncio.sleep(0)

    def _slice(self, shard: Shard) -> None:
        """As many turns as may pass before other work gets the event loop."""
        runnable = shard.runnable
        now, now_ms = self._context.clock.monotonic(), shard.now_ms()
        if self._context.pause_detector.jumped(now):
            return
        for _ in range(min(self._context.limits.turns_max, len(runnable))):
            activation = runnable.popleft()
            activation.queued = False
            envelope = activation.head
            if not activation.loaded or envelope is None:
                continue
            if (
                self._serve(activation, envelope, now, now_ms)
                and activation.size
                and activation.loaded
            ):
                shard.queue(activation)
            if shard.closed:
                return

    def _serve(self, activation: Activation, envelope: Envelope, now: float, now_ms: int) -> bool:
        """Take the next message of a loaded entity; false if it has to wait for a look-up or a
        companion, which queues the activation again."""
        shard, key, others = activation.shard, envelope.key, NO_OTHERS
        activation.touched = True
        if envelope.over:
            shard.keys.release(shard.take(activation))
            return True
        if envelope.unchecked:
            return False
        if activation.has_companions and not isinstance(envelope.command, Probe):
            try:
                found = self._companions(activation, envelope)
            except Exception as error:  # noqa: BLE001 - a broken invariant of the behaviour
                taken = shard.take(activation)
                self._entities.crashed_in_turn(activation, NO_OTHERS, taken, error)
                return True
            if found is None:
                activation.waits = True
                return False
            others = found
        shard.take(activation)
        if key is not None and not shard.keys.held_by(key, envelope):
            envelope.refuse(KeyInFlightError())
        elif envelope.deadline <= now:
            shard.keys.release(envelope)
            envelope.refuse(DeadlineExceededError("waited too long to be decided"))
        elif isinstance(envelope.command, Probe):
            self._probe(activation, envelope)
        else:
            self._turn(activation, others, envelope, now_ms)
        return True

    def _companions(
        self, activation: Activation, envelope: Envelope
    ) -> Mapping[Address, Activation] | None:
        """The companions' activations, or ``None`` while one of them is being loaded."""
        addresses = activation.behaviour.companions(
            activation.address, activation.state, envelope.command
        )
        if not addresses:
            return NO_OTHERS
        shard, entities = activation.shard, self._entities
        found = {address: entities.open(shard, address) for address in addresses}
        missing = [other for other in found.values() if not other.loaded]
        for other in found.values():
            other.touched = True
        for other in missing:
            if other.watchers is None:
                other.watchers = []
            other.watchers.append(activation)
            entities.want(other)
        return found if all(other.loaded for other in missing) else None

    def _probe(self, activation: Activation, envelope: Envelope) -> None:
        if envelope.command is QUERY:
            envelope.answer(Answer(activation.state))
            return
        keys = activation.shard.keys
        assert envelope.key is not None
        keys.release(envelope)
        try:
            ends = self._context.clock.monotonic() + self._context.limits.begun_ttl_s
            keys.begin(envelope.key, ends)
        except UnavailableError as error:
            envelope.refuse(error)
        else:
            envelope.answer(Answer(None))

    def _turn(
        self,
        activation: Activation,
        others: Mapping[Address, Activation],
        envelope: Envelope,
        now_ms: int,
    ) -> None:
        """One decision: first all of it on the side, then all of it at once."""
        shard = activation.shard
        self._context.counters.turns += 1
        shard.turns += 1
        if envelope.trace is None:
            decided = self._decide(activation, others, envelope, now_ms)
        else:
            with envelope.trace.turn(shard.epoch):
                decided = self._decide(activation, others, envelope, now_ms)
        if decided is None:
            return
        decision, commit = decided
        if decision.awaits is None and decision.settles is None:
            replies = [(envelope, Answer(decision.reply))]
        else:
            replies = shard.answers_of(activation, envelope, decision)
        if commit is None:
            shard.reply(replies)
        else:
            commit.answers = replies
            commit.trace = envelope.trace
            self._apply(commit)
        if envelope.command is TIMER_FIRED:
            self._after_timer(activation, commit, now_ms)

    def _decide(
        self,
        activation: Activation,
        others: Mapping[Address, Activation],
        envelope: Envelope,
        now_ms: int,
    ) -> tuple[Decision, Commit | None] | None:
        """The decision and what it writes; ``None`` if it crashed."""
        shard = activation.shard
        states = {a: other.state for a, other in others.items()} if others else NO_STATES
        try:
            decision = activation.behaviour.decide(
                Turn(
                    activation.address,
                    activation.state,
                    states,
                    envelope.command,
                    now_ms,
                    envelope.key,
                )
            )
            return decision, draft(shard, activation, others, envelope, decision, now_ms)
        except Exception as error:  # noqa: BLE001 - a broken invariant of the behaviour
            self._entities.crashed_in_turn(activation, others, envelope, error)
            return None

    def _apply(self, commit: Commit) -> None:
        """Make the decision the shard's newest state, and send it to the journal."""
        shard = commit.shard
        for change in commit.changes:
            activation, address = change.activation, change.address
            activation.state = change.state
            activation.uncommitted += 1
            activation.event_bytes += change.size
            if change.snapshot is not None:
                activation.event_bytes = 0
                activation.snapshot_bytes = len(change.snapshot)
            armed = change.timer_ms is not None
            if armed or address in shard.timers:
                self._entities.timers.arm(shard, address, change.timer_ms)
            if address in shard.armed:
                if armed or change.unfinished:
                    shard.disarmed.pop(address, None)
                else:
                    shard.disarmed[address] = None
        shard.submit(commit)

    def _after_timer(self, activation: Activation, commit: Commit | None, now_ms: int) -> None:
        """A timer that changed nothing does not fire again at once. One for later stands: what was
        to be done has been done by a command that came a moment before."""
        if commit is not None and any(change.activation is activation for change in commit.changes):
            return
        armed_ms = activation.behaviour.next_timer_ms(activation.state)
        if armed_ms is not None:
            again_ms = now_ms + self._context.limits.timer_again_ms
            at_ms = armed_ms if armed_ms > now_ms else again_ms
            self._entities.timers.arm(activation.shard, activation.address, at_ms)

    def committed(self, commit: Commit) -> None:
        """Tell subscriptions, sagas and callers that the journal has a decision."""
        shard = commit.shard
        shard.accepted(commit)
        for change in commit.changes:
            activation = change.activation
            activation.uncommitted -= 1
            activation.committed = change.state
            for subscription in self._context.subscriptions:
                subscription.committed(change)
            if shard.closed:
                continue
            for saga in change.unfinished:
                self._sagas.begin(activation, saga, commit.trace)
            if activation.crashed and not activation.uncommitted:
                self._entities.reload(activation)
        for key, reply in commit.stored:
            shard.keys.store(key, reply)
        commit.release()
