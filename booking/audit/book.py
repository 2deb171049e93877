"""The whole journal, shard by shard, without any I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from booking.audit.matching import Matching
from booking.audit.report import Findings
from booking.audit.shard import Claims, JournalRow, ShardAudit

_UNCLAIMED = Claims(0, {}, 0)
"""Of a shard that the lease table has never heard of."""


class Audit:
    """Takes all rows in order of shard and seq, then :meth:`close`.

    ``holds`` and ``sales`` then say whether books in different shards tell the same; who differs,
    only a second look at the journal can tell.
    """

    def __init__(self, claims: Mapping[int, Claims], overdue_ms: int) -> None:
        """A payment begun before ``overdue_ms`` has to have ended."""
        self.found = Findings()
        self.holds = Matching(overdue_ms, announced=False)
        self.sales = Matching(overdue_ms, announced=True)
        self._claims = dict(claims)
        self._overdue_ms = overdue_ms
        self._current: ShardAudit | None = None

    def take(self, shard: int, rows: Iterable[JournalRow]) -> None:
        """The next rows; all of this shard, and shards one after the other."""
        if self._current is None or self._current.shard != shard:
            self._close_current()
            claims = self._claims.pop(shard, _UNCLAIMED)
            self._current = ShardAudit(
                shard, claims, self.found, self.holds, self.sales, self._overdue_ms
            )
        self._current.take(rows)

    def close(self) -> None:
        """All rows have been seen."""
        self._close_current()
        for shard, claims in self._claims.items():
            if claims.snapshot_end:
                message = f"is empty, a snapshot knows of seq {claims.snapshot_end}"
                self.found.report("I4", message, shard)
        found = self.found
        expected = found.charged - found.spent + found.refunded
        if found.balances != expected:
            found.report("I2", f"all balances are {found.balances}, the journal says {expected}")

    def _close_current(self) -> None:
        if self._current is not None:
            self._current.close()
            self._current = None
