"""The writer: the only coroutine that decides and changes the state of a shard's entities."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from actors.address import Address
from actors.behaviour import TIMER_FIRED, Ask, CommandKey, Decision, Turn
from actors.core.context import ShardContext
from actors.core.entities import Entities
from actors.core.envelope import QUERY, Caller, Envelope, JointAnswer, Probe
from actors.core.sagas import UNTRACED, Sagas
from actors.core.shard import Activation, Commit, PendingChange, Shard
from actors.errors import DeadlineExceededError, KeyInFlightError
from actors.journal.contract import OutcomeRow, Row, SnapshotRow, TimerEntry
from actors.transport import Answer

_NO_OTHERS: Mapping[Address, Activation] = {}
_NO_STATES: Mapping[Address, Any] = {}


class Writer:
    """Takes one message at a time, in turn; each shard has a :meth:`run` of its own."""

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
        turns = self._context.limits.turns_max
        while runnable and turns:
            turns -= 1
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
        """Take the next message; false if it waits for a look-up or a companion."""
        shard, key, others = activation.shard, envelope.key, _NO_OTHERS
        activation.touched = True
        if envelope.over:
            shard.keys.release(shard.take(activation))
            return True
        if envelope.unchecked:
            return False
        if activation.has_companions and not isinstance(envelope.command, Probe):
            try:
                found = self._companions(activation, envelope, now_ms)
            except Exception as error:  # noqa: BLE001 - a broken invariant of the behaviour
                taken = shard.take(activation)
                self._entities.crashed_in_turn(activation, _NO_OTHERS, taken, error)
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
            shard.keys.release(envelope)
            envelope.answer(Answer(activation.state if envelope.command is QUERY else None))
        else:
            self._turn(activation, others, envelope, now_ms)
        return True

    def _companions(
        self, activation: Activation, envelope: Envelope, now_ms: int
    ) -> Mapping[Address, Activation] | None:
        """The companions' activations, or ``None`` while one of them is being loaded."""
        addresses = activation.behaviour.companions(
            activation.address, activation.state, envelope.command, now_ms
        )
        if not addresses:
            return _NO_OTHERS
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
        if all(other.loaded for other in missing):
            return found
        activation.hold(tuple(found.values()))
        return None

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
        if not decision.final:
            shard.keys.release(envelope)
        replies: list[tuple[Caller, Answer]]
        if decision.beside is not None and envelope.future is not None:
            replies = [(self._ask_beside(envelope, decision.beside), Answer(decision.reply))]
        elif decision.awaits is None and decision.settles is None:
            replies = [(envelope, Answer(decision.reply))]
        else:
            replies = shard.answers_of(activation, envelope, decision)
        if commit is None:
            shard.reply(replies)
        else:
            if decision.certain and not activation.uncommitted:
                for caller, answer in replies[1:]:
                    if isinstance(caller, Envelope) and caller.key is not None:
                        shard.keys.store(caller.key, answer.reply)
                    caller.answer(answer)
                del replies[1:]
            commit.answers = replies
            commit.trace = envelope.trace
            self._apply(commit)
        if envelope.command is TIMER_FIRED:
            self._after_timer(activation, commit, now_ms)

    def _ask_beside(self, envelope: Envelope, ask: Ask) -> JointAnswer:
        """Ask another entity what goes with a decision, which stays one as it is."""
        with UNTRACED if envelope.trace is None else envelope.trace.within():
            other = self._sagas.ask_anywhere(ask.to, ask.command, ask.key)
        joint = JointAnswer(envelope, other, ask.expects)
        other.add_done_callback(joint.told)
        return joint

    def _decide(
        self,
        activation: Activation,
        others: Mapping[Address, Activation],
        envelope: Envelope,
        now_ms: int,
    ) -> tuple[Decision, Commit | None] | None:
        """The decision and what it writes; ``None`` if it crashed."""
        shard = activation.shard
        states = {a: other.state for a, other in others.items()} if others else _NO_STATES
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
            return decision, _draft(shard, activation, others, envelope, decision, now_ms)
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
            shard.changed[address] = activation
            if change.snapshot is not None:
                activation.event_bytes = 0
                activation.snapshot_bytes = len(change.snapshot)
            if change.snapshot_due:
                self._entities.snapshots.want(activation)
            armed = change.timer_ms is not None
            if armed or address in shard.timers:
                self._entities.timers.arm(shard, address, change.timer_ms)
            if change.follow_ups:
                activation.owed = activation.owed.union(change.follow_ups)
            if address in shard.armed:
                if armed or change.unfinished or activation.owed:
                    shard.disarmed.pop(address, None)
                else:
                    shard.disarmed[address] = None
        shard.submit(commit)

    def _after_timer(self, activation: Activation, commit: Commit | None, now_ms: int) -> None:
        """A timer that changed nothing does not fire again at once."""
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
            activation.seq = change.seq
            if not shard.lost:
                for subscription in self._context.subscriptions:
                    subscription.committed(change)
            if shard.closed:
                continue
            for saga in change.unfinished:
                self._sagas.begin(activation, saga, commit.trace)
            for saga in change.follow_ups:
                self._sagas.begin(activation, saga, commit.trace, follows=True)
            if activation.crashed and not activation.uncommitted:
                self._entities.reload(activation)
        for key, reply in commit.stored:
            shard.keys.store(key, reply)
        commit.release()


