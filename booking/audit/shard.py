"""All books over one shard, and the log's own order (I4)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from actors.address import Address, stable_hash
from booking.accounts.audit import AccountBook
from booking.audit import events as e
from booking.audit.matching import Matching
from booking.audit.report import Findings
from booking.queue.audit import QueueBook
from booking.seats.audit import SeatBook

JournalRow = tuple[int, int, int, int, int, int, str, str, str]
"""shard, seq, epoch, entity, at_ms, version, address, type, payload."""

Reader = tuple[Callable[[str], Any], Callable[[str, Any, int, int], None]]
_DECODERS = {event: msgspec.json.Decoder(event).decode for event in e.EVENTS}


class Claims:
    """What the lease tables say of one shard."""

    def __init__(self, epoch: int, incarnations: dict[int, str], snapshot_end: int) -> None:
        self.epoch = epoch
        self.incarnations = incarnations
        """By epoch."""
        self.snapshot_end = snapshot_end


class ShardAudit:
    """Takes a shard's rows in order, then :meth:`close`."""

    def __init__(
        self,
        shard: int,
        claims: Claims,
        found: Findings,
        holds: Matching,
        sales: Matching,
        overdue_ms: int,
    ) -> None:
        self.shard = shard
        self._claims, self._found = claims, found
        self._seq, self._epoch = 0, -1
        self._addresses: dict[str, tuple[int, Mapping[str, Reader]]] = {}
        """Address to the hash it is filed under and the readers of its kind's events."""
        seats = SeatBook(shard, found, holds, sales)
        accounts = AccountBook(shard, found, holds, sales, overdue_ms)
        queues = QueueBook(self._report_queue, self._count_number)
        self._books = (seats, accounts, queues)
        self._readers = _readers(seats, accounts, queues)
        found.shards += 1

    def take(self, rows: Iterable[JournalRow]) -> None:
        """The next rows of this shard."""
        addresses = self._addresses
        count = 0
        for _, seq, epoch, entity, at_ms, version, address, type_, payload in rows:
            count += 1
            if seq != self._seq + 1:
                self._wrong(f"seq {seq} follows seq {self._seq}", seq, address)
            self._seq = seq
            if epoch != self._epoch:
                self._new_epoch(epoch, seq, address)
            known = addresses.get(address)
            if known is None or known[0] != entity:
                known = addresses[address] = self._met(address, entity, seq)
            reader = known[1].get(type_)
            if reader is None or version != 1:
                message = f"{type_} version {version} is not an event of this entity"
                self._found.report("events", message, self.shard, seq, address)
                continue
            decode, take = reader
            try:
                event = decode(payload)
            except msgspec.DecodeError as error:
                message = f"{type_} cannot be read: {error}"
                self._found.report("events", message, self.shard, seq, address)
                continue
            take(address, event, seq, at_ms)
        self._found.checked["I4"] += count
        self._found.checked["events"] += count
        self._found.events += count

    def close(self) -> None:
        """All rows of the shard have been seen."""
        if self._seq < self._claims.snapshot_end:
            message = f"ends at seq {self._seq}, a snapshot knows of {self._claims.snapshot_end}"
            self._wrong(message, self._seq, "")
        for book in self._books:
            book.close()

    def _new_epoch(self, epoch: int, seq: int, address: str) -> None:
        if epoch < self._epoch:
            self._wrong(f"epoch falls from {self._epoch} to {epoch}", seq, address)
        if epoch > self._claims.epoch:
            message = f"epoch {epoch} is above the shard's epoch {self._claims.epoch}"
            self._wrong(message, seq, address)
        if not self._claims.incarnations.get(epoch):
            self._wrong(f"epoch {epoch} was never claimed by an incarnation", seq, address)
        self._epoch = epoch

    def _met(self, address: str, entity: int, seq: int) -> tuple[int, Mapping[str, Reader]]:
        """Looks at an address that is new here, or filed under another hash than before."""
        kind, *rest = address.split("/")
        if kind not in self._readers or len(rest) != (2 if kind == "seat" else 1):
            return entity, {}  # then no event is one of this entity's
        slot = Address(kind, *rest).slot
        if slot != self.shard:
            self._wrong(f"belongs into shard {slot}", seq, address)
        if stable_hash(address) != entity:
            self._wrong(f"filed under the hash {entity}, which is another's", seq, address)
        return entity, self._readers[kind]

    def _report_queue(self, aspect: str, message: str, seq: int, address: str) -> None:
        self._found.report("I5", f"{aspect}: {message}", self.shard, seq, address)

    def _count_number(self) -> None:
        self._found.checked["I5"] += 1

    def _wrong(self, message: str, seq: int, address: str) -> None:
        self._found.report("I4", message, self.shard, seq, address)


def queue_readers(queues: QueueBook) -> Mapping[str, Reader]:
    """Event type to its decoder and the method that takes the event."""
    takes: dict[type, Callable[[str, Any, int, int], None]] = {
        e.Joined: queues.joined,
        e.Admitted: queues.admitted,
        e.Entered: queues.entered,
        e.Left: queues.left,
        e.WentSilent: queues.silent,
        e.TokenUsed: queues.used,
        e.TokensExpired: queues.expired,
        e.PolicyChanged: queues.ruled,
        e.Drawn: queues.drawn,
    }
    return {event.__name__: (_DECODERS[event], take) for event, take in takes.items()}


def _readers(
    seats: SeatBook, accounts: AccountBook, queues: QueueBook
) -> dict[str, Mapping[str, Reader]]:
    """For each kind of entity: event type to its decoder and the method that takes the event."""
    takes: dict[str, dict[type, Callable[[str, Any, int, int], None]]] = {
        "seat": {
            e.SeatHeld: seats.held,
            e.HoldReleased: seats.released,
            e.HoldExpired: seats.expired,
            e.SeatSold: seats.sold,
        },
        "ledger": {
            e.HoldCounted: seats.hold_counted,
            e.HoldUncounted: seats.hold_uncounted,
            e.SaleCounted: seats.sale_counted,
        },
        "account": {
            e.Charged: accounts.charged,
            e.ReservationNoted: accounts.noted,
            e.ReservationCancelled: accounts.cancelled,
            e.PaymentStarted: accounts.started,
            e.PaymentCompleted: accounts.completed,
            e.PaymentRefunded: accounts.refunded,
        },
    }
    readers: dict[str, Mapping[str, Reader]] = {
        kind: {event.__name__: (_DECODERS[event], take) for event, take in of_kind.items()}
        for kind, of_kind in takes.items()
    }
    readers["queue"] = queue_readers(queues)
    return readers
