"""The stores that all instances share, as one database and one Redis: what they remember, what
they forget, and who is told of every commit."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from actors.clock import Clock
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

    def claim(self, wanted: Sequence[tuple[int, int]], owner: str, incarnation: str) -> list[Lease]:
        leases = super().claim(wanted, owner, incarnation)
        self.on_claim(owner, leases)
        return leases


class Databases:
    """PostgreSQL and Redis. A standby follows the first one, until it is cut off."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        """The database's own, which is right."""
        self.store = WatchedStore(self.clock)
        self.tables = FaultyTables(self.store, self.clock)
        self.members = FaultyMembershipStore(self.clock)
        self.standby = FaultyMembershipStore(self.clock)
        self.ballot = FaultyElectionStore(self.clock)
        self._replica: tuple[dict[str, Any], dict[str, Any]] | None = None

    @property
    def cut_off(self) -> bool:
        """Whether the standby hears of nothing."""
        return self._replica is not None

    def cut_replication(self) -> None:
        """The standby hears of nothing from now on."""
        self._replica = _contents(self.store), _contents(self.tables)

    def promote(self) -> list[Row]:
        """The standby is the primary now; returns the rows that it never heard of."""
        assert self._replica is not None, "replication was not cut"
        before = [list(rows) for rows in self.store.rows]
        store, tables = self._replica
        self._replica = None
        vars(self.store).update(store)
        vars(self.tables).update(tables)
        kept = [len(rows) for rows in self.store.rows]
        return [row for rows, end in zip(before, kept, strict=True) for row in rows[end:]]


def _contents(database: object) -> dict[str, Any]:
    """All tables, copied; whoever watches the database, and its clock, stay."""
    return {
        name: _copied(value)
        for name, value in vars(database).items()
        if not (callable(value) or name in ("store", "clock", "away"))
    }


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        fresh = copy.copy(value)
        fresh.update((key, _copied(each)) for key, each in value.items())
        return fresh
    if isinstance(value, list):
        return [_copied(each) for each in value]
    if isinstance(value, set):
        return set(value)
    if isinstance(value, msgspec.Struct) and not value.__struct_config__.frozen:
        return copy.copy(value)
    return value
