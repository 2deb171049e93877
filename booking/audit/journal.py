"""All books over the whole journal, shard by shard and without any I/O, and the log's own order
(check I4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from actors.address import Address, stable_hash
from booking.accounts.audit import AccountBook
from booking.audit.events import FactReader, Readers, Reconciliation, take_event
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
    """Takes all rows in order of shard and seq, then :meth:`close`: from then on ``holds`` and
    ``sales`` say whether books in different shards agree."""

    def __init__(self, leases: Mapping[int, LeaseRecord], overdue_ms: int) -> None:
        """A payment begun before ``overdue_ms`` has to have ended."""
        self.found = Findings()
        self.holds = Reconciliation(overdue_ms, announced=False)
        self.sales = Reconciliation(overdue_ms, announced=True)
        self.overdue_ms = overdue_ms
        self._leases = dict(leases)
        self._current: ShardAudit | None = None

    def take(self, shard: int, rows: Iterable[JournalRow]) -> None:
        """The next rows; all of this shard, and shards one after the other."""
        if self._current is None or self.found.shard != shard:
            self._close_current()
            self.found.shard = shard
            books = Books(self.found, self.holds, self.sales, self.overdue_ms)
            self._current = ShardAudit(books, shard, self._leases.pop(shard, LeaseRecord()))
            self.found.shards += 1
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
        self._close_money()

    def _close_money(self) -> None:
        found = self.found
        if total := found.totals.total():
            found.report("I10", f"all accounts sum to {total}, not to zero")
        for date, sums in found.dates.items():
            unpaid = sums.sold - sums.brought
            if unpaid < 0:
                message = f"payments brought {-unpaid} more than the sold seats cost"
                found.report("I10", f"date {date}: {message}")
            elif unpaid > sums.under_way:
                message = f"seats were sold for {unpaid - sums.under_way} that no payment brings"
                found.report("I10", f"date {date}: {message}")

    def _close_current(self) -> None:
        if self._current is not None:
            self._current.close()
            self._current = None
        self.found.seq, self.found.entity = 0, ""


class Books:
    """One book of each subject, for the entities of one shard."""

    def __init__(
        self, found: Findings, holds: FactReader, sales: FactReader, overdue_ms: int = 0
    ) -> None:
        self.found = found
        self.seats = SeatBook(found, holds, sales)
        self.accounts = AccountBook(found, holds, sales, overdue_ms)
        self._queues = QueueBook(found, "I5")
        queues: dict[str, Readers] = {"queue": self._queues.readers()}
        self._readers = self.seats.readers() | self.accounts.readers() | queues

    def readers(self, address: str) -> Readers:
        """The events of an entity of this kind; none if there is no such kind."""
        kind, *rest = address.split("/")
        known = kind in self._readers and len(rest) == (2 if kind == "seat" else 1)
        return self._readers[kind] if known else {}

    def adopt(self, other: Books, address: str) -> None:
        """Go on with an entity as other books know it."""
        self.seats.adopt(other.seats, address)
        self.accounts.adopt(other.accounts, address)
        self._queues.adopt(other._queues, address)

    def forget(self, address: str) -> None:
        """Drop an entity."""
        for book in (self.seats, self.accounts, self._queues):
            book.forget(address)


class ShardAudit:
    """The rows of one shard in order, from after ``seq``, which was written under ``epoch``."""

    def __init__(
        self, books: Books, shard: int, lease: LeaseRecord, seq: int = 0, epoch: int = -1
    ) -> None:
        self.books, self._shard, self.lease, self._found = books, shard, lease, books.found
        self.seq, self.epoch = seq, epoch
        self.addresses: dict[str, tuple[int, Readers]] = {}
        """Address to the hash it is filed under and the readers of its kind's events."""

    def take(self, rows: Iterable[JournalRow]) -> None:
        """The next rows of this shard."""
        found, addresses, count = self._found, self.addresses, 0
        for _, seq, epoch, entity, at_ms, version, address, type_, payload in rows:
            count += 1
            found.seq, found.entity = seq, address
            if seq != self.seq + 1:
                found.report("I4", f"seq {seq} follows seq {self.seq}")
            self.seq = seq
            if epoch != self.epoch:
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
        self._found.entity, end = "", self.lease.snapshot_end
        if self.seq < end:
            self._found.report("I4", f"ends at seq {self.seq}, a snapshot knows of {end}")
        self._found.seq = 0
        self.books.seats.close()
        self.books.accounts.close()

    def _check_epoch(self, epoch: int) -> None:
        report, lease = self._found.report, self.lease
        if epoch < self.epoch:
            report("I4", f"epoch falls from {self.epoch} to {epoch}")
        if epoch > lease.epoch:
            report("I4", f"epoch {epoch} is above the shard's epoch {lease.epoch}")
        if not lease.incarnations.get(epoch):
            report("I4", f"epoch {epoch} was never claimed by an incarnation")
        self.epoch = epoch

    def _readers_of(self, address: str, entity: int) -> Readers:
        """Looks at an address that is new here, or filed under another hash than before."""
        readers = self.books.readers(address)
        if not readers:
            return readers
        slot = Address.parse(address).slot
        if slot != self._shard:
            self._found.report("I4", f"belongs into shard {slot}")
        if stable_hash(address) != entity:
            self._found.report("I4", f"filed under the hash {entity}, which is another's")
        return readers
