"""Given events, when a command, then events and a reply: for each kind of entity."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from booking.accounts.domain.account import (
    Account,
    AccountCommand,
)
from booking.accounts.domain.rules import decide_account, evolve_account
from booking.queue.domain.events import SETTINGS, Policy, PolicyChanged
from booking.queue.domain.line import Line, evolve_queue
from booking.queue.domain.queue import QueueCommand, decide_queue
from booking.seats.domain.ledger import EMPTY_LEDGER, LedgerEvent, evolve_ledger
from booking.seats.domain.seat import (
    FREE,
    SeatCommand,
    SeatEvent,
    SeatState,
    Terms,
    decide_seat,
    evolve_seat,
)

T0 = 1_800_000_000_000
"""When scenarios begin, in ms since the epoch."""


def fold(evolve: Callable[[Any, Any], Any], state: Any, events: Iterable[Any]) -> Any:
    for event in events:
        state = evolve(state, event)
    return state


class Then:
    """The outcome of a decision. ``state`` is the state after its events."""

    def __init__(self, events: tuple[Any, ...], reply: Any, state: Any, decision: Any) -> None:
        self.events = events
        self.reply = reply
        self.state = state
        self.decision = decision

    def then(self, *events: Any, reply: Any) -> Then:
        assert list(self.events) == list(events)
        assert self.reply == reply
        return self

    def refused(self, code: str, *events: Any) -> Then:
        assert getattr(self.reply, "code", self.reply) == code
        assert list(self.events) == list(events)
        return self


class GivenSeat:
    """Seat 7 of a date, and the date's ledger; ledger events may be about other seats."""

    NUMBER = 7

    def __init__(self, *events: SeatEvent | LedgerEvent) -> None:
        self.seat: SeatState = FREE
        self.ledger = EMPTY_LEDGER
        self._apply(events)

    def _apply(self, events: Iterable[Any]) -> None:
        for event in events:
            if hasattr(event, "seat"):
                self.ledger = evolve_ledger(self.ledger, event)
            else:
                self.seat = evolve_seat(self.seat, event)

    def when(
        self, command: SeatCommand, *, at: int, terms: Terms | None = None, cool_down_ms: int = 0
    ) -> Then:
        decided = decide_seat(self.seat, self.ledger, self.NUMBER, command, terms, cool_down_ms, at)
        events = (*decided.seat_events, *decided.ledger_events)
        self._apply(events)
        return Then(events, decided.reply, (self.seat, self.ledger), decided)


class GivenAccount:
    def __init__(self, *events: Any) -> None:
        self.account: Account = fold(evolve_account, Account(user="ann"), events)

    def when(self, command: AccountCommand, *, at: int = T0, key: bytes = b"") -> Then:
        decided = decide_account(self.account, command, at, key, key)
        self.account = fold(evolve_account, self.account, decided.events)
        return Then(decided.events, decided.reply, self.account, decided)


class GivenLine:
    def __init__(self, *events: Any) -> None:
        self.line: Line = fold(evolve_queue, Line(), events)

    def when(self, command: QueueCommand, *, policy: Policy, at: int = T0) -> Then:
        """Under these rules, as if they had been in force already."""
        if self.line.policy != policy:
            self.line = evolve_queue(self.line, PolicyChanged(policy, SETTINGS, at))
        return self.then_when(command, policy=policy, at=at)

    def then_when(self, command: QueueCommand, *, policy: Policy, at: int = T0) -> Then:
        """With these rules in the settings, in force or not."""
        decided = decide_queue(self.line, command, policy, at)
        self.line = fold(evolve_queue, self.line, decided.events)
        assert decided.line == self.line, "deciding and evolving differ"
        return Then(decided.events, decided.reply, self.line, decided)
