"""A commit: what one decision writes, and what happens once it is written (output gate)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any

from actors.behaviour import CommandKey
from actors.core.activation import Activation
from actors.core.envelope import Envelope
from actors.journal.contract import OutcomeRow, Row, SnapshotRow, TimerEntry
from actors.transport import Answer

if TYPE_CHECKING:
    from actors.core.shard import Shard
    from actors.core.tracing import Trace


class Change:
    """What a decision made of one entity."""

    __slots__ = (
        "activation",
        "bytes",
        "events",
        "last_seq",
        "rows",
        "snapshot",
        "state",
        "unfinished",
        "wake_ms",
    )

    def __init__(self, activation: Activation, state: Any) -> None:
        self.activation = activation
        self.state = state
        """After the decision."""
        self.events: list[Any] = []
        self.rows: list[Row] = []
        """The events as they are journalled."""
        self.bytes = 0
        """Size of the events' payloads."""
        self.last_seq = 0
        self.snapshot: bytes | None = None
        self.unfinished: Collection[str] = ()
        self.wake_ms: int | None = None


class Commit:
    """One decision on its way through a lane.

    ``answers`` leave when the journal has accepted the rows. ``followers`` are answers of later
    decisions without rows: they tell of a state that this commit makes true.
    """

    __slots__ = (
        "answers",
        "changes",
        "followers",
        "outcomes",
        "rows",
        "shard",
        "snapshots",
        "stored",
        "timers",
        "trace",
        "weight",
    )

    def __init__(self, shard: Shard) -> None:
        self.shard = shard
        self.weight = 0
        """Rows of all tables, counted by the lane."""
        self.rows: list[Row] = []
        self.outcomes: Sequence[OutcomeRow] = ()
        self.snapshots: list[SnapshotRow] | tuple[()] = ()
        self.timers: list[TimerEntry] | tuple[()] = ()
        self.changes: Sequence[Change] = ()
        self.answers: Sequence[tuple[Envelope, Answer]] = ()
        self.stored: Sequence[tuple[CommandKey, Any]] = ()
        """Keys whose outcome is in ``outcomes``, with the reply."""
        self.followers: list[tuple[Envelope, Answer]] | None = None
        self.trace: Trace | None = None
        """Of the message that was decided."""

    def release(self) -> None:
        """The journal has it: let everybody know who waited for it."""
        if self.trace is not None:
            self.trace.committed(None)
        for envelope, answer in self.answers:
            envelope.answer(answer)
        for envelope, answer in self.followers or ():
            envelope.answer(answer)

    def refuse(self, refusal: Callable[[], Exception]) -> None:
        """The journal does not have it, or did not say."""
        if self.trace is not None:
            self.trace.committed(refusal())
        for envelope, _ in self.answers:
            envelope.refuse(refusal())
        for envelope, _ in self.followers or ():
            envelope.refuse(refusal())
