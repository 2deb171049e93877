"""One database of the journal, as this instance finds it.

A journal may be spread over several; then one of them can be away while the others answer. So
whatever waits for the journal, doubts it or pauses for it does that for one part: its shards are
refused, and nobody else's.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from actors.journal.contract import Journal

if TYPE_CHECKING:
    from actors.core.loader import Loader
    from actors.core.supervision import Backoff


class JournalPartition:
    """Which shards are in it: :func:`actors.journal.contract.part_number`."""

    __slots__ = (
        "away",
        "backoff",
        "claiming",
        "journal",
        "kick",
        "loader",
        "name",
        "number",
        "suspicious",
        "unverified",
    )

    backoff: Backoff
    loader: Loader

    def __init__(self, number: int, parts: int, journal: Journal) -> None:
        self.number = number
        self.journal = journal
        """This database alone."""
        self.name = "the journal" if parts == 1 else f"database {number + 1} of {parts}"
        """For people."""
        self.away = False
        """Out of reach: nothing of its shards is decided until it is back."""
        self.unverified = False
        """This process may have been replaced as the owner of its shards without noticing: nothing
        of them is decided or told until the journal says whose they are."""
        self.suspicious = False
        """One shard was found to be lost, so all are looked at: a shard that appends nothing would
        never notice, and answer reads and repeated keys from a past that is over."""
        self.kick = asyncio.Event()
        """There is something to claim or to look at."""
        self.claiming = asyncio.Lock()
        """One round of claims at a time, so that none sees the half of another."""
