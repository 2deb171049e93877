"""Seats and the ledgers of their dates: checks I1 and I6 over one shard.

Both books tell the same facts in the same order; whichever is ahead waits in ``_Lead``.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import msgspec

from booking.audit.events import FactReader, Readers, digest, read
from booking.audit.report import Findings

_Fact = tuple[str | int, ...]


class _Seat(msgspec.Struct):
    schedule: str
    number: str
    reservation: str = ""
    user: str = ""
    until_ms: int = 0
    price: int = 0
    sold: bool = False


class _Place(msgspec.Struct):
    """A seat by the ledger: who holds it or held it last, who let it go, and when it has rested."""

    counted_for: str = ""
    let_go_by: str = ""
    rested_ms: int = 0


class _Lead(msgspec.Struct):
    """What one of the two books has told of a seat and the other has not yet."""

    leader: str
    seq: int
    facts: list[_Fact]


class SeatBook:
    """The seats of one shard. ``holds`` and ``sales`` pair with the accounts' facts."""

    def __init__(self, found: Findings, holds: FactReader, sales: FactReader) -> None:
        self._found, self._holds, self._sales = found, holds, sales
        self._seats: dict[str, _Seat] = {}
        self._ledgers: defaultdict[str, defaultdict[int, _Place]] = defaultdict(_places)
        self.leads: dict[str, _Lead] = {}
        """By seat. Empty after each decision, whose rows are of both books."""
        self._differ: set[str] = set()
        """Seats whose books were told to differ: after a missing row every later pair does."""

    def readers(self) -> dict[str, Readers]:
        """For each kind of entity."""
        rest = {"ended_ms": (int, 0), "rest_ms": (int, 0)}
        seat = (
            read("SeatHeld", self._held, "reservation user", "until_ms price held_at_ms"),
            read("HoldReleased", self._released, "reservation user"),
            read("HoldExpired", self._expired, "reservation user"),
            read("SeatSold", self._sell, "reservation user payment", "price"),
        )
        ledger = (
            read("HoldCounted", self._count_hold, "reservation user", "seat until_ms"),
            read("HoldUncounted", self._uncount_hold, "reservation", "seat", **rest),
            read("SaleCounted", self._count_sale, "reservation", "seat"),
        )
        return {"seat": dict(seat), "ledger": dict(ledger)}

    def _held(self, entity: str, event: Any, at_ms: int) -> None:
        seat = self._seat(entity)
        self._found.checked["I6"] += 1
        if seat.sold:
            self._found.report("I1", f"held by {event.user} after it was sold")
        elif seat.reservation:
            self._found.report("I1", f"held by {event.user} while {seat.user} holds it")
        if event.until_ms <= at_ms:
            self._found.report("I6", "the hold ends before it begins")
        seat.reservation, seat.user = event.reservation, event.user
        seat.until_ms, seat.price = event.until_ms, event.price
        fact = digest(
            f"{event.reservation} {event.user} {seat.schedule} {seat.number} {event.price}"
            f" {event.held_at_ms} {event.until_ms}"
        )
        name = f"{event.reservation} {event.until_ms}"
        self._holds.first(name, fact, at_ms, f"account/{event.user}")
        self._tell(entity, "seat", ("held", event.reservation, event.user, event.until_ms))

    def _released(self, entity: str, event: Any, at_ms: int) -> None:
        self._end(entity, event.reservation, event.user, "released")

    def _expired(self, entity: str, event: Any, at_ms: int) -> None:
        until_ms = self._seat(entity).until_ms
        if at_ms < until_ms:
            self._found.report("I6", f"hold expired at {at_ms}, before its end at {until_ms}")
        self._end(entity, event.reservation, event.user, "expired")

    def _sell(self, entity: str, event: Any, at_ms: int) -> None:
        seat = self._seat(entity)
        if seat.sold:
            self._found.report("I1", f"sold to {event.user} after it was sold")
        elif at_ms >= seat.until_ms:
            self._found.report("I6", f"sold at {at_ms}, when the hold had ended at {seat.until_ms}")
        if event.price != seat.price:
            self._found.report("I7", f"sold for {event.price}, held for {seat.price}")
        self._end(entity, event.reservation, event.user, "sold")
        seat.sold = True
        fact = digest(
            f"{event.payment} {event.user} {seat.schedule} {seat.number} {event.price}"
            f" {event.reservation}"
        )
        name = f"{event.payment} {event.reservation}"
        self._sales.first(name, fact, at_ms, f"account/{event.user}")
        self._found.dates[seat.schedule].sold += event.price

    def _end(self, entity: str, reservation: str, user: str, how: str) -> None:
        """The one way a hold ends; each of its ends must find it open."""
        seat = self._seat(entity)
        if not seat.reservation or seat.reservation != reservation:
            held = seat.reservation or "none"
            self._found.report("I6", f"hold {reservation} {how}, but the open hold is {held}")
        elif seat.user != user:
            self._found.report("I1", f"{how} for {user}, but held by {seat.user}")
        seat.reservation = seat.user = ""
        self._tell(entity, "seat", ("sold" if how == "sold" else "ended", reservation))

    def _count_hold(self, entity: str, event: Any, at_ms: int) -> None:
        place = self._ledgers[entity][event.seat]
        if event.user == place.let_go_by and at_ms < place.rested_ms:
            message = f"{event.user} holds seat {event.seat} again before {place.rested_ms}"
            self._found.report("I6", message)
        place.counted_for, place.let_go_by = event.user, ""
        fact = ("held", event.reservation, event.user, event.until_ms)
        self._tell(_seat_of(entity, event.seat), "ledger", fact)

    def _uncount_hold(self, entity: str, event: Any, at_ms: int) -> None:
        place = self._ledgers[entity][event.seat]
        if event.rest_ms:
            if event.ended_ms != at_ms:
                message = (
                    f"seat {event.seat} rests from {event.ended_ms}, its hold ended at {at_ms}"
                )
                self._found.report("I6", message)
            place.let_go_by, place.rested_ms = place.counted_for, event.ended_ms + event.rest_ms
        self._tell(_seat_of(entity, event.seat), "ledger", ("ended", event.reservation))

    def _count_sale(self, entity: str, event: Any, at_ms: int) -> None:
        self._tell(_seat_of(entity, event.seat), "ledger", ("sold", event.reservation))

    def close(self) -> None:
        """All rows of the shard have been seen."""
        self._found.checked["I1"] += len(self._seats)
        self.close_leads()

    def close_leads(self) -> None:
        """All rows that belong together have been seen."""
        for entity, lead in self.leads.items():
            if entity not in self._differ:
                message = f"the {lead.leader} says {lead.facts[0]}, the other book does not"
                self._found.report("I1", message, seq=lead.seq, entity=entity)
        self.leads.clear()

    def adopt(self, other: SeatBook, entity: str) -> None:
        """Go on with a seat, or a ledger, as another book knows it."""
        if seat := other._seats.get(entity):
            self._seats[entity] = seat
        if ledger := other._ledgers.get(entity):
            self._ledgers[entity] = ledger

    def forget(self, entity: str) -> None:
        """Drop a seat, or a ledger."""
        self._seats.pop(entity, None)
        self._ledgers.pop(entity, None)

    def _tell(self, seat: str, by: str, fact: _Fact) -> None:
        lead = self.leads.get(seat)
        if lead is None:
            self.leads[seat] = _Lead(by, self._found.seq, [fact])
            return
        if lead.leader == by:
            lead.facts.append(fact)
            return
        # One or two facts wait here, those of one decision: taking the first of a list is cheap.
        other = lead.facts.pop(0)
        if not lead.facts:
            del self.leads[seat]
        if other != fact and seat not in self._differ:
            self._differ.add(seat)
            message = f"the {lead.leader} says {other}, the {by} says {fact}"
            self._found.report("I1", message, entity=seat)

    def _seat(self, entity: str) -> _Seat:
        seat = self._seats.get(entity)
        if seat is None:
            _, schedule, number = entity.split("/")
            seat = self._seats[entity] = _Seat(schedule, number)
        return seat


def _places() -> defaultdict[int, _Place]:
    return defaultdict(_Place)


def _seat_of(ledger: str, number: int) -> str:
    return f"seat{ledger[6:]}/{number}"
