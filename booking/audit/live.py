"""The books over a journal that grows: rows are taken as they come, from a stored point on.

Nothing of the books is stored. An entity met again is folded anew from its own rows, and what two
books must say alike is looked up in the other entity's rows. So any state can be lost.
"""

import time
from collections import OrderedDict, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from actors.address import Address, stable_hash
from booking.audit.events import take_event
from booking.audit.journal import Books, JournalRow, LeaseRecord, ShardAudit
from booking.audit.report import Findings, Violation

KEPT_MAX = 100_000
"""Entities in memory, some 50 MB. A queue counts as one and takes 16 bytes for each number."""
RECENT_MAX = 50_000
"""Holds remembered for the reservation that follows each; a later one is looked up."""
LOOK_AFTER_S = 1.0
"""A sale's payment is completed milliseconds later, so few sales have to be looked up."""
LOOK_AGAIN_S = 5.0

HistoryRow = tuple[int, int, int, str, str]
"""seq, at_ms, version, type, payload."""


class Offset(msgspec.Struct, frozen=True):
    """The last row of a shard that was taken; ``seq`` 0 before the first."""

    seq: int = 0
    epoch: int = -1
    at_ms: int = 0


class LiveFindings(Findings):
    """Keeps each violation, to be told at once."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[str, Violation]] = []
        """Check and violation, until somebody takes them away."""

    def report(self, check: str, message: str, **place: Any) -> None:
        """Note a violation at the row that is looked at."""
        here: dict[str, Any] = {
            "shard": self.shard,
            "seq": self.seq,
            "entity": self.entity,
        } | place
        self.told.append((check, Violation(message, **here)))


class OpenFact(msgspec.Struct):
    """A fact that waits for the other side, and its row."""

    other: str
    """The entity that has to say the same."""
    shard: int
    seq: int
    entity: str
    look_s: float
    """When to look there, by the monotonic clock."""


class LiveReconciliation:
    """Facts of two books that have not met yet."""

    def __init__(self, found: Findings, *, answered: bool) -> None:
        """``answered``: each fact of the first side has to be followed by one of the second."""
        self._found, self._answered = found, answered
        self.open: dict[tuple[str, int], OpenFact] = {}
        """Of the first side, by name and fact."""
        self.unmet: dict[tuple[str, int], OpenFact] = {}
        """Of the second side."""

    def first(self, name: str, fact: int, at_ms: int, other: str) -> None:
        """Take the first side's fact."""
        if self.unmet.pop((name, fact), None) is None:
            self.open[name, fact] = self._fact(other)
            if not self._answered and len(self.open) > RECENT_MAX:
                del self.open[next(iter(self.open))]

    def second(self, name: str, fact: int, at_ms: int, other: str) -> None:
        """Take the second side's fact."""
        if self.open.pop((name, fact), None) is None:
            self.unmet[name, fact] = self._fact(other)

    def perhaps(self, name: str, fact: int, at_ms: int, other: str) -> None:
        """Take the second side's fact, if the first has told it."""
        self.open.pop((name, fact), None)

    def expect(self, name: str, fact: int) -> None:
        """Nothing: who has to wait is looked up."""

    def waiting(self) -> Iterator[OpenFact]:
        """Facts whose rows have to be read again after a restart."""
        yield from self.unmet.values()
        if self._answered:
            yield from self.open.values()

    def _fact(self, other: str) -> OpenFact:
        found = self._found
        look_s = time.monotonic() + LOOK_AFTER_S
        return OpenFact(other, found.shard, found.seq, found.entity, look_s)


class FactTable:
    """Everything that an entity's rows tell other books."""

    def __init__(self) -> None:
        self.firsts: set[tuple[str, int]] = set()
        self.seconds: set[tuple[str, int]] = set()
        self.expected: set[tuple[str, int]] = set()

    def first(self, name: str, fact: int, at_ms: int, other: str) -> None:
        """Take the first side's fact."""
        self.firsts.add((name, fact))

    def second(self, name: str, fact: int, at_ms: int, other: str) -> None:
        """Take the second side's fact."""
        self.seconds.add((name, fact))

    perhaps = second

    def expect(self, name: str, fact: int) -> None:
        """Take what the second side will tell."""
        self.expected.add((name, fact))


