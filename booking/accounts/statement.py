"""``booking ledger``: all transfers of money in a journal as CSV, one by one or added up."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, TextIO

from booking.accounts.domain.transfers import MOVEMENTS, transfers
from booking.audit.events import read, take_event
from booking.audit.journal import JournalRow
from booking.audit.report import Findings

COLUMNS: Final = (
    *("at", "shard", "seq", "event", "from", "to", "amount", "concertId", "concertScheduleId"),
)
TOTALS_COLUMNS: Final = ("day", "concertId", "from", "to", "transfers", "amount")


class TransferStatement:
    """Takes the journal's rows in order of shard and seq. Writes each transfer at once, or with
    ``totals`` their sums by day (UTC), concert and kinds of account at the end."""

    def __init__(self, out: TextIO, concerts: Mapping[str, str], *, totals: bool) -> None:
        """``concerts`` has the concert of each date."""
        self.found = Findings()
        self._write = csv.writer(out, lineterminator="\n").writerow
        self._concerts, self._totals = concerts, totals
        self._counts, self._sums = Counter[tuple[str, ...]](), Counter[tuple[str, ...]]()
        self._dates: dict[str, str] = {}
        """The date of each payment under way."""
        self._readers = dict(
            read(type_, self._take, "id", "amount", schedule=(str, "")) for type_ in MOVEMENTS
        )
        self._write(TOTALS_COLUMNS if totals else COLUMNS)

    def take(self, shard: int, rows: Iterable[JournalRow]) -> None:
        """The next rows, all of this shard."""
        self.found.shard = shard
        for _, self.found.seq, _, _, at_ms, version, address, type_, payload in rows:
            if type_ in MOVEMENTS:
                self.found.entity = address
                take_event(self._readers, self.found, address, at_ms, version, type_, payload)

    def close(self) -> None:
        """All rows have been seen."""
        for key in sorted(self._sums):
            self._write((*key, self._counts[key], self._sums[key]))

    def _take(self, address: str, event: Any, at_ms: int) -> None:
        type_ = type(event).__name__
        date = event.schedule or self._dates.pop(event.id, "")
        if type_ == "PaymentStarted":
            self._dates[event.id] = date
        elif type_ == "PaymentCompleted":
            self._dates.pop(event.id, None)
        concert = self._concerts.get(date, "")
        at = datetime.fromtimestamp(at_ms / 1000, UTC)
        for source, target, amount in transfers(address.partition("/")[2], event):
            if self._totals:
                kinds = source.partition("/")[0], target.partition("/")[0]
                key = (at.date().isoformat(), concert, *kinds)
                self._counts[key] += 1
                self._sums[key] += amount
            else:
                when = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
                place = when, self.found.shard, self.found.seq, type_
                self._write((*place, source, target, amount, concert, date))
