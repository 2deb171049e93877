import pytest
from msgspec.structs import replace

from booking.accounts.domain.account import (
    BALANCE_MAX,
    CHARGE_MAX,
    ENDED_KEPT_MAX,
    Account,
    AccountEvent,
    AccountView,
    Cancelled,
    Charge,
    Charged,
    ChargeDone,
    GetAccount,
    NoteCancellation,
    NoteOutcome,
    NoteReservation,
    OutcomeNoted,
    Pay,
    PaymentCompleted,
    PaymentDone,
    PaymentPending,
    PaymentRefunded,
    PaymentStarted,
    Reservation,
    ReservationCancelled,
    ReservationKept,
    ReservationNoted,
    SettlePayment,
    other_unpaid,
    reservation_status,
    spends_token,
)
from booking.accounts.domain.rules import evolve_account
from booking.domain.decision import BrokenInvariantError, Code, Rejected
from tests.support.scenario import T0, GivenAccount, fold

END = T0 + 300_000
CHARGED = Charged("c1", 1000, 1000)
NOTED = ReservationNoted("r1", "s", 7, 400, T0, END)
OTHER = ReservationNoted("r2", "s", 8, 500, T0, END)
PAY = Pay("p1", "s", 7, "main", 3)
PAY_OTHER = Pay("p2", "s", 8, "main", 3)
STARTED = PaymentStarted("p1", "r1", "s", 7, 400, 600, "main", 3, T0)
OTHER_STARTED = PaymentStarted("p2", "r2", "s", 8, 500, 100, "main", 3, T0)
COMPLETED = PaymentCompleted("p1", "r1", "s", 7, 400, T0)
RESERVATION = Reservation("r1", "s", 7, 400, T0, END)


# -- charge ----------------------------------------------------------------------------------------


def test_a_charge_adds_to_the_balance() -> None:
    GivenAccount(CHARGED).when(Charge("c2", CHARGE_MAX)).then(
        Charged("c2", CHARGE_MAX, CHARGE_MAX + 1000), reply=ChargeDone(CHARGE_MAX + 1000)
    )


@pytest.mark.parametrize("amount", [0, -1, CHARGE_MAX + 1])
def test_an_amount_the_edge_should_have_stopped_is_a_defect(amount: int) -> None:
    with pytest.raises(AssertionError):
        GivenAccount().when(Charge("c1", amount))


def test_a_balance_never_passes_its_limit() -> None:
    given = GivenAccount()
    given.account = Account(balance=BALANCE_MAX - 10)
    given.when(Charge("c1", 11)).refused("balance_limit")
    given.when(Charge("c1", 10)).then(Charged("c1", 10, BALANCE_MAX), reply=ChargeDone(BALANCE_MAX))


def test_a_payment_under_way_keeps_its_room_for_a_refund() -> None:
    given = GivenAccount(CHARGED, NOTED, STARTED)
    given.account = replace(given.account, balance=BALANCE_MAX - 400)
    given.when(Charge("c2", 1)).refused("balance_limit")


# -- reservations ----------------------------------------------------------------------------------


def test_a_reservation_is_noted_once() -> None:
    given = GivenAccount()
    given.when(NoteReservation(RESERVATION)).then(NOTED, reply=ReservationKept(RESERVATION))
    given.when(NoteReservation(RESERVATION)).then(reply=ReservationKept(RESERVATION))


def test_a_later_hold_under_the_same_id_is_noted_again_and_is_the_newest() -> None:
    later = replace(RESERVATION, created_ms=END, until_ms=END + 5)
    given = GivenAccount(NOTED, OTHER)
    given.when(NoteReservation(later), at=END).then(
        ReservationNoted("r1", "s", 7, 400, END, END + 5), reply=ReservationKept(later)
    )
    assert list(given.account.reservations) == ["r2", "r1"]


def test_a_note_that_was_long_on_its_way_does_not_bring_an_old_hold_back() -> None:
    later = replace(RESERVATION, created_ms=END, until_ms=END + 5)
    given = GivenAccount(ReservationNoted("r1", "s", 7, 400, END, END + 5))
    given.when(NoteReservation(RESERVATION), at=END).then(reply=ReservationKept(later))


def test_a_paid_reservation_stays_paid_whatever_is_noted() -> None:
    given = GivenAccount(CHARGED, NOTED, STARTED, COMPLETED)
    paid = given.account.reservations["r1"]
    given.when(NoteReservation(replace(RESERVATION, until_ms=END + 5))).then(
        reply=ReservationKept(paid)
    )


