"""From what the journal knows of an entity to its state and what follows from it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from actors.behaviour import Behaviour, CommandKey
from actors.journal.contract import Loaded


class Folded:
    """An entity as the journal has it."""

    def __init__(self, behaviour: Behaviour, state: Any, loaded: Loaded) -> None:
        rows, snapshot = loaded.rows, loaded.snapshot
        self.state = state
        self.seq = rows[-1].seq if rows else 0 if snapshot is None else snapshot.seq
        """The seq of its last event; 0 for an entity without any."""
        self.at_ms = rows[-1].at_ms if rows else 0
        """When its last event was decided, if that is known."""
        self.event_bytes = sum([len(row.payload) for row in rows])
        self.snapshot_bytes = 0 if snapshot is None else len(snapshot.state)
        self.timer_ms: int | None = behaviour.next_timer_ms(state)
        self.unfinished: Collection[str] = behaviour.unfinished(state)
        self.keys: Sequence[CommandKey | None] = [
            behaviour.saga_key(state, saga) for saga in self.unfinished
        ]


def initial_state(behaviour: Behaviour, loaded: Loaded) -> Any | None:
    """The state before the loaded events; ``None`` if the snapshot is not readable any more."""
    if loaded.snapshot is None:
        state = behaviour.initial(loaded.address)
        # It would be taken for a snapshot that cannot be read, and the journal read for ever.
        assert state is not None, f"a {behaviour.kind} without events has to have a state"
        return state
    return behaviour.decode_state(loaded.snapshot.state)


def fold(behaviour: Behaviour, loaded: Loaded, base: Folded | None = None) -> Folded | None:
    """The entity's state, from ``base`` if that was folded before and ``loaded`` are the events
    after it. ``None`` if the snapshot is of a shape no longer read and the whole journal of the
    entity is needed. Raises whatever a behaviour raises."""
    state = initial_state(behaviour, loaded) if base is None else base.state
    if state is None:
        return None
    for row in loaded.rows:
        state = behaviour.evolve(state, behaviour.decode_event(row.type, row.version, row.payload))
    folded = Folded(behaviour, state, loaded)
    if base is not None:
        folded.seq = max(folded.seq, base.seq)
        folded.at_ms = max(folded.at_ms, base.at_ms)
        folded.event_bytes += base.event_bytes
        folded.snapshot_bytes = base.snapshot_bytes
    return folded
