"""Seats and the ledgers of their dates: checks I1 and I6 over one shard.

Both books tell the same facts of a seat in the same order, each row of one answered by a row of the
other. Whichever is ahead waits in :attr:`_Seat.lead` for the other to say the same.
"""

from __future__ import annotations

from booking.audit import events as e
from booking.audit.matching import Matching, digest
from booking.audit.report import Findings

_Fact = tuple[str | int, ...]


class _Seat:
    __slots__ = (
        "agrees",
        "counted_for",
        "lead",
        "leader",
        "let_go_by",
        "number",
        "price",
        "reservation",
        "rested_ms",
        "schedule",
        "sold",
        "until_ms",
        "user",
    )

    def __init__(self, schedule: str, number: str) -> None:
        self.schedule, self.number = schedule, number
        self.reservation = self.user = ""
        self.until_ms = self.price = 0
        self.sold = False
        self.lead: list[_Fact] = []
        self.leader = ""
        self.agrees = True
        # By the ledger: who holds it or held it last, who let it go, and when it has rested.
        self.counted_for = self.let_go_by = ""
        self.rested_ms = 0


class SeatBook:
    """The seats of one shard. ``holds`` pairs holds with the accounts' reservations, ``sales``
    sales with their completed payments."""

    def __init__(self, shard: int, found: Findings, holds: Matching, sales: Matching) -> None:
        self._shard, self._found = shard, found
        self._holds, self._sales = holds, sales
        self._seats: dict[str, _Seat] = {}

    # -- the seat's own book ----------------------------------------------------------------------

    def held(self, entity: str, event: e.SeatHeld, seq: int, at_ms: int) -> None:
        seat = self._seat(entity)
        self._found.checked["I6"] += 1
        if seat.sold:
            self._wrong("I1", f"held by {event.user} after it was sold", seq, entity)
        elif seat.reservation:
            self._wrong("I1", f"held by {event.user} while {seat.user} holds it", seq, entity)
        if event.until_ms <= at_ms:
            self._wrong("I6", "the hold ends before it begins", seq, entity)
        seat.reservation, seat.user = event.reservation, event.user
        seat.until_ms, seat.price = event.until_ms, event.price
        fact = digest(
            f"{event.reservation} {event.user} {seat.schedule} {seat.number} {event.price}"
            f" {event.held_at_ms} {event.until_ms}"
        )
        self._holds.first(f"{event.reservation} {event.until_ms}", fact, at_ms)
        self._tell(seat, "seat", ("held", event.reservation, event.user, event.until_ms), seq)

    def released(self, entity: str, event: e.HoldReleased, seq: int, at_ms: int) -> None:
        self._end(entity, event.reservation, event.user, seq, "released")

    def expired(self, entity: str, event: e.HoldExpired, seq: int, at_ms: int) -> None:
        until_ms = self._seat(entity).until_ms
        if at_ms < until_ms:
            message = f"hold expired at {at_ms}, before its end at {until_ms}"
            self._wrong("I6", message, seq, entity)
        self._end(entity, event.reservation, event.user, seq, "expired")

    def sold(self, entity: str, event: e.SeatSold, seq: int, at_ms: int) -> None:
        seat = self._seat(entity)
        if seat.sold:
            self._wrong("I1", f"sold to {event.user} after it was sold", seq, entity)
        elif at_ms >= seat.until_ms:
            message = f"sold at {at_ms}, when the hold had ended at {seat.until_ms}"
            self._wrong("I6", message, seq, entity)
        if event.price != seat.price:
            message = f"sold for {event.price}, held for {seat.price}"
            self._wrong("I7", message, seq, entity)
        self._end(entity, event.reservation, event.user, seq, "sold")
        seat.sold = True
        fact = digest(
            f"{event.payment} {event.user} {seat.schedule} {seat.number} {event.price}"
            f" {event.reservation}"
        )
        self._sales.first(event.payment, fact, at_ms)

    def _end(self, entity: str, reservation: str, user: str, seq: int, how: str) -> None:
        """The one way a hold ends; each of its ends must find it open."""
        seat = self._seat(entity)
        if not seat.reservation or seat.reservation != reservation:
            held = seat.reservation or "none"
            message = f"hold {reservation} {how}, but the open hold is {held}"
            self._wrong("I6", message, seq, entity)
        elif seat.user != user:
            self._wrong("I1", f"{how} for {user}, but held by {seat.user}", seq, entity)
        seat.reservation = seat.user = ""
        self._tell(seat, "seat", ("sold" if how == "sold" else "ended", reservation), seq)

    # -- the ledger's book ------------------------------------------------------------------------

    def hold_counted(self, entity: str, event: e.HoldCounted, seq: int, at_ms: int) -> None:
        seat = self._seat_of(entity, event.seat)
        if event.user == seat.let_go_by and at_ms < seat.rested_ms:
            message = f"{event.user} holds seat {event.seat} again before {seat.rested_ms}"
            self._wrong("I6", message, seq, entity)
        seat.counted_for, seat.let_go_by = event.user, ""
        fact = ("held", event.reservation, event.user, event.until_ms)
        self._tell(seat, "ledger", fact, seq)

    def hold_uncounted(self, entity: str, event: e.HoldUncounted, seq: int, at_ms: int) -> None:
        seat = self._seat_of(entity, event.seat)
        if event.rest_ms:
            if event.ended_ms != at_ms:
                message = (
                    f"seat {event.seat} rests from {event.ended_ms}, its hold ended at {at_ms}"
                )
                self._wrong("I6", message, seq, entity)
            seat.let_go_by, seat.rested_ms = seat.counted_for, event.ended_ms + event.rest_ms
        self._tell(seat, "ledger", ("ended", event.reservation), seq)

    def sale_counted(self, entity: str, event: e.SaleCounted, seq: int, at_ms: int) -> None:
        self._tell(self._seat_of(entity, event.seat), "ledger", ("sold", event.reservation), seq)

    # -- both -------------------------------------------------------------------------------------

    def close(self) -> None:
        """All rows of the shard have been seen."""
        self._found.checked["I1"] += len(self._seats)
        for entity, seat in self._seats.items():
            if seat.agrees and seat.lead:
                message = f"the {seat.leader} says {seat.lead[0]}, the other book does not"
                self._wrong("I1", message, 0, entity)

    def _tell(self, seat: _Seat, by: str, fact: _Fact, seq: int) -> None:
        if not seat.lead or seat.leader == by:
            seat.leader = by
            seat.lead.append(fact)
            return
        # One or two facts wait here, those of one decision: taking the first of a list is cheap.
        other = seat.lead.pop(0)
        if other != fact and seat.agrees:
            # Told once: after a missing row every later pair differs.
            seat.agrees = False
            message = f"the {seat.leader} says {other}, the {by} says {fact}"
            self._wrong("I1", message, seq, f"seat/{seat.schedule}/{seat.number}")

    def _seat(self, entity: str) -> _Seat:
        seat = self._seats.get(entity)
        if seat is None:
            _, schedule, number = entity.split("/")
            seat = self._seats[entity] = _Seat(schedule, number)
        return seat

    def _seat_of(self, ledger: str, number: int) -> _Seat:
        return self._seat(f"seat{ledger[6:]}/{number}")

    def _wrong(self, check: str, message: str, seq: int, entity: str) -> None:
        self._found.report(check, message, self._shard, seq, entity)
