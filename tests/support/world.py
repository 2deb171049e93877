"""One date, some accounts and one queue, wired together without a runtime, and a second set of
books over their events that knows nothing of how decisions are made.

The books check, event by event and by the invariants' numbers:

- I1 a seat is held or sold to at most one user, a sold seat never changes hands;
- I2 a balance is charges - payments + refunds and never negative;
- I5 admission is first in, first out, but for those who are drawn, never before an opening or
  in a pause, never over the limit, never over the rate in any interval;
- I6 a hold ends exactly once, and not by a sale when its time is over; who let a seat go does not
  hold it next before it has rested, and nobody else is refused for that;
- I7 a payment ends completed or refunded, once, and completed only with its seat sold;
- I10 the accounts of the double entry say what the entities say, and sum to zero.
"""

from __future__ import annotations

from collections import Counter
from hashlib import shake_256
from typing import Any

from booking.accounts.domain import account
from booking.accounts.domain import rules as account_rules
from booking.accounts.domain.transfers import transfers
from booking.domain.decision import Code, Rejected
from booking.queue.domain import events, line, queue
from booking.seats.domain import ledger, seat
from tests.support import lines
from tests.support.ledgers import holds, sold
from tests.support.scenario import T0, fold

HOLD_MS = 60_000
COOL_DOWN_MS = 20_000
SEATS = {1: 100, 2: 250, 3: 400}


