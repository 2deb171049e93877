"""A queue and a view that is told of each of its events, without a runtime."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from booking.calls import QueueToken, TokenError
from booking.queue.domain.events import Policy
from booking.queue.domain.line import Line, evolve_queue, place_of
from booking.queue.domain.queue import Admit, Join, QueueCommand, decide_queue, queue_next_wake
from booking.queue.view import QueueStatus, QueueView
from booking.seats.view import Stock

T0 = 1_800_000_000_000
POLICY = Policy(max_active=2, admit_per_interval=0, active_ms=5_000)


def token(user: str, number: int, issued_ms: int = T0) -> QueueToken:
    return QueueToken(user, "main", number, issued_ms)


class Followed:
    """A line and a view that is told of each event."""

    def __init__(
        self,
        policy: Policy = POLICY,
        idle_ms: int = 120_000,
        stock: Callable[[str, int], Stock | None] = lambda queue, now_ms: None,
    ) -> None:
        self.line, self.policy, self.now_ms = Line(), policy, T0
        self.stock = stock
        self.view = self.new_view(idle_ms)
        self.numbers: dict[int, str] = {}
        self.issued_ms: dict[int, int] = {}

    def new_view(self, idle_ms: int = 120_000) -> QueueView:
        return QueueView(
            "main",
            self.policy,
            now_ms=lambda: self.now_ms,
            idle_ms=idle_ms,
            draw=lambda: 0.5,
            stock=self.stock,
        )

    def tell(self, command: QueueCommand) -> None:
        decided = decide_queue(self.line, command, self.policy, self.now_ms)
        for event in decided.events:
            self.line = evolve_queue(self.line, event)
        self.view.apply(decided.events)

    def wake(self) -> None:
        """Let time pass until the queue's timer fires, and let it."""
        wake_ms = queue_next_wake(self.line, self.policy)
        assert wake_ms is not None
        self.now_ms = max(self.now_ms, wake_ms)
        self.tell(Admit())

    def seen(self, user: str) -> QueueStatus:
        place = place_of(self.line, user)
        assert place is not None
        return self.view.status(token(user, place.number, place.joined_ms), "t", self.now_ms)

    def join(self, user: str) -> int:
        self.tell(Join(user))
        self.numbers[self.line.last_number] = user
        self.issued_ms[self.line.last_number] = self.now_ms
        return self.line.last_number

    def check(self, view: QueueView) -> None:
        for number, user in self.numbers.items():
            place = place_of(self.line, user)
            current = place is not None and place.number == number
            over = current and place is not None and 0 < place.until_ms <= self.now_ms
            due = view.awaited_since(number)
            assert (due is None) == (not current), "who is gone is awaited no more"
            if not current or over:
                with pytest.raises(TokenError, match="token_expired"):
                    view.status(token(user, number, self.issued_ms[number]), "t", self.now_ms)
                assert not view.is_active(token(user, number, self.issued_ms[number]), self.now_ms)
                continue
            assert place is not None
            seen = view.status(token(user, number, self.issued_ms[number]), "t", self.now_ms)
            assert (seen.number, seen.active) == (number, place.until_ms > 0)
            assert seen.expires_ms == place.until_ms
            assert seen.ahead == (0 if seen.active else place.ahead)
            assert seen.position == (0 if seen.active else place.ahead + 1)
