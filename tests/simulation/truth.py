"""What is true by the journal, followed commit by commit, and the invariants that every commit is
held to at once. The audit's own books read the rows; here is what they cannot know: the true time.

I1, I2, I4, I5, I6 and I7 are the audit's. Beside them:

- time: no row is decided by a clock that is wrong, and nothing ends too early or too late by the
  right one;
- what was read (a balance, a seat, whether a token opens) was true when it was read, or as shortly
  before as is promised.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import msgspec

from actors.address import stable_hash
from actors.journal.contract import Lease, Row
from booking.audit.journal import JournalAudit, JournalRow, LeaseRecord
from booking.audit.report import Findings
from tests.simulation.database import WatchedStore
from tests.support.virtual_time import VirtualClock

AHEAD_MAX_MS = 1_000
"""A shard's time may lead the database's clock by so much."""
BEHIND_MAX_MS = 20_000
"""A decision waits for its commit no longer; one that is older was dated by a wrong clock."""


Fact: TypeAlias = tuple[Any, ...]
"""Something that has happened, and whose it is or which."""


class Violation(Exception):  # noqa: N818 - it is what the simulation looks for, not an error of it
    """An invariant does not hold. ``check`` is its short name."""

    def __init__(self, check: str, words: str) -> None:
        super().__init__(f"{check}: {words}")
        self.check = check


class History:
    """A value over time."""

    def __init__(self, first: Any) -> None:
        self._times = [-1.0]
        self._values = [first]

    def set(self, at_s: float, value: Any) -> None:
        self._times.append(at_s)
        self._values.append(value)

    def forget_steps(self, at_s: float) -> None:
        """What it became at this time is all that it was then."""
        last, value = self._times[-1], self._values[-1]
        while len(self._times) > 1 and self._times[-1] >= at_s:
            self._times.pop()
            self._values.pop()
        self.set(max(last, at_s), value)

    @property
    def now(self) -> Any:
        return self._values[-1]

    def during(self, from_s: float, to_s: float) -> list[Any]:
        """Every value that was the current one at some time between these."""
        first = bisect_right(self._times, from_s) - 1
        return self._values[max(first, 0) : bisect_right(self._times, to_s)]


class Truth:
    """Follows a store; ``broken`` is called with every violation."""

    def __init__(
        self, store: WatchedStore, clock: VirtualClock, broken: Callable[[Violation], None]
    ) -> None:
        self._store = store
        self._clock = clock
        self._broken = broken
        self.balances: defaultdict[str, History] = defaultdict(lambda: History(0))
        self.seats: defaultdict[str, History] = defaultdict(lambda: History("available"))
        """By address, ``available``, ``held`` or ``sold``."""
        self.places: defaultdict[int, History] = defaultdict(lambda: History(("none", "")))
        """By number in the queue: ``waiting``, ``inside`` or ``ended``, and whose it is."""
        self.holds: dict[str, int] = {}
        """Open holds by the seat's address, with their end."""
        self.pending: set[str] = set()
        """Payments begun and not ended."""
        self.inside_until: dict[int, int] = {}
        self.charges: defaultdict[int, int] = defaultdict(int)
        """How often each amount was charged."""
        self.lost_holds: Counter[tuple[object, ...]] = Counter()
        """Holds that the store has lost. The user's account may hear of one all the same: the
        seat's answer was on its way."""
        self.lost_sales: set[str] = set()
        """Payments of sales that the store has lost: they may be completed all the same."""
        self.facts: set[Fact] = set()
        """What has happened by the journal as it is."""
        self.lost_facts: set[Fact] = set()
        """What the store has lost."""
        self.restart()

    def lose(self, rows: Sequence[Row]) -> None:
        """The store is another one now, without these: begin again with what is in it."""
        self.lost_holds += _holds(rows, "SeatHeld")
        self.lost_sales |= _named(rows, "SeatSold", "payment")
        before = set(self.facts)
        self.restart()
        self.lost_facts |= before - self.facts

    def restart(self) -> None:
        """Begin again with what is in the store."""
        self._audits: dict[int, JournalAudit] = {}
        self._leases = {
            lease.shard: LeaseRecord(lease.epoch, {}) for lease in self._store.leases if lease.epoch
        }
        for claim in self._store.claims:
            self._leases[claim.shard].incarnations[claim.epoch] = claim.incarnation
        at_s = self._clock.monotonic()
        for known in (self.balances, self.seats, self.places):
            for history in known.values():
                history.set(at_s, history._values[0])
        self.holds.clear()
        self.pending.clear()
        self.inside_until.clear()
        self.charges.clear()
        self.facts.clear()
        for rows in self._store.rows:
            self._follow(rows)
        for known in (self.balances, self.seats, self.places):
            for history in known.values():
                history.forget_steps(at_s)

    def claimed(self, leases: Sequence[Lease]) -> None:
        """I4: one incarnation for each epoch."""
        for lease in leases:
            record = self._leases.setdefault(lease.shard, LeaseRecord())
            if lease.epoch in record.incarnations:
                self._break("I4", f"shard {lease.shard}: epoch {lease.epoch} is given out twice")
            record.epoch = lease.epoch
            record.incarnations[lease.epoch] = self._store.leases[lease.shard].incarnation

    def committed(self, rows: Sequence[Row]) -> None:
        """Check what has just become true."""
        self._check_time(rows)
        self._follow(rows)

    def _follow(self, rows: Sequence[Row]) -> None:
        by_shard: dict[int, list[Row]] = {}
        for row in rows:
            by_shard.setdefault(row.shard, []).append(row)
        for shard, group in by_shard.items():
            audit = self._audits.get(shard)
            if audit is None:
                leases = {shard: self._leases.setdefault(shard, LeaseRecord())}
                audit = self._audits[shard] = JournalAudit(leases, 0)
            audit.take(shard, map(audited, group))
            for check, words in violations(audit.found):
                self._break(check, words)
            for row in group:
                self._note(row, msgspec.json.decode(row.payload))

    def _break(self, check: str, words: str) -> None:
        self._broken(Violation(check, words))

    def _check_time(self, rows: Iterable[Row]) -> None:
        now_ms = self._clock.now_ms()
        for row in rows:
            ahead_ms = row.at_ms - now_ms
            if ahead_ms > AHEAD_MAX_MS:
                self._break("time", f"{row.type} of {row.address.text} is {ahead_ms} ms ahead")
            elif ahead_ms < -BEHIND_MAX_MS:
                self._break("time", f"{row.type} of {row.address.text} is {-ahead_ms} ms behind")
            if row.type == "HoldExpired":
                left_ms = self.holds.get(row.address.text, 0) - now_ms
                if left_ms > AHEAD_MAX_MS:
                    self._break("I6", f"{row.address.text} expired {left_ms} ms too early")

    # -- following -----------------------------------------------------------------------------

    def _note(self, row: Row, event: dict[str, Any]) -> None:
        at_s = self._clock.monotonic()
        match row.address.kind:
            case "seat":
                self._note_seat(row, event, at_s)
            case "account":
                self._note_account(row, event, at_s)
            case "queue":
                self._note_queue(row.type, event, at_s)

    def _note_seat(self, row: Row, event: dict[str, Any], at_s: float) -> None:
        name = row.address.text
        state = {"SeatHeld": "held", "SeatSold": "sold"}.get(row.type, "available")
        self.seats[name].set(at_s, state)
        if state == "held":
            self.facts.add(("hold", event["reservation"]))
            self.holds[name] = event["until_ms"]
        else:
            self.holds.pop(name, None)
        if state == "sold":
            self.facts.add(("sale", event["payment"]))

    def _note_account(self, row: Row, event: dict[str, Any], at_s: float) -> None:
        if "balance" in event:
            self.balances[row.address.key].set(at_s, event["balance"])
        if row.type == "Charged":
            self.charges[event["amount"]] += 1
            self.facts.add(("charge", event["amount"]))
        elif row.type == "PaymentStarted":
            self.pending.add(event["id"])
        elif row.type in ("PaymentCompleted", "PaymentRefunded"):
            self.pending.discard(event["id"])

    def _note_queue(self, kind: str, event: dict[str, Any], at_s: float) -> None:
        if kind in ("Joined", "Entered"):
            self.places[event["number"]].set(at_s, ("waiting", event["user"]))
            self.facts.add(("place", event["number"], event["user"]))
        if kind in ("Admitted", "Entered"):
            one = event.get("number", 0)
            for number in range(event.get("first", one), event.get("last", one) + 1):
                state, user = self.places[number].now
                if state == "waiting":
                    self.places[number].set(at_s, ("inside", user))
                    self.facts.add(("inside", number, user))
                    self.inside_until[number] = event["until_ms"]
        elif kind in ("Left", "TokenUsed", "WentSilent", "TokensExpired"):
            for number in event.get("numbers") or [event["number"]]:
                self.places[number].set(at_s, ("ended", self.places[number].now[1]))
                self.inside_until.pop(number, None)

    # -- at the end ----------------------------------------------------------------------------

    def overdue(self, late_ms: int) -> list[str]:
        """What should have ended by itself long ago."""
        limit_ms = self._clock.now_ms() - late_ms
        held = [f"I6: {seat} is held" for seat, until in self.holds.items() if until < limit_ms]
        inside = [
            f"I5: {n} is inside" for n, until in self.inside_until.items() if until < limit_ms
        ]
        return held + inside + [f"I7: {payment} is pending" for payment in sorted(self.pending)]

    def audit(self) -> None:
        """The whole journal, read by the real audit; every payment has to have ended."""
        whole = JournalAudit(
            {shard: LeaseRecord(r.epoch, r.incarnations) for shard, r in self._leases.items()},
            self._clock.now_ms(),
        )
        for shard, rows in enumerate(self._store.rows):
            if rows:
                whole.take(shard, map(audited, rows))
        rows = [row for shard in self._store.rows for row in shard]
        sold, paid = _named(rows, "SeatSold", "payment"), _named(rows, "PaymentCompleted", "id")
        for event in _events(rows, "PaymentCompleted"):
            if event["id"] in self.lost_sales - sold:
                whole.found.dates[event["schedule"]].brought -= event["amount"]
        whole.close()
        for check, words in violations(whole.found):
            self._break(check, words)
        unexplained = sold - paid or paid - sold - self.lost_sales or sold == paid
        if not whole.sales.agree and unexplained:
            self._break("I7", "sales and completed payments differ")
        if not whole.holds.agree:
            held = _holds(rows, "SeatHeld") + self.lost_holds
            for fact in _holds(rows, "ReservationNoted") - held:
                self._break("I1", f"a reservation is of a hold that no seat has: {fact}")


