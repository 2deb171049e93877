"""The journal as consumers read it: what was committed here a moment ago is still at hand."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from attrs import define, field

from actors.journal.contract import Journal, Row
from actors.subscription import Change

KEPT_MAX = 10_000
"""Events: some seconds of what two cores sell, and some 10 MB."""


@define(eq=False)
class EventReader:
    """Gives what it was told to :meth:`keep` without asking the database or decoding it again."""

    journal: Journal
    _decode: Callable[[Row], Any]
    _kept: OrderedDict[tuple[int, int], tuple[Row, Any]] = field(factory=OrderedDict, init=False)
    """By shard and seq; the oldest first."""

    def keep(self, change: Change) -> None:
        """These are in the journal."""
        for row, event in zip(change.rows, change.events, strict=True):
            self._kept[row.shard, row.seq] = row, event
        while len(self._kept) > KEPT_MAX:
            self._kept.popitem(last=False)

    def forget(self, shard: int) -> None:
        """The journal may have others in their place."""
        for key in [key for key in self._kept if key[0] == shard]:
            del self._kept[key]

    async def read(self, after: Mapping[int, int], limit: int) -> list[Row]:
        """As :meth:`actors.journal.contract.Journal.read`."""
        rows, others = list[Row](), dict[int, int]()
        for shard, seq in after.items():
            known = len(rows)
            for number in range(seq + 1, seq + 1 + limit):
                if (found := self._kept.get((shard, number))) is None:
                    break
                rows.append(found[0])
            if len(rows) == known:
                others[shard] = seq
        return rows + await self.journal.read(others, limit) if others else rows

    def decode(self, row: Row) -> Any:
        """The event of a row."""
        row_kept, event = self._kept.get((row.shard, row.seq), (None, None))
        return event if row_kept is row else self._decode(row)
