"""A queue's journal with everything in it that can happen to a queue, really decided."""

from __future__ import annotations

from actors.address import Address
from booking.queue.domain.events import Policy
from booking.queue.domain.line import Line
from booking.queue.domain.queue import (
    Admit,
    ChangePolicy,
    DrawPlaces,
    DropSilent,
    Join,
    Leave,
    QueueCommand,
    UseToken,
    decide_queue,
    queue_next_wake,
)
from tests.support.journals import LONG_AGO_MS, JournalBuilder
from tests.support.lines import user_of

MAIN = Address("queue", "main")
RULES = Policy(max_active=12, admit_per_interval=120, active_ms=5_000)


class Sale:
    """A queue that is really decided, and what it would have journalled."""

    def __init__(self) -> None:
        self.book = JournalBuilder()
        self.line = Line()

    def tell(self, command: QueueCommand, after_ms: int = 0) -> None:
        self.book.now_ms += after_ms
        decided = decide_queue(self.line, command, RULES, self.book.now_ms)
        for event in decided.events:
            self.book.add(MAIN, event)
        self.line = decided.line

    def serve(self, for_ms: int) -> None:
        """The timer, until then."""
        end_ms = self.book.now_ms + for_ms
        while (wake_ms := queue_next_wake(self.line, RULES)) is not None and wake_ms <= end_ms:
            self.tell(Admit(), max(0, wake_ms - self.book.now_ms))
        self.book.now_ms = end_ms

    def user(self, nth: int) -> tuple[str, int]:
        member = list(self.line.members)[nth]
        return member.user, member.number


def a_sale() -> JournalBuilder:
    """Everything that can happen to a queue: an opening, a pause, several rules, departures."""
    sale = Sale()
    for n in range(5):
        sale.tell(Join(f"early-{n}"))
    sale.tell(ChangePolicy("eve", opens_ms=LONG_AGO_MS + 60_000), 100)
    for n in range(60):
        sale.tell(Join(f"fan-{n}"), 10)
    sale.tell(Leave(*sale.user(30)))
    sale.tell(DropSilent((20, 21, 22)))
    sale.book.now_ms = LONG_AGO_MS + 60_000
    sale.tell(Join("late"))
    sale.tell(DrawPlaces("a seed"), 70)
    sale.serve(8_000)
    _, number = sale.line.active.first() or (0, 0)
    sale.tell(UseToken(user_of(sale.line, number), number))
    sale.tell(ChangePolicy("eve", mode="paused"))
    sale.serve(3_000)
    sale.tell(ChangePolicy("eve", mode="open", admit_per_interval=30, interval_ms=10_000))
    sale.serve(9_000)
    sale.tell(ChangePolicy("eve", max_active=3, admit_per_interval=0))
    sale.serve(60_000)
    return sale.book
