"""One date, some accounts and one queue, wired together without a runtime, and a second set of
books over their events that knows nothing of how decisions are made.

The books check, event by event and by the invariants' numbers:

- I1 a seat is held or sold to at most one user, a sold seat never changes hands;
- I2 a balance is charges - payments + refunds and never negative;
- I5 admission is first in, first out, never over the limit, never over the rate in any minute;
- I6 a hold ends exactly once, and not by a sale when its time is over;
- I7 a payment ends completed or refunded, once, and completed only with its seat sold.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from booking.domain import account, account_rules, ledger, queue, seat
from booking.domain.decision import Rejected
from tests.support.scenario import T0, fold

HOLD_MS = 60_000
SEATS = {1: 100, 2: 250, 3: 400}


class Books:
    """Recomputed from events alone."""

    def __init__(self) -> None:
        self.holds: dict[int, tuple[str, str, int]] = {}
        self.sales: dict[int, tuple[str, str, str]] = {}
        self.money: Counter[str] = Counter()
        self.charged = 0
        self.in_flight: dict[str, tuple[str, int]] = {}
        self.settled: dict[str, str] = {}
        self.paid_amount = 0
        self.waiting: list[int] = []
        self.active: dict[int, int] = {}
        self.admissions: list[int] = []
        """The time of each single admission."""

    def seat(self, number: int, event: Any, now_ms: int) -> None:
        if isinstance(event, seat.SeatHeld):
            assert number not in self.holds, "I1"
            assert number not in self.sales, "I1"
            self.holds[number] = (event.reservation, event.user, event.until_ms)
            return
        reservation, user, until_ms = self.holds.pop(number)  # I6: a KeyError is a second end
        assert (reservation, user) == (event.reservation, event.user), "I6"
        assert (now_ms >= until_ms) == isinstance(event, seat.HoldExpired), "I6"
        if isinstance(event, seat.SeatSold):
            assert event.payment in self.in_flight, "I7"
            self.sales[number] = (reservation, user, event.payment)

    def account(self, user: str, event: Any) -> None:
        if isinstance(event, account.Charged):
            self.money[user] += event.amount
            self.charged += event.amount
        elif isinstance(event, account.PaymentStarted):
            assert event.id not in self.in_flight, "I7"
            assert event.id not in self.settled, "I7"
            self.money[user] -= event.amount
            self.in_flight[event.id] = (user, event.amount)
        elif isinstance(event, account.PaymentCompleted | account.PaymentRefunded):
            assert self.in_flight.pop(event.id) == (user, event.amount), "I7"
            sold = event.id in {payment for _, _, payment in self.sales.values()}
            assert sold == isinstance(event, account.PaymentCompleted), "I7"
            self.settled[event.id] = type(event).__name__
            if sold:
                self.paid_amount += event.amount
            else:
                self.money[user] += event.amount
        assert self.money[user] >= 0, "I2"

    def queue(self, event: Any, policy: queue.Policy, now_ms: int) -> None:
        if isinstance(event, queue.Joined):
            self.waiting.append(event.number)
        elif isinstance(event, queue.Admitted):
            admitted = self.waiting[: event.count]
            del self.waiting[: event.count]
            assert (admitted[0], admitted[-1]) == (event.first, event.last), "I5 order"
            self.active |= dict.fromkeys(admitted, event.until_ms)
            assert len(self.active) <= policy.max_active, "I5 limit"
            self.admissions += [now_ms] * event.count
            last_minute = sum(at_ms > now_ms - 60_000 for at_ms in self.admissions)
            assert last_minute <= (policy.admit_per_minute or last_minute), "I5 rate"
        elif isinstance(event, queue.TokensExpired):
            for number in event.numbers:
                assert self.active.pop(number) <= now_ms, "I5 ended before its time"
        elif event.number in self.active:
            assert self.active.pop(event.number) > now_ms, "I8 used after its time"
        else:
            assert isinstance(event, queue.Left)
            self.waiting.remove(event.number)


class World:
    """The entities, each changed only through its own decide and evolve."""

    def __init__(self, users: list[str]) -> None:
        self.now_ms = T0
        self.seats: dict[int, seat.SeatState] = dict.fromkeys(SEATS, seat.FREE)
        self.ledger = ledger.EMPTY_LEDGER
        self.accounts = {user: account.Account(user=user) for user in users}
        self.line = queue.Line()
        self.policy = queue.Policy(max_active=2, admit_per_minute=2, active_ms=150_000)
        self.books = Books()

    def ask_seat(self, number: int, command: seat.SeatCommand) -> seat.SeatReply:
        terms = seat.Terms(SEATS[number], T0, T0 + 10**9, HOLD_MS, 2)
        decided = seat.decide_seat(
            self.seats[number], self.ledger, number, command, terms, self.now_ms
        )
        self._seat_events([(number, event) for event in decided.seat_events])
        self.ledger = fold(ledger.evolve_ledger, self.ledger, decided.ledger_events)
        return decided.reply

    def ledger_timer(self) -> None:
        due = ledger.due_seats(self.ledger, self.now_ms, 2)
        decided = seat.expire_due(self.ledger, {n: self.seats[n] for n in due}, self.now_ms)
        self._seat_events(decided.seat_events)
        self.ledger = fold(ledger.evolve_ledger, self.ledger, decided.ledger_events)

    def _seat_events(self, events: Any) -> None:
        for number, event in events:
            self.books.seat(number, event, self.now_ms)
            self.seats[number] = seat.evolve_seat(self.seats[number], event)

    def ask_account(
        self, user: str, command: account.AccountCommand
    ) -> account_rules.AccountDecision:
        decided = account_rules.decide_account(self.accounts[user], command, self.now_ms)
        for event in decided.events:
            self.books.account(user, event)
        self.accounts[user] = fold(
            account_rules.evolve_account, self.accounts[user], decided.events
        )
        return decided

    def ask_queue(self, command: queue.QueueCommand) -> queue.QueueReply:
        decided = queue.decide_queue(self.line, command, self.policy, self.now_ms)
        for event in decided.events:
            self.books.queue(event, self.policy, self.now_ms)
        self.line = fold(queue.evolve_queue, self.line, decided.events)
        assert decided.state == self.line, "deciding and evolving differ"
        wake_ms = queue.queue_next_wake(self.line, self.policy)
        assert wake_ms is None or wake_ms > self.now_ms, "somebody was left standing"
        return decided.reply

    def saga_step(
        self, user: str, payment: str, answers: list[Any]
    ) -> account.SettlePayment | None:
        """The payment's next step: asks and notes the answer, or gives the last command."""
        state = self.accounts[user]
        pending = state.pending[payment]
        reservation = state.reservations[pending.reservation]
        if not answers:
            confirm = seat.ConfirmSale(user, reservation.id, payment)
            answers.append(self.ask_seat(reservation.seat, confirm))
        elif isinstance(answers[0], Rejected):
            return account.SettlePayment(payment, answers[0].code, answers[0].detail)
        elif len(answers) == 1 and account.ends_token(state, payment, self.now_ms):
            answers.append(self.ask_queue(queue.UseToken(user, pending.number)))
        else:
            return account.SettlePayment(payment)
        return None

    def check(self) -> None:
        """The entities say what the books say."""
        books = self.books
        for number, state in self.seats.items():
            hold, sale = books.holds.get(number), books.sales.get(number)
            match state:
                case seat.Free():
                    assert (hold, sale) == (None, None), "I1"
                case seat.Held(reservation, user, until_ms):
                    assert (hold, sale) == ((reservation, user, until_ms), None), "I1"
                    assert self.ledger.holds[number] == ledger.LedgerHold(*hold)
                case seat.Sold(reservation, user, payment):
                    assert (hold, sale) == (None, (reservation, user, payment)), "I1"
        assert self.ledger.holds.keys() == books.holds.keys()
        assert self.ledger.sold == books.sales.keys()
        for user, state in self.accounts.items():
            assert state.balance == books.money[user] >= 0, "I2"
            mine = {p: amount for p, (who, amount) in books.in_flight.items() if who == user}
            assert {p.id: p.amount for p in state.pending.values()} == mine, "I7"
        in_flight = sum(amount for _, amount in books.in_flight.values())
        balances = sum(state.balance for state in self.accounts.values())
        assert balances + in_flight + books.paid_amount == books.charged, "I2"
        assert dict(self.line.active_numbers()) == books.active, "I5"
        assert self.line.waiting == len(books.waiting), "I5"