def test_a_reservation_noted_again_keeps_the_payment_under_way() -> None:
    given = GivenAccount(CHARGED, NOTED, STARTED)
    given.when(NoteReservation(replace(RESERVATION, created_ms=END, until_ms=END + 5)), at=END)
    given.when(SettlePayment("p1"), at=END).then(
        COMPLETED, reply=PaymentDone("p1", "r1", "s", 7, 400, T0, token_spent=True)
    )


def test_a_hold_of_the_journal_counts_beside_one_that_may_be_lost() -> None:
    """Whatever the clocks of the two owners said; not the other way round."""
    beside = replace(RESERVATION, created_ms=T0 + 9, until_ms=END + 9, beside=True)
    noted = ReservationNoted("r1", "s", 7, 400, T0 + 9, END + 9, beside=True)
    given = GivenAccount().when(NoteReservation(beside))
    given.then(noted, reply=ReservationKept(beside))
    GivenAccount(noted).when(NoteReservation(RESERVATION)).then(
        NOTED, reply=ReservationKept(RESERVATION)
    )
    late = replace(beside, created_ms=T0 - 9, until_ms=END - 9)
    GivenAccount(NOTED).when(NoteReservation(late)).then(reply=ReservationKept(RESERVATION))


def test_a_token_that_is_being_used_up_reserves_nothing_yet() -> None:
    """Who pays may have been told that it is used up, before the journal says so."""
    given, other = GivenAccount(CHARGED, NOTED, STARTED), Reservation("r2", "s", 8, 500, T0, END)
    asked = given.when(NoteReservation(other, STARTED.queue, STARTED.number))
    asked.refused("payment_in_progress")
    assert asked.reply.retry_after_ms > 0
    other_token = NoteReservation(other, STARTED.queue, STARTED.number + 1)
    given.when(other_token).then(OTHER, reply=ReservationKept(other))


def test_a_reservation_is_cancelled_once() -> None:
    given = GivenAccount(NOTED)
    given.when(NoteCancellation("r1")).then(ReservationCancelled("r1"), reply=Cancelled("r1"))
    given.when(NoteCancellation("r1")).then(reply=Cancelled("r1"))


def test_there_is_nothing_to_cancel_after_the_end() -> None:
    GivenAccount(NOTED).when(NoteCancellation("r1"), at=END).then(reply=Cancelled("r1"))


def test_what_is_unknown_paid_or_being_paid_is_not_cancelled() -> None:
    GivenAccount().when(NoteCancellation("r1")).refused("reservation_not_found")
    being_paid = GivenAccount(CHARGED, NOTED, STARTED)
    being_paid.when(NoteCancellation("r1")).refused("payment_in_progress")
    paid = GivenAccount(CHARGED, NOTED, STARTED, COMPLETED)
    paid.when(NoteCancellation("r1")).refused("already_paid")


def test_a_status_follows_from_facts_and_time() -> None:
    assert reservation_status(RESERVATION, END - 1) == "PENDING"
    assert reservation_status(RESERVATION, END) == "EXPIRED"
    assert reservation_status(replace(RESERVATION, cancelled=True), T0) == "CANCELLED"
    assert reservation_status(replace(RESERVATION, payment="p1"), END) == "PENDING"
    assert reservation_status(replace(RESERVATION, payment="p1", paid=True), END) == "COMPLETED"


def test_only_the_oldest_ended_reservations_are_forgotten() -> None:
    live = ReservationNoted("live", "s", 1, 1, T0, T0 + 10**9)
    many = [
        ReservationNoted(f"old{i}", "s", 2, 1, T0 + i, T0 + i + 1)
        for i in range(ENDED_KEPT_MAX + 50)
    ]
    newest = ReservationNoted("newest", "s", 3, 1, T0 + 10**6, T0 + 10**9)
    kept = list(GivenAccount(live, *many, newest).account.reservations)
    assert kept[0] == "live"
    assert kept[1:-1] == [f"old{i}" for i in range(50, ENDED_KEPT_MAX + 50)]
    assert kept[-1] == "newest"


# -- pay -------------------------------------------------------------------------------------------


def test_a_payment_takes_the_money_and_notes_the_intent_in_one_event() -> None:
    outcome = GivenAccount(CHARGED, NOTED).when(PAY, key=b"k")
    started = replace(STARTED, key_id=b"k", key_fingerprint=b"k")
    outcome.then(started, reply=PaymentPending("p1"))
    assert outcome.decision.awaits == "p1"
    assert outcome.decision.settles is None
    assert outcome.state.balance == 600
    assert list(outcome.state.pending) == ["p1"]
    assert outcome.state.pending["p1"].key_id == b"k"


