"""What an account decides, and what becomes of it: the rules over
:mod:`booking.accounts.domain.account`."""

from typing import assert_never

import msgspec
from msgspec.structs import replace

from booking.accounts.domain.account import (
    BALANCE_MAX,
    CHARGE_MAX,
    ENDED_KEPT_MAX,
    Account,
    AccountCommand,
    AccountEvent,
    AccountReply,
    AccountView,
    Cancelled,
    Charge,
    Charged,
    ChargeDone,
    GetAccount,
    NoteCancellation,
    Noted,
    NoteOrder,
    NoteOutcome,
    NoteReservation,
    OutcomeNoted,
    PaidSeat,
    Pay,
    PaymentCompleted,
    PaymentDone,
    PaymentPending,
    PaymentRefunded,
    PaymentStarted,
    PendingPayment,
    Reservation,
    ReservationCancelled,
    ReservationKept,
    ReservationNoted,
    SettlePayment,
    SpentToken,
    reservation_status,
    spends_token,
)
from booking.domain.decision import BrokenInvariantError, Code, Rejected
from booking.domain.orders import order_of

# -- decide ----------------------------------------------------------------------------------------


class AccountDecision(msgspec.Struct, frozen=True, gc=False):
    """What becomes true, the reply, and which payment's saga this begins or ends."""

    events: tuple[AccountEvent, ...]
    reply: AccountReply
    awaits: str | None = None
    """The payment whose settling brings the caller's answer."""
    settles: str | None = None
    """The payment whose waiting caller gets this reply."""


def decide_account(
    account: Account,
    command: AccountCommand,
    now_ms: int,
    key_id: bytes = b"",
    key_fingerprint: bytes = b"",
) -> AccountDecision:
    """What happens on ``command`` at ``now_ms``. ``key`` stays with a payment, for its outcome."""
    match command:
        case Charge():
            return _charge(account, command)
        case NoteReservation() | NoteOrder():
            return _note_held(account, command)
        case NoteCancellation(reservation_id):
            return _note_cancellation(account, reservation_id, now_ms)
        case Pay():
            return _pay(account, command, now_ms, key_id, key_fingerprint)
        case SettlePayment():
            return _settle(account, command)
        case NoteOutcome():
            return _note_outcome(account, command)
        case GetAccount():
            newest_first = tuple(reversed(account.reservations.values()))
            view = AccountView(account.balance, newest_first, now_ms, bool(account.pending))
            return AccountDecision((), view)
        case _:
            assert_never(command)


def _reject(code: Code, detail: str) -> AccountDecision:
    return AccountDecision((), Rejected(code, detail))


def _charge(account: Account, command: Charge) -> AccountDecision:
    # The edge lets no other amount through.
    assert 1 <= command.amount <= CHARGE_MAX, command
    balance = account.balance + command.amount
    # A payment under way may come back, and must find room.
    in_flight = sum(payment.amount for payment in account.pending.values())
    if balance + in_flight > BALANCE_MAX:
        return _reject(Code.BALANCE_LIMIT, f"A balance can be {BALANCE_MAX} at most.")
    return AccountDecision((Charged(command.id, command.amount, balance),), ChargeDone(balance))


def _note_outcome(account: Account, command: NoteOutcome) -> AccountDecision:
    body, noted, beside = command.body, command.noted, command.beside
    if noted is None:
        return AccountDecision((), OutcomeNoted(body, beside=beside))
    decided = _note_held(account, noted)
    if isinstance(decided.reply, SpentToken | Rejected):
        return decided
    return AccountDecision(decided.events, OutcomeNoted(body, reserved=True, beside=beside))


def _note_held(account: Account, noted: Noted) -> AccountDecision:
    if isinstance(noted, NoteReservation):
        return _note_reservation(account, noted)
    events: tuple[AccountEvent, ...] = ()
    for reservation in noted.reservations:
        one = NoteReservation(reservation, noted.queue, noted.number)
        decided = _note_reservation(account, one)
        if not isinstance(decided.reply, ReservationKept):
            return decided
        events += decided.events
    return AccountDecision(events, decided.reply)


def _note_reservation(account: Account, command: NoteReservation) -> AccountDecision:
    """A later retry of an attempt whose first hold was lost brings another hold under the same id;
    a repeat, even one that was long on its way, changes nothing."""
    noted = command.reservation
    known = account.reservations.get(noted.id)
    if known is not None and (
        noted.until_ms == known.until_ms or known.paid or _older(noted, known)
    ):
        return AccountDecision((), ReservationKept(known))
    if account.spent.get(command.queue) == command.number:
        return AccountDecision((), SpentToken())
    if (token := (command.queue, command.number))[0] and _being_spent(account, token):
        return AccountDecision(
            (),
            Rejected(
                Code.PAYMENT_IN_PROGRESS,
                "Your last seat is being paid; try again in a moment.",
                retry_after_ms=1_000,
            ),
        )
    event = ReservationNoted(
        noted.id,
        noted.schedule,
        noted.seat,
        noted.price,
        noted.created_ms,
        noted.until_ms,
        noted.beside,
    )
    kept = _noted(account, event)
    return AccountDecision((event,), ReservationKept(kept))


