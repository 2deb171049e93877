"""Accounts: checks I2, I7 and I10 over one shard."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from booking.accounts.domain.transfers import transfers
from booking.audit.events import FactReader, Readers, digest, read
from booking.audit.report import Findings


class _Account(msgspec.Struct):
    balance: int = 0
    off: int = 0
    """By how much the stated balance differs, and so all accounts from zero."""
    in_flight: dict[str, int] = {}
    """By the account of a payment under way: the money in it."""
    reservations: dict[str, Any] = {}
    """Each with the event that noted it last."""
    closed_by: dict[str, str] = {}
    """Reservation to what closed it for payments: a payment's id, or "cancelled"."""
    pending: dict[str, tuple[Any, int]] = {}
    """Payments begun and not ended, each with its event and that row's seq."""


class AccountBook:
    """The accounts of one shard. A payment begun before ``overdue_ms`` has to have ended."""

    def __init__(
        self, found: Findings, holds: FactReader, sales: FactReader, overdue_ms: int
    ) -> None:
        self._found, self._holds, self._sales = found, holds, sales
        self._overdue_ms = overdue_ms
        self._accounts: defaultdict[str, _Account] = defaultdict(_Account)

    def readers(self) -> dict[str, Readers]:
        """For each kind of entity."""
        account = (
            read("Charged", self._charge, "", "amount balance"),
            read(
                "ReservationNoted",
                self._note,
                "id schedule",
                "seat price created_ms until_ms",
                beside=(bool, False),
            ),
            read("ReservationCancelled", self._cancel, "id"),
            read(
                "PaymentStarted",
                self._start,
                "id reservation schedule",
                "seat amount balance at_ms",
                items=_ITEMS,
            ),
            read(
                "PaymentCompleted",
                self._complete,
                "id reservation schedule",
                "seat amount",
                items=_ITEMS,
            ),
            read("PaymentRefunded", self._refund, "id reservation", "amount balance"),
        )
        return {"account": dict(account)}

    def _charge(self, entity: str, event: Any, at_ms: int) -> None:
        account = self._accounts[entity]
        if event.amount <= 0:
            self._found.report("I2", f"charge of {event.amount}")
        self._found.charged += event.amount
        self._move(entity, event)
        self._money(account, event.amount, event.balance)

    def _money(self, account: _Account, change: int, stated: int) -> None:
        balance, before = account.balance, account.balance - change
        if balance != stated:
            self._found.report(
                "I2", f"balance stated as {stated}, but {before} {change:+} = {balance}"
            )
        if balance < 0 or stated < 0:
            self._found.report("I2", f"balance below zero: {min(balance, stated)}")
        off = stated - balance
        if off not in (0, account.off):
            self._found.report("I10", f"with a balance of {stated} all accounts sum to {off}")
        account.off = off

    def _move(self, entity: str, event: Any) -> None:
        """Enter what the event moves, on both sides."""
        account, found = self._accounts[entity], self._found
        for source, target, amount in transfers(entity[8:], event):
            found.checked["I10"] += 1
            self._enter(account, source, -amount)
            self._enter(account, target, amount)
            left = account.in_flight.pop(source, 0)
            if left:
                words = "more is taken out than was put in" if left < 0 else "is left at its end"
                found.report("I10", f"{source}: of its money {abs(left)} {words}")

    def _enter(self, account: _Account, name: str, change: int) -> None:
        kind, _, rest = name.partition("/")
        if kind == "wallet":
            account.balance += change
        elif kind == "payment":
            account.in_flight[name] = account.in_flight.get(name, 0) + change
        else:
            self._found.totals[kind] += change
            if kind == "revenue":
                self._found.dates[rest].brought += change

    def _note(self, entity: str, event: Any, at_ms: int) -> None:
        account = self._accounts[entity]
        known = account.reservations.get(event.id)
        corrected = known is not None and known.beside and not event.beside
        if known is not None and event.created_ms <= known.created_ms and not corrected:
            self._found.report("I7", f"reservation {event.id} noted twice for one hold")
        account.reservations[event.id] = event
        fact = digest(
            f"{event.id} {entity[8:]} {event.schedule} {event.seat} {event.price}"
            f" {event.created_ms} {event.until_ms}"
        )
        other = f"seat/{event.schedule}/{event.seat}"
        name = f"{event.id} {event.until_ms}"
        if event.beside:
            self._holds.perhaps(name, fact, at_ms, other)
        else:
            self._holds.second(name, fact, at_ms, other)
        # A later hold under the same id (an attempt retried after its first hold lapsed).
        if account.closed_by.get(event.id) == "cancelled":
            del account.closed_by[event.id]

    def _cancel(self, entity: str, event: Any, at_ms: int) -> None:
        account = self._accounts[entity]
        closed = account.closed_by.get(event.id)
        if event.id not in account.reservations:
            self._found.report("I7", f"reservation {event.id} cancelled, never noted")
        elif closed is not None:
            message = f"reservation {event.id} cancelled, already closed by {closed}"
            self._found.report("I7", message)
        account.closed_by[event.id] = "cancelled"

    def _start(self, entity: str, event: Any, at_ms: int) -> None:
        account = self._accounts[entity]
        self._found.checked["I7"] += 1
        self._found.spent += event.amount
        self._move(entity, event)
        self._money(account, -event.amount, event.balance)
        if event.amount != sum(price for _, _, price in _items(event)):
            self._found.report("I7", f"payment {event.id} is not the sum of its seats' prices")
        for reservation, seat, price in _items(event):
            noted = account.reservations.get(reservation)
            wanted = (event.schedule, seat, price)
            if noted is None or (noted.schedule, noted.seat, noted.price) != wanted:
                message = f"payment {event.id} is for {wanted}, which no reservation is for"
                self._found.report("I7", message)
            closed = account.closed_by.get(reservation)
            if closed is not None:
                message = f"payment {event.id} begun for a reservation closed by {closed}"
                self._found.report("I7", message)
            account.closed_by[reservation] = event.id
        if event.id in account.pending:
            self._found.report("I7", f"payment {event.id} begun twice")
        account.pending[event.id] = (event, self._found.seq)

    def _complete(self, entity: str, event: Any, at_ms: int) -> None:
        account = self._accounts[entity]
        begun = self._ended(account, event.id, event.reservation, event.amount)
        self._move(entity, event)
        if begun is not None and (begun.schedule, _items(begun)) != (
            event.schedule,
            _items(event),
        ):
            message = f"payment {event.id} completed for other seats than it was begun for"
            self._found.report("I7", message)
        for name, fact, seat in _sales(entity, event):
            self._sales.second(name, fact, at_ms, f"seat/{event.schedule}/{seat}")

    def _refund(self, entity: str, event: Any, at_ms: int) -> None:
        account = self._accounts[entity]
        begun = self._ended(account, event.id, event.reservation, event.amount)
        self._found.refunded += event.amount
        self._move(entity, event)
        self._money(account, event.amount, event.balance)
        for reservation, _, _ in () if begun is None else _items(begun):
            account.closed_by.pop(reservation, None)

    def _ended(self, account: _Account, payment: str, reservation: str, amount: int) -> Any:
        begun, _ = account.pending.pop(payment, (None, 0))
        if begun is None:
            self._found.report("I7", f"payment {payment} ended, but none of this name is under way")
        elif (begun.reservation, begun.amount) != (reservation, amount):
            message = f"payment {payment} ended with other terms than it was begun with"
            self._found.report("I7", message)
        return begun

    def close(self) -> None:
        """All rows of the shard have been seen."""
        self._found.checked["I2"] += len(self._accounts)
        for entity, account in self._accounts.items():
            self._found.balances += account.balance
            self._found.totals["wallet"] += account.balance + account.off
            self._found.totals["payment"] += sum(account.in_flight.values())
            for payment, (begun, seq) in account.pending.items():
                if begun.at_ms < self._overdue_ms:
                    message = f"payment {payment} begun at {begun.at_ms} has not ended"
                    self._found.report("I7", message, seq=seq, entity=entity)
                else:
                    self._found.payments_in_flight += 1
                    self._found.dates[begun.schedule].under_way += begun.amount
                    for name, fact, _ in _sales(entity, begun):
                        self._sales.expect(name, fact)

    def pending(self, entity: str) -> Mapping[str, tuple[Any, int]]:
        """The account's payments under way, each with its event and that row's seq."""
        return self._accounts[entity].pending

    def adopt(self, other: AccountBook, entity: str) -> None:
        """Go on with an account as another book knows it."""
        if account := other._accounts.get(entity):
            self._accounts[entity] = account

    def forget(self, entity: str) -> None:
        """Drop an account."""
        self._accounts.pop(entity, None)


_Item = tuple[str, int, int]
"""Reservation, seat and price."""
_ITEMS = (tuple[_Item, ...], ())


def _items(payment: Any) -> tuple[_Item, ...]:
    """What a payment is for."""
    return payment.items or ((payment.reservation, payment.seat, payment.amount),)


def _sales(account: str, payment: Any) -> Iterator[tuple[str, int, int]]:
    """What the seats have to say of this payment: name, fact and seat of each."""
    for reservation, seat, price in _items(payment):
        sold = f"{payment.id} {account[8:]} {payment.schedule} {seat} {price} {reservation}"
        yield f"{payment.id} {reservation}", digest(sold), seat