class Books:
    """Recomputed from events alone."""

    def __init__(self) -> None:
        self.holds: dict[int, tuple[str, str, int]] = {}
        self.held_ms: dict[int, int] = {}
        """Seat to the beginning of its newest hold."""
        self.let_go: dict[int, tuple[str, int]] = {}
        """Free seat to who held it last, and when it has rested from them."""
        self.sales: dict[int, tuple[str, str, str]] = {}
        self.money: Counter[str] = Counter()
        self.entered: Counter[str] = Counter()
        """By account of the double entry."""
        self.charged = 0
        self.in_flight: dict[str, tuple[str, int]] = {}
        self.settled: dict[str, str] = {}
        self.paid_amount = 0
        self.waiting: list[int] = []
        """Numbers in the order in which they are to come in."""
        self.joined: dict[int, int] = {}
        """Number to the time it was given."""
        self.gathering: int | None = None
        self.rules: events.Policy | None = None
        self.ruled_ms = 0
        """Since when the rate in force has been in force."""
        self.active: dict[int, int] = {}
        self.admissions: list[int] = []
        """The time of each single admission."""

    def seat(self, number: int, event: Any, now_ms: int) -> None:
        if isinstance(event, seat.SeatHeld):
            assert number not in self.holds, "I1"
            assert number not in self.sales, "I1"
            assert self.resting_ms(number, event.user, now_ms) == 0, "I6 rest"
            self.let_go.pop(number, None)
            self.holds[number] = (event.reservation, event.user, event.until_ms)
            self.held_ms[number] = now_ms
            return
        reservation, user, until_ms = self.holds.pop(number)  # I6: a KeyError is a second end
        assert (reservation, user) == (event.reservation, event.user), "I6"
        assert (now_ms >= until_ms) == isinstance(event, seat.HoldExpired), "I6"
        if isinstance(event, seat.SeatSold):
            assert event.payment in self.in_flight, "I7"
            self.sales[number] = (reservation, user, event.payment)
            return
        held_ms = min(now_ms, until_ms) - self.held_ms[number]
        cool_down_ms = COOL_DOWN_MS * held_ms // HOLD_MS
        self.let_go[number] = (user, now_ms + (cool_down_ms if cool_down_ms >= 1_000 else 0))

    def resting_ms(self, number: int, user: str, now_ms: int) -> int:
        """For how many whole milliseconds yet the user may not hold this seat."""
        holder, rested_ms = self.let_go.get(number, ("", 0))
        return max(0, rested_ms - now_ms) if holder == user else 0

    def account(self, user: str, event: Any) -> None:
        if isinstance(event, account.ReservationNoted | account.ReservationCancelled):
            return
        for source, target, amount in transfers(user, event):
            self.entered[source] -= amount
            self.entered[target] += amount
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

    def queue_moved(self, event: Any, now_ms: int) -> None:
        if isinstance(event, events.Joined):
            self.waiting.append(event.number)
            self.joined[event.number] = now_ms
        elif isinstance(event, events.Admitted):
            self._admitted(event, now_ms)
        elif isinstance(event, events.Entered):
            assert self.waiting == [], "I5 overtook somebody"
            joined = events.Joined(event.user, event.number, event.at_ms, event.attempt)
            self.queue_moved(joined, now_ms)
            self._admitted(event.admitted, now_ms)
        elif isinstance(event, events.TokensExpired):
            for number in event.numbers:
                assert self.active.pop(number) <= now_ms, "I5 ended before its time"
        elif isinstance(event, events.PolicyChanged):
            self._ruled(event, now_ms)
        elif isinstance(event, events.Drawn):
            self._drawn(event, now_ms)
        elif isinstance(event, events.WentSilent):
            for number in event.numbers:
                if self.active.pop(number, None) is None:
                    self.waiting.remove(number)
        elif event.number in self.active:
            assert self.active.pop(event.number) > now_ms, "I8 used after its time"
        else:
            assert isinstance(event, events.Left)
            self.waiting.remove(event.number)

    def _admitted(self, event: events.Admitted, now_ms: int) -> None:
        rules = self.rules
        assert rules is not None, "I5 admitted without rules"
        assert rules.mode != "paused", "I5 admitted in a pause"
        assert self.gathering is None, "I5 admitted before the opening"
        admitted = self.waiting[: event.count]
        del self.waiting[: event.count]
        assert len(admitted) == event.count, "I5 count"
        self.active |= dict.fromkeys(admitted, event.until_ms)
        assert len(self.active) <= (rules.max_active or len(self.active)), "I5 limit"
        self.admissions += [now_ms] * event.count
        since = max(self.ruled_ms - 1, now_ms - rules.interval_ms)
        recent = sum(at_ms > since for at_ms in self.admissions)
        assert recent <= (rules.admit_per_interval or recent), "I5 rate"

    def _ruled(self, event: events.PolicyChanged, now_ms: int) -> None:
        old, new = self.rules, event.policy
        if old is None or new.interval_ms > old.interval_ms > 60_000:
            self.ruled_ms = now_ms
        if new.opens_ms != (old.opens_ms if old else 0):
            given = max(self.joined, default=0)
            self.gathering = (self.gathering or given + 1) if new.opens_ms else None
        self.rules = new

    def _drawn(self, event: events.Drawn, now_ms: int) -> None:
        """The draw once more, by the words of the documents."""
        assert self.rules is not None
        assert event.first == self.gathering, "I5 draw"
        assert now_ms >= self.rules.opens_ms, "I5 drawn too early"
        early = [n for n, at in self.joined.items() if at < self.rules.opens_ms]
        assert all(n <= event.last or n not in self.waiting for n in early), "I5 left out"
        assert all(self.joined[n] < self.rules.opens_ms for n in [event.last] if n >= event.first)
        stream = shake_256(event.seed.encode()).digest(8 * (event.last - event.first + 1))
        tickets = {event.first + k: (stream[8 * k : 8 * k + 8], k) for k in range(len(stream) // 8)}
        first = [n for n in self.waiting if n < event.first]
        drawn = sorted((n for n in self.waiting if n in tickets), key=tickets.__getitem__)
        self.waiting = first + drawn + [n for n in self.waiting if n > event.last]
        self.gathering = None


class World:
    """The entities, each changed only through its own decide and evolve."""

    def __init__(self, users: list[str]) -> None:
        self.now_ms = T0
        self.seats: dict[int, seat.SeatState] = dict.fromkeys(SEATS, seat.FREE)
        self.ledger = ledger.EMPTY_LEDGER
        self.accounts = {user: account.Account(user=user) for user in users}
        self.line = line.Line()
        self.older: list[tuple[line.Line, lines.Stored]] = []
        self.policy = events.Policy(max_active=2, admit_per_interval=2, active_ms=150_000)
        self.books = Books()
        self.spent: list[tuple[str, int]] = []
        """Tokens that payments have used up, of which the queue has not heard yet."""

    def ask_seat(self, number: int, command: seat.SeatCommand) -> seat.SeatReply:
        terms = seat.Terms(SEATS[number], T0, T0 + 10**9, HOLD_MS, 2)
        decided = seat.decide_seat(
            self.seats[number], self.ledger, number, command, terms, COOL_DOWN_MS, self.now_ms
        )
        self._seat_events([(number, event) for event in decided.seat_events])
        self.ledger = fold(ledger.evolve_ledger, self.ledger, decided.ledger_events)
        self._check_rest(number, command, decided.reply)
        return decided.reply

    def _check_rest(self, number: int, command: seat.SeatCommand, reply: seat.SeatReply) -> None:
        if isinstance(reply, Rejected) and reply.code is Code.HOLD_COOLING_DOWN:
            assert isinstance(command, seat.HoldSeat)
            left_ms = self.books.resting_ms(number, command.user, self.now_ms)
            assert reply.retry_after_ms == left_ms > 0, "I6 refused for a rest that is none"

    def ledger_timer(self) -> None:
        due = ledger.due_seats(self.ledger, self.now_ms, 2)
        seats = {number: self.seats[number] for number in due}
        decided = seat.expire_due(self.ledger, seats, COOL_DOWN_MS, self.now_ms)
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
        before = self.accounts[user].spent
        self.accounts[user] = fold(
            account_rules.evolve_account, self.accounts[user], decided.events
        )
        spent = self.accounts[user].spent
        self.spent += [(user, number) for name, number in spent.items() if name not in before]
        return decided

    def ask_queue(self, command: queue.QueueCommand) -> queue.QueueReply:
        decided = queue.decide_queue(self.line, command, self.policy, self.now_ms)
        for event in decided.events:
            self.books.queue_moved(event, self.now_ms)
        self.line = fold(line.evolve_queue, self.line, decided.events)
        assert decided.line == self.line, "deciding and evolving differ"
        self._check_snapshot()
        wake_ms = queue.queue_next_wake(self.line, self.policy)
        # Where everybody lines up, who has just come is let in by the timer, if only at once.
        lines_up = self.line.policy is not None and self.line.policy.mode == "queue_all"
        assert wake_ms is None or wake_ms > self.now_ms or lines_up, "somebody was left standing"
        return decided.reply

    def _check_snapshot(self) -> None:
        """A line that was taken down and taken up again is the same, and older ones stand."""
        now = lines.stored(self.line)
        assert lines.taken_up(now) == self.line
        assert all(lines.stored(line) == was for line, was in self.older)
        self.older = [*self.older[-3:], (self.line, now)]

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
                    assert ledger.hold_of(self.ledger, number) == ledger.LedgerHold(
                        reservation, user, until_ms
                    )
                case seat.Sold(reservation, user, payment):
                    assert (hold, sale) == (None, (reservation, user, payment)), "I1"
        assert holds(self.ledger).keys() == books.holds.keys()
        assert sold(self.ledger) == books.sales.keys()
        assert (self.ledger.held, self.ledger.sold) == (len(books.holds), len(books.sales))
        for user, owned in self.accounts.items():
            assert owned.balance == books.money[user] >= 0, "I2"
            mine = {p: amount for p, (who, amount) in books.in_flight.items() if who == user}
            assert {p.id: p.amount for p in owned.pending.values()} == mine, "I7"
        in_flight = sum(amount for _, amount in books.in_flight.values())
        balances = sum(owned.balance for owned in self.accounts.values())
        assert balances + in_flight + books.paid_amount == books.charged, "I2"
        entered = {name: n for name, n in books.entered.items() if n}
        expected = {f"wallet/{user}": owned.balance for user, owned in self.accounts.items()}
        expected |= {f"payment/{p}": amount for p, (_, amount) in books.in_flight.items()}
        expected |= {"cash_in": -books.charged, "revenue/s": books.paid_amount}
        assert entered == {name: n for name, n in expected.items() if n}, "I10"
        assert {number: until for until, number in self.line.active} == books.active, "I5"
        assert self.line.waiting == len(books.waiting), "I5"
        if books.gathering is None:
            by_place = sorted(books.waiting, key=self.line.place)
            assert by_place == books.waiting, "I5 order"
            for ahead, number in enumerate(books.waiting):
                place = line.place_of(self.line, lines.user_of(self.line, number))
                assert place is not None
                assert (place.number, place.ahead) == (number, ahead), "I5 place"