def _being_spent(account: Account, token: tuple[str, int]) -> bool:
    """Whether a payment is under way that uses this token up if it completes. Its caller may have
    been told so already, and the journal has yet to say it."""
    return any(
        (payment.queue, payment.number) == token
        and spends_token(account, payment.reservation, payment.started_ms)
        for payment in account.pending.values()
    )


def _older(noted: Reservation, known: Reservation) -> bool:
    """Whether this is a late word of an earlier hold. One of a hold that is in the journal counts
    beside one that may not be, whatever the clocks of the two owners said."""
    if known.beside and not noted.beside:
        return False
    return noted.created_ms < known.created_ms


def _note_cancellation(account: Account, reservation_id: str, now_ms: int) -> AccountDecision:
    reservation = account.reservations.get(reservation_id)
    if reservation is None:
        return _reject(Code.RESERVATION_NOT_FOUND, "There is no such reservation.")
    if reservation.paid:
        return _reject(Code.ALREADY_PAID, "This reservation is paid.")
    if reservation.payment:
        return _reject(Code.PAYMENT_IN_PROGRESS, "This reservation is being paid.")
    ended = reservation_status(reservation, now_ms) != "PENDING"
    events = () if ended else (ReservationCancelled(reservation_id),)
    return AccountDecision(events, Cancelled(reservation_id))


def _to_pay(account: Account, schedule: str, seat: int, now_ms: int) -> Reservation | None:
    """Of the user's reservations of a seat over time the live one counts, else the paid one, else
    the newest."""
    of_seat = [r for r in account.reservations.values() if (r.schedule, r.seat) == (schedule, seat)]
    for status in ("PENDING", "COMPLETED"):
        for reservation in reversed(of_seat):
            if reservation_status(reservation, now_ms) == status:
                return reservation
    return of_seat[-1] if of_seat else None


def _pay(
    account: Account, command: Pay, now_ms: int, key_id: bytes, key_fingerprint: bytes
) -> AccountDecision:
    if command.order:
        every = account.reservations.values()
        found = [r for r in every if order_of(r.id) == command.order and not r.cancelled]
    else:
        one = _to_pay(account, command.schedule, command.seat, now_ms)
        found = [] if one is None or one.cancelled else [one]
    if not found:
        return _reject(Code.RESERVATION_NOT_FOUND, "You do not hold this seat.")
    to_pay = [reservation for reservation in found if not reservation.paid]
    if not to_pay:
        return _reject(Code.ALREADY_PAID, "This reservation is paid.")
    if any(reservation.payment for reservation in to_pay):
        return _reject(Code.PAYMENT_IN_PROGRESS, "This reservation is being paid.")
    if any(now_ms >= reservation.until_ms for reservation in to_pay):
        return _reject(Code.HOLD_EXPIRED, "The hold of this seat has ended.")
    amount = sum(reservation.price for reservation in to_pay)
    balance = account.balance - amount
    if balance < 0:
        cost = "The seat costs" if len(to_pay) == 1 else f"The {len(to_pay)} seats cost"
        return _reject(
            Code.INSUFFICIENT_BALANCE, f"{cost} {amount} and the balance is {account.balance}."
        )
    first, several = to_pay[0], len(to_pay) > 1
    started = PaymentStarted(
        id=command.payment,
        reservation=command.order if several else first.id,
        schedule=first.schedule,
        seat=first.seat,
        amount=amount,
        balance=balance,
        queue=command.queue,
        number=command.number,
        at_ms=now_ms,
        key_id=key_id,
        key_fingerprint=key_fingerprint,
        items=tuple(PaidSeat(r.id, r.seat, r.price) for r in to_pay) if several else msgspec.UNSET,
    )
    return AccountDecision((started,), PaymentPending(command.payment), awaits=command.payment)


def _settle(account: Account, command: SettlePayment) -> AccountDecision:
    payment = account.pending.get(command.payment)
    if payment is None:  # A saga may repeat its last step; its caller has been answered.
        return _reject(Code.RESERVATION_NOT_FOUND, "No such payment is under way.")
    if command.refused is None:
        first = account.reservations[payment.reservations[0]]
        # As of its begin: whoever settles it, and whenever, comes to the same.
        at_ms = payment.started_ms
        sold = (payment.id, payment.reservation, first.schedule, first.seat, payment.amount)
        token_spent = spends_token(account, payment.reservation, at_ms)
        return AccountDecision(
            (PaymentCompleted(*sold, at_ms, payment.items),),
            PaymentDone(*sold, at_ms, payment.items, token_spent=token_spent),
            settles=payment.id,
        )
    refunded = PaymentRefunded(
        id=payment.id,
        reservation=payment.reservation,
        amount=payment.amount,
        balance=account.balance + payment.amount,
        code=command.refused,
        detail=command.detail,
    )
    refusal = Rejected(command.refused, command.detail)
    return AccountDecision((refunded,), refusal, settles=payment.id)


