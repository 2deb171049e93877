"""What has happened since the start of this instance, as it is counted for ``/metrics``.

Counted from committed events, so a number here is a fact of the journal and never a wish. No user
appears in it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from booking.accounts.domain.account import Charged, PaymentCompleted, PaymentRefunded
from booking.queue.domain.queue import Admitted, Entered, Joined, Left, TokensExpired, TokenUsed
from booking.seats.domain.seat import HoldExpired, HoldReleased, SeatHeld, SeatSold


class Tallies:
    """Counts committed events."""

    def __init__(self) -> None:
        self._seen: defaultdict[type, int] = defaultdict(int)
        self._admitted = 0
        self._expired = 0
        self._charged_won = 0
        self._paid_won = 0

    def note(self, events: Sequence[Any]) -> None:
        """Called with each decision's events, in the journal's order."""
        for event in events:
            kind = type(event)
            self._seen[kind] += 1
            if kind is Admitted:
                self._admitted += event.count
            elif kind is Entered:
                self._admitted += 1
            elif kind is TokensExpired:
                self._expired += len(event.numbers)
            elif kind is Charged:
                self._charged_won += event.amount
            elif kind is PaymentCompleted:
                self._paid_won += event.amount

    def counts(self) -> Mapping[str, float]:
        """By the names that ``/metrics`` has, without their prefix."""
        seen = self._seen
        return {
            "queue_joins_total": seen[Joined] + seen[Entered],
            "queue_admissions_total": self._admitted,
            "queue_leaves_total": seen[Left],
            "queue_tokens_used_total": seen[TokenUsed],
            "queue_tokens_expired_total": self._expired,
            "seats_held_total": seen[SeatHeld],
            "seats_released_total": seen[HoldReleased],
            "seats_expired_total": seen[HoldExpired],
            "seats_sold_total": seen[SeatSold],
            "payments_completed_total": seen[PaymentCompleted],
            "payments_refunded_total": seen[PaymentRefunded],
            "charges_total": seen[Charged],
            "charged_won_total": self._charged_won,
            "paid_won_total": self._paid_won,
        }