class History:
    """Entities folded from their rows; what those break was told when they came."""

    def __init__(self) -> None:
        self.holds, self.sales = FactTable(), FactTable()
        self.books = Books(LiveFindings(), self.holds, self.sales)

    def take(self, address: str, rows: Iterable[HistoryRow]) -> None:
        """An entity's next rows."""
        found, readers = self.books.found, self.books.readers(address)
        for found.seq, at_ms, version, type_, payload in rows:
            take_event(readers, found, address, at_ms, version, type_, payload)
        self.books.seats.leads.clear()  # the other book of a seat is another entity


class HistoryRange(msgspec.Struct, frozen=True):
    """An entity whose rows before one are needed."""

    shard: int
    entity: int
    address: str
    before: int


class LiveAudit:
    """Takes the rows of all shards as they come. Does no I/O."""

    def __init__(self, offsets: Mapping[int, Offset]) -> None:
        self.found = LiveFindings()
        self.holds = LiveReconciliation(self.found, answered=False)
        self.sales = LiveReconciliation(self.found, answered=True)
        self.offsets = dict(offsets)
        self._shards: dict[int, ShardAudit] = {}
        self._kept: OrderedDict[tuple[int, str], None] = OrderedDict()
        """Entities in memory; the one that was touched last is at the end."""
        self._paying: dict[int, set[str]] = {}
        """By shard: accounts with payments under way."""
        self._late: set[str] = set()
        """Payments that were told to be overdue."""
        self._questions: dict[str, list[tuple[str, int]]] = {}
        """Names and facts that wait for an entity's rows, by its address."""

    def shard(self, number: int) -> ShardAudit:
        """A shard's state."""
        found = self._shards.get(number)
        if found is None:
            offset = self.offsets.get(number, Offset())
            books = Books(self.found, self.holds, self.sales)
            found = ShardAudit(books, number, LeaseRecord(), offset.seq, offset.epoch)
            self._shards[number] = found
        return found

    def wanted(self, number: int, rows: Sequence[JournalRow]) -> list[HistoryRange]:
        """Entities of these rows that are not in memory."""
        known, new = self.shard(number).addresses, dict[str, HistoryRange]()
        for _, seq, _, entity, _, _, address, _, _ in rows:
            if address not in known and address not in new:
                new[address] = HistoryRange(number, entity, address, seq)
        return list(new.values())

    def adopt(self, wanted: Iterable[HistoryRange], history: History) -> None:
        """Go on with these entities."""
        for each in wanted:
            self.shard(each.shard).books.adopt(history.books, each.address)

    def take(self, number: int, rows: Sequence[JournalRow], *, at_end: bool) -> None:
        """The shard's next rows; ``at_end``: there are no more yet, so decisions are complete."""
        if not rows:
            return
        shard, self.found.shard = self.shard(number), number
        shard.take(rows)
        _, seq, epoch, _, at_ms, *_ = rows[-1]
        self.offsets[number] = Offset(seq, epoch, at_ms)
        if at_end:
            shard.books.seats.close_leads()
        paying = self._paying.setdefault(number, set())
        for address in {row[6] for row in rows}:
            self._kept[number, address] = None
            self._kept.move_to_end((number, address))
            if address.startswith("account/"):
                (paying.add if shard.books.accounts.pending(address) else paying.discard)(address)
        for _ in range(len(self._kept) - KEPT_MAX):
            self._put_aside(*self._kept.popitem(last=False)[0])

    def _put_aside(self, number: int, address: str) -> None:
        if address in self._paying[number] or address.startswith("queue/"):
            # A payment ends soon; a queue, of which there are few, takes seconds to be folded.
            self._kept[number, address] = None
            return
        shard = self._shards[number]
        shard.books.forget(address)
        shard.addresses.pop(address, None)

    def rewind(self, number: int, offset: Offset, message: str) -> None:
        """The shard's rows are not those that were taken: go on after ``offset``."""
        gone = self.offsets[number]
        self.found.report("I4", message, shard=number, seq=gone.seq, entity="")
        self._shards.pop(number, None)
        self._paying.pop(number, None)
        for key in [key for key in self._kept if key[0] == number]:
            del self._kept[key]
        for pairs in (self.holds, self.sales):
            for facts in (pairs.open, pairs.unmet):
                for name in [name for name, fact in facts.items() if fact.shard == number]:
                    del facts[name]
        self.offsets[number] = offset

    def overdue(self, before_ms: int) -> None:
        """Report payments begun before, and not ended."""
        for number, accounts in self._paying.items():
            book = self.shard(number).books.accounts
            for address in accounts:
                for payment, (begun, seq) in book.pending(address).items():
                    if begun.at_ms < before_ms and payment not in self._late:
                        self._late.add(payment)
                        message = f"payment {payment} begun at {begun.at_ms} has not ended"
                        self.found.report("I7", message, shard=number, seq=seq, entity=address)

    def stored(self) -> dict[int, int]:
        """The seq of each shard after which a later run has to go on: before whatever is open."""
        ends = {number: offset.seq for number, offset in self.offsets.items()}
        for fact in (*self.holds.waiting(), *self.sales.waiting()):
            ends[fact.shard] = min(ends[fact.shard], fact.seq - 1)
        for number, shard in self._shards.items():
            for lead in shard.books.seats.leads.values():
                ends[number] = min(ends[number], lead.seq - 1)
            for address in self._paying.get(number, ()):
                for payment, (_, seq) in shard.books.accounts.pending(address).items():
                    if payment not in self._late:
                        ends[number] = min(ends[number], seq - 1)
        return ends

    # -- facts of two shards -----------------------------------------------------------------------

    def to_look_up(self) -> Collection[str]:
        """Entities whose rows have to say whether a fact of another is true."""
        now_s, asked = time.monotonic(), defaultdict[str, list[tuple[str, int]]](list)
        for facts in (self.holds.unmet, self.sales.unmet, self.sales.open):
            for key, fact in facts.items():
                if facts is not self.sales.open or fact.look_s <= now_s:
                    asked[fact.other].append(key)
        self._questions = asked
        return asked.keys()

    def look_up(self, history: History) -> None:
        """Settle the facts that waited for these entities, by their rows up to now."""
        history.books.accounts.close()  # tells of payments under way
        holds, sales = history.holds, history.sales
        for key in [key for keys in self._questions.values() for key in keys]:
            if (fact := self.holds.unmet.pop(key, None)) and key not in holds.firsts:
                words = f"reservation {key[0].split()[0]} is of a hold that no seat has"
                self._report("I1", words, fact)
            if (fact := self.sales.unmet.pop(key, None)) and key not in sales.firsts:
                self._report("I7", _unmatched(_payment(key), "sale of its seat"), fact)
            if fact := self.sales.open.get(key):
                self._settle_sale(key, fact, sales)

    def _settle_sale(self, key: tuple[str, int], fact: OpenFact, told: FactTable) -> None:
        if key in told.expected and _payment(key) not in self._late:
            fact.look_s = time.monotonic() + LOOK_AGAIN_S
            return
        del self.sales.open[key]
        if key not in told.seconds and key not in told.expected:
            self._report("I7", _unmatched(_payment(key), "completed payment"), fact)

    def _report(self, check: str, message: str, fact: OpenFact) -> None:
        place = {"shard": fact.shard, "seq": fact.seq, "entity": fact.entity}
        self.found.report(check, message, **place)


def wanted_now(address: str) -> HistoryRange:
    """An entity whose rows up to now are needed."""
    slot = Address.parse(address).slot
    return HistoryRange(slot, stable_hash(address), address, (1 << 63) - 1)


def _payment(key: tuple[str, int]) -> str:
    """Whose sale it is: the first word of its name."""
    return key[0].split()[0]


def _unmatched(payment: str, other: str) -> str:
    return f"payment {payment} has no {other} on the same terms"
