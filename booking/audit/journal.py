"""All books over the whole journal, shard by shard and without any I/O, and the log's own order
(check I4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from actors.address import Address, stable_hash
from booking.accounts.audit import AccountBook
from booking.audit.events import Readers, Reconciliation, take_event
from booking.audit.report import Findings
from booking.queue.audit import QueueBook
from booking.seats.audit import SeatBook

JournalRow = tuple[int, int, int, int, int, int, str, str, str]
"""shard, seq, epoch, entity, at_ms, version, address, type, payload."""


class LeaseRecord(msgspec.Struct):
    """What the lease tables say of one shard."""

    epoch: int = 0
    incarnations: dict[int, str] = {}
    """By epoch."""
    snapshot_end: int = 0
    """The last seq that a snapshot knows of."""


class JournalAudit:
    """Takes all rows in order of shard and seq, then :meth:`close`.

    ``holds`` and ``sales`` then say whether books in different shards agree; which rows
    differ, only a second reading of the journal can tell.
    """

    def __init__(self, leases: Mapping[int, LeaseRecord], overdue_ms: int) -> None:
        """A payment begun before ``overdue_ms`` has to have ended."""
        self.found = Findings()
        self.holds = Reconciliation(overdue_ms, announced=False)
        self.sales = Reconciliation(overdue_ms, announced=True)
        self.overdue_ms = overdue_ms
        self._leases = dict(leases)
        self._current: _ShardAudit | None = None

    def take(self, shard: int, rows: Iterable[JournalRow]) -> None:
        """The next rows; all of this shard, and shards one after the other."""
        if self._current is None or self.found.shard != shard:
            self._close_current()
            self.found.shard = shard
            self._current = _ShardAudit(self, shard, self._leases.pop(shard, LeaseRecord()))
        self._current.take(rows)

    def close(self) -> None:
        """Compare the sums, after all rows were seen."""
        self._close_current()
        found = self.found
        for shard, lease in self._leases.items():
            if lease.snapshot_end:
                found.shard = shard
                found.report("I4", f"is empty, a snapshot knows of seq {lease.snapshot_end}")
        found.shard = -1
        expected = found.charged - found.spent + found.refunded
        if found.balances != expected:
            found.report("I2", f"all balances are {found.balances}, the journal says {expected}")

    def _close_current(self) -> None:
        if self._current is not None:
            self._current.close()
            self._current = None
        self.found.seq, self.found.entity = 0, ""


class _ShardAudit:
    def __init__(self, audit: JournalAudit, shard: int, lease: LeaseRecord) -> None:
        self._shard, self._lease, self._found = shard, lease, audit.found
        self._seq, self._epoch = 0, -1
        self._addresses: dict[str, tuple[int, Readers]] = {}
        """Address to the hash it is filed under and the readers of its kind's events."""
        self._seats = SeatBook(audit.found, audit.holds, audit.sales)
        self._accounts = AccountBook(audit.found, audit.holds, audit.sales, audit.overdue_ms)
        queues = QueueBook(audit.found, "I5").readers()
        self._readers = self._seats.readers() | self._accounts.readers() | {"queue": queues}
        audit.found.shards += 1

    def take(self, rows: Iterable[JournalRow]) -> None:
        """The next rows of this shard."""
        found, addresses, count = self._found, self._addresses, 0
        for _, seq, epoch, entity, at_ms, version, address, type_, payload in rows:
            count += 1
            found.seq, found.entity = seq, address
            if seq != self._seq + 1:
                found.report("I4", f"seq {seq} follows seq {self._seq}")
            self._seq = seq
            if epoch != self._epoch:
                self._check_epoch(epoch)
            known = addresses.get(address)
            if known is None or known[0] != entity:
                known = addresses[address] = entity, self._readers_of(address, entity)
            take_event(known[1], found, address, at_ms, version, type_, payload)
        found.checked["I4"] += count
        found.checked["events"] += count
        found.events += count

    def close(self) -> None:
        """All rows of the shard have been seen."""
        self._found.entity, end = "", self._lease.snapshot_end
        if self._seq < end:
            self._found.report("I4", f"ends at seq {self._seq}, a snapshot knows of {end}")
        self._found.seq = 0
        self._seats.close()
        self._accounts.close()

    def _check_epoch(self, epoch: int) -> None:
        report, lease = self._found.report, self._lease
        if epoch < self._epoch:
            report("I4", f"epoch falls from {self._epoch} to {epoch}")
        if epoch > lease.epoch:
            report("I4", f"epoch {epoch} is above the shard's epoch {lease.epoch}")
        if not lease.incarnations.get(epoch):
            report("I4", f"epoch {epoch} was never claimed by an incarnation")
        self._epoch = epoch

    def _readers_of(self, address: str, entity: int) -> Readers:
        """Looks at an address that is new here, or filed under another hash than before."""
        kind, *rest = address.split("/")
        if kind not in self._readers or len(rest) != (2 if kind == "seat" else 1):
            return {}  # then no event is one of this entity's
        slot = Address(kind, *rest).slot
        if slot != self._shard:
            self._found.report("I4", f"belongs into shard {slot}")
        if stable_hash(address) != entity:
            self._found.report("I4", f"filed under the hash {entity}, which is another's")
        return self._readers[kind]
