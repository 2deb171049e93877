"""The stores that all instances share, as one database and one Redis: what they remember, what
they forget, and who is told of every commit."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from actors.clock import Clock
from actors.connections.redis import key_of
from actors.journal.contract import Batch, Lease, Row
from actors.journal.memory import MemoryStore
from tests.support.faulty import FaultyElectionStore, FaultyMembershipStore, FaultyTables
from tests.support.virtual_time import VirtualClock


class WatchedStore(MemoryStore):
    """The journal's tables; tells of each commit and each claim at once."""

    away = False
    """The database's own outage, for everybody."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.on_rows: Callable[[Sequence[Row]], None] = lambda rows: None
        self.on_claim: Callable[[str, Sequence[Lease]], None] = lambda owner, leases: None

    def write(self, batch: Batch) -> set[int]:
        fenced = super().write(batch)
        self.on_rows([row for row in batch.rows if row.shard not in fenced])
        return fenced

    def claim(
        self, wanted: Sequence[tuple[int, int]], owner: str, incarnation: str, above: int = 0
    ) -> list[Lease]:
        leases = super().claim(wanted, owner, incarnation, above)
        self.on_claim(owner, leases)
        return leases


class Redis:
    """What one Redis database has under the names of one cluster."""

    def __init__(self, clock: Clock) -> None:
        self.members = FaultyMembershipStore(clock)
        self.ballot = FaultyElectionStore(clock)


class Lost(NamedTuple):
    """What a promoted standby lacks."""

    rows: Sequence[Row]
    commands: Collection[bytes]
    """Whose outcomes."""


class Databases:
    """PostgreSQL and Redis. A standby follows the first one, until it is cut off."""

    def __init__(self, redis: dict[str, Redis] | None = None) -> None:
        self.clock = VirtualClock()
        """The database's own, which is right."""
        self.store = WatchedStore(self.clock)
        self.tables = FaultyTables(self.store, self.clock)
        self.standby = FaultyMembershipStore(self.clock)
        self.shared_redis = {} if redis is None else redis
        """By the beginning of its names."""
        self._replica: tuple[MemoryStore, dict[str, Any]] | None = None

    def redis(self, cluster: str) -> Redis:
        """What the instances of this cluster find in Redis."""
        return self.shared_redis.setdefault(key_of(cluster, ""), Redis(self.clock))

    @property
    def every_redis(self) -> Collection[Redis]:
        return self.shared_redis.values()

    @property
    def cut_off(self) -> bool:
        """Whether the standby hears of nothing."""
        return self._replica is not None

    def cut_replication(self) -> None:
        """The standby hears of nothing from now on."""
        self._replica = self.store.standby(), _contents(self.tables)

    def promote(self) -> Lost:
        """The standby is the primary now."""
        assert self._replica is not None, "replication was not cut"
        before, commands = [list(rows) for rows in self.store.rows], set(self.store.outcomes)
        store, tables = self._replica
        self._replica = None
        self.store.promote(store)
        vars(self.tables).update(tables)
        kept = [len(rows) for rows in self.store.rows]
        rows = [row for rows, end in zip(before, kept, strict=True) for row in rows[end:]]
        lost = {command for _, command in commands - self.store.outcomes.keys()}
        return Lost(rows, lost | {command for row in rows for command in _commands(row)})


def _commands(row: Row) -> Iterator[bytes]:
    """Of which commands an event is itself the outcome: a place in the queue tells which try got
    it."""
    if row.command is not None:
        yield row.command
    if attempt := msgspec.json.decode(row.payload).get("attempt"):
        yield bytes.fromhex(attempt)


def _contents(tables: FaultyTables) -> dict[str, Any]:
    """The tables beside the journal's, copied."""
    return {
        "leadership": tables.leadership,
        "shards": [copy.copy(row) for row in tables.shards],
        "desired_states": dict(tables.desired_states),
        "plans": dict(tables.plans),
        "entries": list(tables.entries),
    }
