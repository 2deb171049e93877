"""Accounts: checks I2 and I7 over one shard."""

from __future__ import annotations

from booking.audit import events as e
from booking.audit.matching import Matching, digest
from booking.audit.report import Findings


class _Account:
    __slots__ = ("balance", "paid", "pending", "reservations")

    def __init__(self) -> None:
        self.balance = 0
        self.reservations: dict[str, e.ReservationNoted] = {}
        self.paid: dict[str, str] = {}
        """Reservation to what closed it for payments: a payment's id, or "cancelled"."""
        self.pending: dict[str, tuple[e.PaymentStarted, int]] = {}
        """Payments begun and not ended, each with its row's seq."""


class AccountBook:
    """The accounts of one shard. A payment begun before ``overdue_ms`` has to have ended."""

    def __init__(
        self, shard: int, found: Findings, holds: Matching, sales: Matching, overdue_ms: int
    ) -> None:
        self._shard, self._found = shard, found
        self._holds, self._sales = holds, sales
        self._overdue_ms = overdue_ms
        self._accounts: dict[str, _Account] = {}

    # -- money ------------------------------------------------------------------------------------

    def charged(self, entity: str, event: e.Charged, seq: int, at_ms: int) -> None:
        account = self._account(entity)
        if event.amount <= 0:
            self._wrong("I2", f"charge of {event.amount}", seq, entity)
        self._found.charged += event.amount
        self._money(account, event.amount, event.balance, seq, entity)

    def _money(self, account: _Account, change: int, stated: int, seq: int, entity: str) -> None:
        balance = account.balance + change
        if balance != stated:
            message = f"balance stated as {stated}, but {account.balance} {change:+} = {balance}"
            self._wrong("I2", message, seq, entity)
        if balance < 0 or stated < 0:
            self._wrong("I2", f"balance below zero: {min(balance, stated)}", seq, entity)
        account.balance = balance

    # -- reservations -----------------------------------------------------------------------------

    def noted(self, entity: str, event: e.ReservationNoted, seq: int, at_ms: int) -> None:
        account = self._account(entity)
        known = account.reservations.get(event.id)
        if known is not None and event.created_ms <= known.created_ms:
            self._wrong("I7", f"reservation {event.id} noted twice for one hold", seq, entity)
        account.reservations[event.id] = event
        fact = digest(
            f"{event.id} {entity[8:]} {event.schedule} {event.seat} {event.price}"
            f" {event.created_ms} {event.until_ms}"
        )
        self._holds.second(f"{event.id} {event.until_ms}", fact, at_ms)
        # A later hold under the same id (an attempt retried after its first hold lapsed).
        if account.paid.get(event.id) == "cancelled":
            del account.paid[event.id]

    def cancelled(self, entity: str, event: e.ReservationCancelled, seq: int, at_ms: int) -> None:
        account = self._account(entity)
        closed = account.paid.get(event.id)
        if event.id not in account.reservations:
            self._wrong("I7", f"reservation {event.id} cancelled, never noted", seq, entity)
        elif closed is not None:
            message = f"reservation {event.id} cancelled, already closed by {closed}"
            self._wrong("I7", message, seq, entity)
        account.paid[event.id] = "cancelled"

    # -- payments ---------------------------------------------------------------------------------

    def started(self, entity: str, event: e.PaymentStarted, seq: int, at_ms: int) -> None:
        account = self._account(entity)
        self._found.checked["I7"] += 1
        self._found.spent += event.amount
        self._money(account, -event.amount, event.balance, seq, entity)
        noted = account.reservations.get(event.reservation)
        wanted = (event.schedule, event.seat, event.amount)
        if noted is None or (noted.schedule, noted.seat, noted.price) != wanted:
            message = f"payment {event.id} is for {wanted}, which no reservation is for"
            self._wrong("I7", message, seq, entity)
        closed = account.paid.get(event.reservation)
        if closed is not None:
            message = f"payment {event.id} begun for a reservation closed by {closed}"
            self._wrong("I7", message, seq, entity)
        if event.id in account.pending:
            self._wrong("I7", f"payment {event.id} begun twice", seq, entity)
        account.paid[event.reservation] = event.id
        account.pending[event.id] = (event, seq)

    def completed(self, entity: str, event: e.PaymentCompleted, seq: int, at_ms: int) -> None:
        account = self._account(entity)
        begun = self._ended(account, event.id, event.reservation, event.amount, seq, entity)
        if begun is not None and (begun.schedule, begun.seat) != (event.schedule, event.seat):
            message = f"payment {event.id} completed for another seat than it was begun for"
            self._wrong("I7", message, seq, entity)
        self._sales.second(event.id, _sale(entity, event), at_ms)

    def refunded(self, entity: str, event: e.PaymentRefunded, seq: int, at_ms: int) -> None:
        account = self._account(entity)
        self._ended(account, event.id, event.reservation, event.amount, seq, entity)
        self._found.refunded += event.amount
        self._money(account, event.amount, event.balance, seq, entity)
        account.paid.pop(event.reservation, None)

    def _ended(
        self,
        account: _Account,
        payment: str,
        reservation: str,
        amount: int,
        seq: int,
        entity: str,
    ) -> e.PaymentStarted | None:
        begun, _ = account.pending.pop(payment, (None, 0))
        if begun is None:
            message = f"payment {payment} ended, but none of this name is under way"
            self._wrong("I7", message, seq, entity)
        elif (begun.reservation, begun.amount) != (reservation, amount):
            message = f"payment {payment} ended with other terms than it was begun with"
            self._wrong("I7", message, seq, entity)
        return begun

    # -- the end ----------------------------------------------------------------------------------

    def close(self) -> None:
        """All rows of the shard have been seen."""
        self._found.checked["I2"] += len(self._accounts)
        for entity, account in self._accounts.items():
            self._found.balances += account.balance
            for payment, (begun, seq) in account.pending.items():
                if begun.at_ms < self._overdue_ms:
                    message = f"payment {payment} begun at {begun.at_ms} has not ended"
                    self._wrong("I7", message, seq, entity)
                else:
                    self._found.payments_in_flight += 1
                    self._sales.expect(payment, _sale(entity, begun))

    def _account(self, entity: str) -> _Account:
        account = self._accounts.get(entity)
        if account is None:
            account = self._accounts[entity] = _Account()
        return account

    def _wrong(self, check: str, message: str, seq: int, entity: str) -> None:
        self._found.report(check, message, self._shard, seq, entity)


def _sale(account: str, payment: e.PaymentStarted | e.PaymentCompleted) -> int:
    """What the seat has to say of this payment."""
    return digest(
        f"{payment.id} {account[8:]} {payment.schedule} {payment.seat} {payment.amount}"
        f" {payment.reservation}"
    )