def test_the_last_millisecond_of_a_hold_can_be_paid_and_the_next_cannot() -> None:
    given = GivenAccount(CHARGED, NOTED)
    given.when(PAY, at=END).refused("hold_expired")
    given.when(PAY, at=END - 1).then(replace(STARTED, at_ms=END - 1), reply=PaymentPending("p1"))


def test_the_exact_price_is_enough_and_one_less_is_not() -> None:
    poor = GivenAccount(Charged("c1", 399, 399), NOTED)
    poor.when(PAY).refused("insufficient_balance")
    assert GivenAccount(Charged("c1", 400, 400), NOTED).when(PAY).state.balance == 0


def test_only_ones_own_live_reservation_is_paid() -> None:
    GivenAccount(CHARGED).when(PAY).refused("reservation_not_found")
    GivenAccount(CHARGED, OTHER).when(PAY).refused("reservation_not_found")
    cancelled = GivenAccount(CHARGED, NOTED, ReservationCancelled("r1"))
    cancelled.when(PAY).refused("reservation_not_found")


def test_a_second_payment_is_refused_during_the_first_and_after() -> None:
    given = GivenAccount(CHARGED, NOTED, STARTED)
    given.when(replace(PAY, payment="p9")).refused("payment_in_progress")
    given.when(SettlePayment("p1"))
    given.when(replace(PAY, payment="p9")).refused("already_paid")


def test_of_several_reservations_of_a_seat_the_live_one_is_paid() -> None:
    cancelled = ReservationNoted("r0", "s", 7, 400, T0, END)
    given = GivenAccount(CHARGED, NOTED, cancelled, ReservationCancelled("r0"))
    assert given.when(PAY).events == (STARTED,)


def test_of_several_ended_reservations_the_newest_says_why() -> None:
    gone = ReservationNoted("r0", "s", 7, 400, T0, END)
    given = GivenAccount(CHARGED, gone, ReservationCancelled("r0"), NOTED)
    given.when(PAY, at=END).refused("hold_expired")


def test_a_paid_reservation_outlasts_later_refusals_of_the_same_seat() -> None:
    later = ReservationNoted("r9", "s", 7, 400, END, END + 1)
    given = GivenAccount(CHARGED, NOTED, STARTED, COMPLETED, later)
    given.when(PAY, at=END + 1).refused("already_paid")


# -- settle ----------------------------------------------------------------------------------------


def test_a_confirmed_payment_completes() -> None:
    outcome = GivenAccount(CHARGED, NOTED, STARTED).when(SettlePayment("p1"))
    outcome.then(COMPLETED, reply=PaymentDone("p1", "r1", "s", 7, 400, T0, token_spent=True))
    assert outcome.decision.settles == "p1"
    assert outcome.state.balance == 600
    assert not outcome.state.pending


def test_a_refused_payment_gives_the_money_back() -> None:
    refused = SettlePayment("p1", Code.HOLD_EXPIRED, "Too late.")
    outcome = GivenAccount(CHARGED, NOTED, STARTED).when(refused)
    outcome.then(
        PaymentRefunded("p1", "r1", 400, 1000, Code.HOLD_EXPIRED, "Too late."),
        reply=Rejected(Code.HOLD_EXPIRED, "Too late."),
    )
    assert outcome.decision.settles == "p1"
    assert outcome.state.balance == 1000
    assert outcome.state.reservations["r1"] == RESERVATION


@pytest.mark.parametrize("refused", [None, Code.HOLD_EXPIRED])
def test_a_repeated_last_step_changes_nothing(refused: Code | None) -> None:
    given = GivenAccount(CHARGED, NOTED, STARTED)
    given.when(SettlePayment("p1", refused))
    for again in (SettlePayment("p1"), SettlePayment("p1", Code.HOLD_EXPIRED)):
        outcome = given.when(again)
        outcome.refused("reservation_not_found")
        assert outcome.decision.settles is None


def test_an_account_shows_its_reservations_newest_first() -> None:
    given = GivenAccount(CHARGED, NOTED, OTHER)
    view = given.when(GetAccount(), at=T0 + 1).reply
    assert view == AccountView(1000, (Reservation("r2", "s", 8, 500, T0, END), RESERVATION), T0 + 1)


def test_a_noted_outcome_comes_back_as_it_is() -> None:
    GivenAccount().when(NoteOutcome(b"x")).then(reply=OutcomeNoted(b"x"))


# -- the end of the token --------------------------------------------------------------------------


def test_the_payment_of_the_only_seat_spends_the_token() -> None:
    given = GivenAccount(CHARGED, NOTED, STARTED)
    given.when(SettlePayment("p1")).then(
        COMPLETED, reply=PaymentDone("p1", "r1", "s", 7, 400, T0, token_spent=True)
    )
    assert given.account.spent == {"main": 3}


