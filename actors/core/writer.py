"""The writer: the only coroutine that decides and changes the state of a shard's entities."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from actors.address import Address
from actors.behaviour import TIMER_FIRED, Decision, Turn
from actors.core.activation import Activation
from actors.core.commit import Commit
from actors.core.context import ShardContext
from actors.core.draft import draft
from actors.core.envelope import QUERY, Envelope, Probe
from actors.errors import DeadlineExceededError, KeyInFlightError, UnavailableError
from actors.transport import Answer

if TYPE_CHECKING:
    from actors.core.shard import Shard

NO_CELLS: Mapping[Address, Activation] = {}
NO_STATES: Mapping[Address, Any] = {}


class Writer:
    """Takes one message at a time from the runnable activations of its shard, in turn.

    Bounded by the activations in memory: an activation is in the queue at most once.
    """

    def __init__(self, shard: Shard, context: ShardContext) -> None:
        self._shard = shard
        self._context = context
        self._runnable: deque[Activation] = deque()
        self._wakeup: asyncio.Future[None] | None = None

    def queue(self, activation: Activation) -> None:
        """Serve this loaded activation, unless its next message waits for a companion."""
        if not (activation.queued or activation.waits):
            activation.queued = True
            self._runnable.append(activation)
            if self._wakeup is not None:
                self.rouse()

    def rouse(self) -> None:
        """Look again."""
        if self._wakeup is not None:
            self._wakeup.set_result(None)
            self._wakeup = None

    async def run(self) -> None:
        """Decide what comes until the shard is closed."""
        runnable, part = self._runnable, self._shard.part
        while not self._shard.closed:
            if not runnable or part.away or part.unverified:
                self._wakeup = self._context.loop.create_future()
                await self._wakeup
            else:
                self._slice()
                if runnable:
                    await asyncio.sleep(0)

    def _slice(self) -> None:
        """As many turns as may pass before other work gets the event loop."""
        runnable, shard = self._runnable, self._shard
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
                self.queue(activation)
            if shard.closed:
                return

    def _serve(self, activation: Activation, envelope: Envelope, now: float, now_ms: int) -> bool:
        """Take the next message of a loaded entity; false if it has to wait for a look-up or a
        companion, which queues the activation again."""
        shard, key, others = self._shard, envelope.key, NO_CELLS
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
                shard.crashes.in_turn(activation, NO_CELLS, shard.take(activation), error)
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
            return NO_CELLS
        found = {address: self._shard.open(address) for address in addresses}
        missing = [other for other in found.values() if not other.loaded]
        for other in found.values():
            other.touched = True
        for other in missing:
            if other.watchers is None:
                other.watchers = [activation]
            else:
                other.watchers.append(activation)
            self._shard.want(other)
        return found if all(other.loaded for other in missing) else None

    def _probe(self, activation: Activation, envelope: Envelope) -> None:
        if envelope.command is QUERY:
            envelope.answer(Answer(activation.state))
            return
        keys = self._shard.keys
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
        shard = self._shard
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
            replies = shard.saga_answers(activation, envelope, decision)
        if commit is None:
            shard.reply(replies)
        else:
            commit.answers = replies
            commit.trace = envelope.trace
            self._apply(commit)
        if envelope.command is TIMER_FIRED:
            self._after_wake(activation, commit, now_ms)

    def _decide(
        self,
        activation: Activation,
        others: Mapping[Address, Activation],
        envelope: Envelope,
        now_ms: int,
    ) -> tuple[Decision, Commit | None] | None:
        """The decision and what it writes; ``None`` if it crashed."""
        shard = self._shard
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
            shard.crashes.in_turn(activation, others, envelope, error)
            return None

    def _apply(self, commit: Commit) -> None:
        """Make the decision the shard's newest state, and send it to the journal."""
        shard = self._shard
        for change in commit.changes:
            activation, address = change.activation, change.activation.address
            activation.state = change.state
            activation.uncommitted += 1
            activation.event_bytes += change.bytes
            if change.snapshot is not None:
                activation.event_bytes = 0
                activation.snapshot_bytes = len(change.snapshot)
            wanted = change.wake_ms is not None
            if wanted or address in shard.timers:
                shard.arm(address, change.wake_ms)
            if address in shard.marked:
                if wanted or change.unfinished:
                    shard.unneeded.pop(address, None)
                else:
                    shard.unneeded[address] = None
        shard.submit(commit)

    def _after_wake(self, activation: Activation, commit: Commit | None, now_ms: int) -> None:
        """A wake that changed nothing is not repeated at once. A wish for later stands: what was to
        be done has been done by a command that came a moment before."""
        if commit is not None and any(change.activation is activation for change in commit.changes):
            return
        wish_ms = activation.behaviour.next_timer_ms(activation.state)
        if wish_ms is not None:
            again_ms = now_ms + self._context.limits.timer_again_ms
            self._shard.arm(activation.address, wish_ms if wish_ms > now_ms else again_ms)