def _named(rows: Iterable[Row], kind: str, name: str) -> set[str]:
    return {event[name] for event in _events(rows, kind)}


def _events(rows: Iterable[Row], kind: str) -> list[dict[str, Any]]:
    return [msgspec.json.decode(row.payload) for row in rows if row.type == kind]


def _holds(rows: Iterable[Row], kind: str) -> Counter[tuple[object, ...]]:
    """What one book says of holds. A hold without its reservation is none: a crash came between,
    and the hold expires."""
    told = ((row, msgspec.json.decode(row.payload)) for row in rows if row.type == kind)
    return Counter(_hold_fact(row, event) for row, event in told if not event.get("beside"))


def _hold_fact(row: Row, event: dict[str, Any]) -> tuple[object, ...]:
    address = row.address
    if row.type == "SeatHeld":
        whose = event["reservation"], event["user"], address.key, int(address.name)
        return *whose, event["price"], event["held_at_ms"], event["until_ms"]
    whose = event["id"], address.key, event["schedule"], event["seat"]
    return *whose, event["price"], event["created_ms"], event["until_ms"]


def audited(row: Row) -> JournalRow:
    """The row as the audit reads it from the database."""
    text = row.address.text
    return (
        row.shard,
        row.seq,
        row.epoch,
        stable_hash(text),
        row.at_ms,
        row.version,
        text,
        row.type,
        row.payload.decode(),
    )


def violations(found: Findings) -> list[tuple[str, str]]:
    """What the audit has found since the last call."""
    named = found._named
    if not any(named.values()):
        return []
    told = [(check, str(one)) for check, those in named.items() for one in those]
    for those in named.values():
        those.clear()
    return told