def test_a_refused_payment_spends_nothing() -> None:
    given = GivenAccount(CHARGED, NOTED, STARTED)
    given.when(SettlePayment("p1", Code.HOLD_EXPIRED))
    assert given.account.spent == {}


@pytest.mark.parametrize("at", [T0, END])
def test_another_seat_still_held_unpaid_keeps_the_token(at: int) -> None:
    """As of the payment's begin: whoever settles it, and whenever, comes to the same."""
    given = GivenAccount(CHARGED, NOTED, OTHER, STARTED)
    assert [r.id for r in other_unpaid(given.account, "r1", T0)] == ["r2"]
    reply = given.when(SettlePayment("p1"), at=at).reply
    assert isinstance(reply, PaymentDone)
    assert not reply.token_spent
    assert reply.at_ms == T0
    assert given.account.spent == {}


def test_a_seat_cancelled_or_paid_does_not_keep_the_token() -> None:
    cancelled = GivenAccount(CHARGED, NOTED, OTHER, ReservationCancelled("r2"), STARTED)
    assert spends_token(cancelled.account, "r1", T0)
    paid = GivenAccount(CHARGED, NOTED, OTHER)
    paid.when(PAY_OTHER)
    paid.when(SettlePayment("p2"))
    paid.when(PAY)
    assert spends_token(paid.account, "r1", T0)


@pytest.mark.parametrize("first", ["p1", "p2"])
def test_two_payments_at_once_spend_the_token(first: str) -> None:
    """Also when each sees the other under way."""
    given = GivenAccount(CHARGED, NOTED, OTHER)
    given.when(PAY)
    given.when(PAY_OTHER)
    given.when(SettlePayment(first))
    given.when(SettlePayment("p2" if first == "p1" else "p1"))
    assert given.account.spent == {"main": 3}
    assert not given.account.pending


def test_two_payments_at_once_leave_the_token_to_a_third_seat() -> None:
    third = ReservationNoted("r3", "s", 9, 10, T0, END)
    given = GivenAccount(CHARGED, NOTED, OTHER, third)
    given.when(PAY)
    given.when(PAY_OTHER)
    given.when(SettlePayment("p1"))
    given.when(SettlePayment("p2"))
    assert given.account.spent == {}
    given.when(Pay("p3", "s", 9, "main", 3))
    given.when(SettlePayment("p3"))
    assert given.account.spent == {"main": 3}


def test_the_token_spent_last_is_known_for_each_queue() -> None:
    given = GivenAccount(CHARGED, NOTED, STARTED, COMPLETED, OTHER)
    given.when(Pay("p2", "s", 8, "main", 9))
    given.when(SettlePayment("p2"))
    assert given.account.spent == {"main": 9}
    given.when(NoteReservation(Reservation("r3", "s", 9, 10, T0, END)))
    given.when(Pay("p3", "s", 9, "vip", 1))
    given.when(SettlePayment("p3"))
    assert given.account.spent == {"main": 9, "vip": 1}


# -- contradictions --------------------------------------------------------------------------------

PAYING = (CHARGED, NOTED, STARTED)


@pytest.mark.parametrize(
    ("before", "event"),
    [
        ((), Charged("c1", 5, 6)),
        ((), Charged("c1", -5, -5)),
        ((), ReservationCancelled("r1")),
        ((NOTED, ReservationCancelled("r1")), ReservationCancelled("r1")),
        (PAYING, ReservationCancelled("r1")),
        ((*PAYING, COMPLETED), NOTED),
        ((CHARGED,), STARTED),
        ((NOTED,), replace(STARTED, balance=-400)),
        ((CHARGED, NOTED), replace(STARTED, balance=601)),
        (PAYING, replace(STARTED, balance=200)),
        ((CHARGED, NOTED, OTHER, STARTED), replace(OTHER_STARTED, id="p1")),
        ((CHARGED, NOTED), COMPLETED),
        ((*PAYING, COMPLETED), COMPLETED),
        (PAYING, replace(COMPLETED, amount=1)),
        (PAYING, replace(COMPLETED, reservation="r2")),
        (PAYING, PaymentRefunded("p1", "r1", 400, 999, Code.HOLD_EXPIRED, "")),
        ((*PAYING, COMPLETED), PaymentRefunded("p1", "r1", 400, 1000, Code.HOLD_EXPIRED, "")),
    ],
)
def test_an_event_that_cannot_follow_crashes(
    before: tuple[AccountEvent, ...], event: AccountEvent
) -> None:
    account = fold(evolve_account, Account(), before)
    with pytest.raises(BrokenInvariantError):
        evolve_account(account, event)
