"""From a decision to a commit, without touching anything: a crash in here leaves nothing half
applied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from actors.address import Address
from actors.behaviour import CommandKey, Decision
from actors.core.envelope import Envelope
from actors.core.shard import Activation, Commit, PendingChange, Shard
from actors.journal.contract import OutcomeRow, Row, SnapshotRow, TimerEntry

NO_STATES: Mapping[Address, Any] = {}


def draft(
    shard: Shard,
    activation: Activation,
    others: Mapping[Address, Activation],
    envelope: Envelope,
    decision: Decision,
    now_ms: int,
) -> Commit | None:
    """What the decision writes, or ``None`` if nothing. May raise whatever a behaviour raises."""
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
    known = decision.states or NO_STATES
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
    if (change.timer_ms is not None or change.unfinished) and address not in shard.armed:
        entry = TimerEntry(shard.number, shard.epoch, address, True)
        commit.timers = [*commit.timers, entry]
    threshold = max(shard.snapshot_bytes_min, activation.snapshot_bytes)
    if activation.event_bytes + change.size > threshold:
        change.snapshot = activation.behaviour.encode_state(state)
        row = SnapshotRow(shard.number, shard.epoch, address, change.seq, change.snapshot)
        commit.snapshots = [*commit.snapshots, row]


def _stored(
    shard: Shard, activation: Activation, envelope: Envelope, decision: Decision
) -> list[tuple[CommandKey, Any]]:
    """The keys whose outcome this decision is: the command's own, and those a settled saga
    owes."""
    keys: dict[bytes, CommandKey] = {}
    if envelope.key is not None and decision.awaits is None:
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