def _draft(
    shard: Shard,
    activation: Activation,
    others: Mapping[Address, Activation],
    envelope: Envelope,
    decision: Decision,
    now_ms: int,
) -> Commit | None:
    """What the decision writes, or ``None``. It touches nothing, and may raise."""
    stored: Sequence[tuple[CommandKey, Any]] = ()
    if envelope.key is not None or decision.settles is not None:
        stored = _stored(shard, activation, envelope, decision)
    if not (decision.events or stored):
        if decision.awaits is not None:
            _check_awaits(activation, activation.state, decision.awaits)
        return None
    commit = Commit(shard)
    if decision.events:
        _add_events(commit, activation, others, decision, envelope.key, now_ms)
    if decision.awaits is not None or decision.settles is not None:
        _check_sagas(activation, commit, decision)
    if stored:
        commit.stored = stored
        commit.outcomes = [
            OutcomeRow(
                shard.number,
                shard.epoch,
                key.id,
                key.fingerprint,
                activation.behaviour.encode_reply(reply),
                now_ms,
            )
            for key, reply in stored
        ]
    return commit


def _add_events(
    commit: Commit,
    activation: Activation,
    others: Mapping[Address, Activation],
    decision: Decision,
    key: CommandKey | None,
    now_ms: int,
) -> None:
    shard = commit.shard
    known = decision.states or _NO_STATES
    number, epoch, seq = shard.number, shard.epoch, shard.seq
    command = None if key is None else key.id
    changes: dict[Address, PendingChange] = {}
    for address, event in decision.events:
        change = changes.get(address)
        if change is None:
            owner = activation if address == activation.address else others[address]
            change = changes[address] = PendingChange(owner, known.get(address, owner.state))
        behaviour = change.activation.behaviour
        if address not in known:
            change.state = behaviour.evolve(change.state, event)
        change.events.append(event)
        kind, version, payload = behaviour.encode_event(event)
        seq += 1
        change.seq = seq
        change.size += len(payload)
        row = Row(number, seq, epoch, address, kind, version, payload, now_ms, command)
        commit.rows.append(row)
        change.rows.append(row)
    commit.changes = tuple(changes.values())
    for change in commit.changes:
        _look_ahead(commit, change)


def _look_ahead(commit: Commit, change: PendingChange) -> None:
    """Timers, sagas and snapshot of the changed entity."""
    activation, state, shard = change.activation, change.state, commit.shard
    address = change.address
    change.timer_ms = activation.behaviour.next_timer_ms(state)
    change.unfinished = activation.behaviour.unfinished(state)
    if follow_ups := activation.behaviour.follow_ups(state):
        before = activation.behaviour.follow_ups(activation.state)
        change.follow_ups = [name for name in follow_ups if name not in before]
    marks = change.timer_ms is not None or change.unfinished or change.follow_ups
    if marks and address not in shard.armed:
        entry = TimerEntry(shard.number, shard.epoch, address, True)
        commit.timers = [*commit.timers, entry]
    if activation.event_bytes + change.size <= shard.snapshot_after(activation):
        return
    if activation.paging is not None:
        change.snapshot_due = True
    else:
        change.snapshot = activation.behaviour.encode_state(state)
        row = SnapshotRow(shard.number, shard.epoch, address, change.seq, change.snapshot)
        commit.snapshots = [*commit.snapshots, row]


def _stored(
    shard: Shard, activation: Activation, envelope: Envelope, decision: Decision
) -> list[tuple[CommandKey, Any]]:
    """The keys whose outcome this is: the command's own, and those a settled saga owes."""
    keys: dict[bytes, CommandKey] = {}
    if envelope.key is not None and decision.awaits is None and decision.final:
        keys[envelope.key.id] = envelope.key
    if decision.settles is not None:
        waiting = shard.parked.get((activation.address, decision.settles), ())
        owed = [waiter.key for waiter in waiting]
        owed.append(decision.settles_key)
        owed.append(activation.behaviour.saga_key(activation.state, decision.settles))
        keys.update((key.id, key) for key in owed if key is not None)
    return [(key, decision.reply) for key in keys.values()]


def _check_sagas(activation: Activation, commit: Commit, decision: Decision) -> None:
    state = next((c.state for c in commit.changes if c.activation is activation), activation.state)
    if decision.awaits is not None:
        _check_awaits(activation, state, decision.awaits)
    if decision.settles is not None:
        settled = decision.settles not in activation.behaviour.unfinished(state)
        assert settled, f"{activation.address.kind}: settles a saga that stays unfinished"


def _check_awaits(activation: Activation, state: Any, saga: str) -> None:
    begun = saga in activation.behaviour.unfinished(state)
    assert begun, f"{activation.address.kind}: awaits a saga that is not unfinished"
