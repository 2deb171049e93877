"""What a runtime counts, and how it tells."""

from __future__ import annotations

import msgspec


class Counters:
    """Counted since the runtime's start, but for ``waiting``, which is the current number of
    external messages in mailboxes."""

    __slots__ = (
        "crashes",
        "fenced",
        "last_commit",
        "loads",
        "refused",
        "rows",
        "sagas",
        "turns",
        "waiting",
    )

    def __init__(self) -> None:
        self.waiting = 0
        self.turns = 0
        self.rows = 0
        self.crashes = 0
        self.refused = 0
        self.loads = 0
        self.fenced = 0
        self.sagas = 0
        """Running now."""
        self.last_commit: float | None = None
        """On the monotonic clock."""


class RuntimeStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """A runtime at one moment."""

    shards: int
    """Owned and serving."""
    lost_shards: tuple[int, ...]
    """Fenced by another owner."""
    entities: int
    """In memory."""
    mailbox_depth: int
    """External messages waiting to be decided."""
    queued_commits: int
    """Decisions waiting for the journal, sent or not."""
    in_flight: int
    """Callers waiting for an answer of a decision: those of ``queued_commits`` and of sagas."""
    turns: int
    batches: int
    """Sent to the journal."""
    rows: int
    """Events committed."""
    last_commit_age_s: float | None
    """``None`` before the first commit."""
    fenced: int
    """Shards taken away by another owner's claim."""
    crashes: int
    refused: int
    """Asks refused at once."""
    deadlines_exceeded: int
    loads: int
    """Entities loaded."""
    timers: int
    """Entities with a timer."""
    sagas: int
    """Running."""
    epochs: dict[int, int]
    """Of each owned shard."""
