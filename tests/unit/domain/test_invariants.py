"""Random commands on a date, three accounts and a queue, with a moving clock and sagas that crash
between any two steps. What is checked is in :mod:`tests.support.world`."""

from collections import defaultdict
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec.structs import replace

from booking.accounts.domain import account
from booking.queue.domain import events, queue
from booking.seats.domain import seat
from tests.support.world import COOL_DOWN_MS, HOLD_MS, SEATS, World

USERS = ["ann", "bob", "cid"]
users = st.sampled_from(USERS)
crowd = st.sampled_from([*USERS, *(f"fan{n}" for n in range(6))])
seats = st.sampled_from(sorted(SEATS))


class Booking(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.world = World(USERS)
        self.answers: dict[str, list[Any]] = defaultdict(list)
        self.last_settle: dict[str, Any] = {}
        self.reservations: dict[str, list[tuple[int, str]]] = defaultdict(list)
        self.named = 0

    def name(self, prefix: str) -> str:
        self.named += 1
        return f"{prefix}{self.named}"

    # -- time and timers ---------------------------------------------------------------------------

    @rule(
        ms=st.one_of(
            st.integers(0, 2_000), st.sampled_from([HOLD_MS - 1, HOLD_MS, COOL_DOWN_MS, 150_000])
        )
    )
    def time_passes(self, ms: int) -> None:
        self.world.now_ms += ms

    @rule()
    def the_ledgers_timer_fires(self) -> None:
        self.world.ledger_timer()

    @rule()
    def the_queues_timer_fires(self) -> None:
        self.world.ask_queue(queue.Admit())

    # -- the queue ---------------------------------------------------------------------------------

    @rule(user=crowd, attempt=st.sampled_from(["", "try"]))
    def join(self, user: str, attempt: str) -> None:
        self.world.ask_queue(queue.Join(user, attempt))

    @rule(user=crowd, shift=st.sampled_from([0, 0, 0, -1, 1]), uses=st.booleans())
    def leave(self, user: str, shift: int, uses: bool) -> None:
        member = self.world.line.members.get(user)
        number = (member.number if member else 1) + shift
        self.world.ask_queue((queue.UseToken if uses else queue.Leave)(user, number))

    @rule(max_active=st.sampled_from([0, 2, 4]), rate=st.sampled_from([0, 2, 2, 6]))
    def the_settings_change(self, max_active: int, rate: int) -> None:
        self.world.policy = replace(
            self.world.policy, max_active=max_active, admit_per_interval=rate
        )
        self.world.ask_queue(queue.Admit())

    @rule(
        mode=st.sampled_from([None, "open", "open", "paused", "queue_all"]),
        max_active=st.sampled_from([None, 0, 2, 4]),
        rate=st.sampled_from([None, 0, 2, 6]),
        interval_ms=st.sampled_from([None, None, 60_000, 10_000]),
    )
    def an_operator_changes_the_rules(
        self,
        mode: events.Mode | None,
        max_active: int | None,
        rate: int | None,
        interval_ms: int | None,
    ) -> None:
        before = self.world.line
        change = queue.ChangePolicy("op", mode, max_active, rate, interval_ms)
        reply = self.world.ask_queue(change)
        if isinstance(reply, queue.RulesRefused):
            assert self.world.line.policy in (before.policy, self.world.policy)
        else:
            assert isinstance(reply, queue.RulesSet)
            assert reply.policy == self.world.line.policy

    @rule(in_ms=st.sampled_from([0, 1_000, 30_000]))
    def an_opening_is_scheduled_or_called_off(self, in_ms: int) -> None:
        opens_ms = self.world.now_ms + in_ms if in_ms else 0
        self.world.ask_queue(queue.ChangePolicy("op", opens_ms=opens_ms))

    @rule(seed=st.sampled_from(["a", "b", "c", "d"]))
    def somebody_draws(self, seed: str) -> None:
        self.world.ask_queue(queue.DrawPlaces(seed))

    @rule(seed=st.sampled_from(["a", "b", "c", "d"]), ms=st.integers(0, 5))
    def an_opening_comes(self, seed: str, ms: int) -> None:
        policy = self.world.line.policy
        if policy is not None and self.world.line.gathering_from:
            self.world.now_ms = max(self.world.now_ms, policy.opens_ms + ms)
            self.world.ask_queue(queue.DrawPlaces(seed))
            assert self.world.line.gathering_from == 0

    @rule(data=st.data())
    def some_go_silent(self, data: st.DataObject) -> None:
        numbers = st.integers(1, self.world.line.last_number + 1)
        self.world.ask_queue(queue.DropSilent(tuple(data.draw(st.lists(numbers, max_size=3)))))

    @precondition(lambda self: self.world.spent)
    @rule()
    def the_queue_hears_of_a_used_token(self) -> None:
        user, number = self.world.spent.pop(0)
        self.world.ask_queue(queue.UseToken(user, number))
        member = self.world.line.members.get(user)
        assert member is None or member.number != number, "I8"

    # -- seats and money ---------------------------------------------------------------------------

    @rule(user=users, number=seats, noted=st.booleans())
    def hold(self, user: str, number: int, noted: bool) -> None:
        self._hold(user, number, self.name("r"), noted)

    @precondition(lambda self: any(self.reservations.values()))
    @rule(data=st.data())
    def hold_again(self, data: st.DataObject) -> None:
        user = data.draw(st.sampled_from([u for u in USERS if self.reservations[u]]))
        number, reservation = data.draw(st.sampled_from(self.reservations[user]))
        self._hold(user, number, reservation, True)

    def _hold(self, user: str, number: int, reservation: str, noted: bool) -> None:
        reply = self.world.ask_seat(number, seat.HoldSeat(user, reservation))
        self.reservations[user].append((number, reservation))
        if isinstance(reply, seat.HoldGranted) and noted:
            record = account.Reservation(
                reservation, "s", number, reply.price, reply.held_at_ms, reply.until_ms
            )
            self.world.ask_account(user, account.NoteReservation(record))

    @precondition(lambda self: any(self.reservations.values()))
    @rule(data=st.data(), user=users, noted=st.booleans())
    def release(self, data: st.DataObject, user: str, noted: bool) -> None:
        owner = data.draw(st.sampled_from([u for u in USERS if self.reservations[u]]))
        number, reservation = data.draw(st.sampled_from(self.reservations[owner]))
        self.world.ask_seat(number, seat.ReleaseSeat(user, reservation))
        if noted:
            self.world.ask_account(user, account.NoteCancellation(reservation))

    @rule(user=users, amount=st.integers(1, 500))
    def charge(self, user: str, amount: int) -> None:
        self.world.ask_account(user, account.Charge(self.name("c"), amount))

    @rule(user=users, number=seats)
    def pay(self, user: str, number: int) -> None:
        member = self.world.line.members.get(user)
        token = member.number if member else 0
        self.world.ask_account(user, account.Pay(self.name("p"), "s", number, "main", token))

    @rule(user=users, number=seats)
    def hold_and_pay(self, user: str, number: int) -> None:
        self.charge(user, 500)
        self.hold(user, number, True)
        self.pay(user, number)

    # -- sagas -------------------------------------------------------------------------------------

    def under_way(self) -> list[tuple[str, str]]:
        return [
            (user, payment)
            for user, state in self.world.accounts.items()
            for payment in state.pending
        ]

    @precondition(lambda self: self.under_way())
    @rule(data=st.data(), lost=st.booleans())
    def a_payment_takes_its_next_step(self, data: st.DataObject, lost: bool) -> None:
        user, payment = data.draw(st.sampled_from(self.under_way()))
        self._step(user, payment, lost)

    def _step(self, user: str, payment: str, lost: bool) -> None:
        settle = self.world.saga_step(user, payment, self.answers[payment])
        if lost:
            self.answers[payment].clear()
        elif settle is not None:
            decided = self.world.ask_account(user, settle)
            assert decided.settles == payment
            self.last_settle[user] = settle

    @precondition(lambda self: self.last_settle)
    @rule(data=st.data())
    def a_settled_payment_hears_its_last_step_again(self, data: st.DataObject) -> None:
        user = data.draw(st.sampled_from(sorted(self.last_settle)))
        decided = self.world.ask_account(user, self.last_settle[user])
        assert (decided.events, decided.settles) == ((), None)

    # -- checks ------------------------------------------------------------------------------------

    @invariant()
    def the_books_agree(self) -> None:
        self.world.check()

    def teardown(self) -> None:
        """However it went, every payment ends and every hold too."""
        for _ in range(3):
            for user, payment in self.under_way():
                self._step(user, payment, lost=False)
        assert self.world.books.in_flight == {}, "I7"
        self.world.now_ms += HOLD_MS
        for _ in range(2):
            self.world.ledger_timer()
        assert self.world.books.holds == {}, "I6"
        self.world.check()


Booking.TestCase.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestBooking = Booking.TestCase