# -- evolve ----------------------------------------------------------------------------------------


def evolve_account(account: Account, event: AccountEvent) -> Account:
    """The account after ``event``; :class:`BrokenInvariantError` if it cannot follow this state."""
    match event:
        case Charged(_, amount, balance):
            _check(account.balance + amount == balance and amount > 0, account, event)
            return replace(account, balance=balance)
        case ReservationNoted(reservation_id):
            known = account.reservations.get(reservation_id)
            _check(known is None or not known.paid, account, event)
            kept = {**account.reservations}
            kept.pop(reservation_id, None)  # noted again, it is the newest
            kept[reservation_id] = _noted(account, event)
            return replace(account, reservations=_trimmed(kept, event.created_ms))
        case ReservationCancelled(reservation_id):
            reservation = _open_reservation(account, reservation_id, "", event)
            return _with(account, replace(reservation, cancelled=True))
        case PaymentStarted():
            return _payment_started(account, event)
        case PaymentCompleted():
            return _payment_completed(account, event)
        case PaymentRefunded(amount=amount, balance=balance):
            ended, rest = _without_payment(account, event)
            _check(account.balance + amount == balance, account, event)
            opened = _open_reservations(account, ended, event.id, event)
            return _with(
                replace(rest, balance=balance), *(replace(each, payment="") for each in opened)
            )
        case _:
            assert_never(event)


def _check(holds: bool, account: Account, event: AccountEvent) -> None:
    if not holds:
        raise BrokenInvariantError(f"{event} after a balance of {account.balance}")


def _noted(account: Account, event: ReservationNoted) -> Reservation:
    known = account.reservations.get(event.id)
    payment = known.payment if known is not None else ""
    return Reservation(
        event.id,
        event.schedule,
        event.seat,
        event.price,
        event.created_ms,
        event.until_ms,
        payment,
        beside=event.beside,
    )


def _trimmed(reservations: dict[str, Reservation], now_ms: int) -> dict[str, Reservation]:
    """Without the oldest ended ones beyond :data:`ENDED_KEPT_MAX`."""
    if len(reservations) <= ENDED_KEPT_MAX:
        return reservations
    ended = [r.id for r in reservations.values() if reservation_status(r, now_ms) != "PENDING"]
    for reservation_id in ended[:-ENDED_KEPT_MAX]:
        del reservations[reservation_id]
    return reservations


def _payment_started(account: Account, event: PaymentStarted) -> Account:
    _check(event.id not in account.pending, account, event)
    _check(account.balance - event.amount == event.balance >= 0, account, event)
    payment = PendingPayment(
        id=event.id,
        reservation=event.reservation,
        amount=event.amount,
        started_ms=event.at_ms,
        queue=event.queue,
        number=event.number,
        key_id=event.key_id,
        key_fingerprint=event.key_fingerprint,
        items=event.items or (),
    )
    opened = _open_reservations(account, payment, "", event)
    account = _with(account, *(replace(each, payment=event.id) for each in opened))
    return replace(account, balance=event.balance, pending={**account.pending, event.id: payment})


def _payment_completed(account: Account, event: PaymentCompleted) -> Account:
    payment, rest = _without_payment(account, event)
    opened = _open_reservations(account, payment, event.id, event)
    if spends_token(account, event.reservation, event.at_ms):
        rest = replace(rest, spent={**account.spent, payment.queue: payment.number})
    return _with(rest, *(replace(each, paid=True) for each in opened))


def _open_reservations(
    account: Account, payment: PendingPayment, payment_id: str, event: AccountEvent
) -> list[Reservation]:
    """What the payment is for, under this payment so far."""
    return [
        _open_reservation(account, reservation, payment_id, event)
        for reservation in payment.reservations
    ]


def _open_reservation(
    account: Account, reservation_id: str, payment_id: str, event: AccountEvent
) -> Reservation:
    """The reservation the event is about: neither paid nor cancelled, and under this payment."""
    reservation = account.reservations.get(reservation_id)
    if (
        reservation is None
        or reservation.paid
        or reservation.cancelled
        or reservation.payment != payment_id
    ):
        raise BrokenInvariantError(f"{event} after {reservation}")
    return reservation


def _without_payment(
    account: Account, event: PaymentCompleted | PaymentRefunded
) -> tuple[PendingPayment, Account]:
    """The payment that ends, and the account without it."""
    pending = {**account.pending}
    payment = pending.pop(event.id, None)
    if payment is None or (payment.reservation, payment.amount) != (
        event.reservation,
        event.amount,
    ):
        raise BrokenInvariantError(f"{event} after {payment}")
    return payment, replace(account, pending=pending)


def _with(account: Account, *reservations: Reservation) -> Account:
    changed = {reservation.id: reservation for reservation in reservations}
    return replace(account, reservations={**account.reservations, **changed})
