"""What the journal says of a user's money, newest first: history and payments, page by page."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from actors.errors import UnavailableError
from actors.journal.contract import Journal, JournalError, Row
from booking.accounts.domain import account
from booking.addresses import account_address
from booking.api import HistoryItem, Page, Payment, UnknownError
from booking.cursors import cursor_of, seq_of

PAYMENTS_SEARCHED_MAX = 1_000
"""How far back a single payment is looked for: twenty dates of fifty seats each."""


class MoneyRecords:
    """Raises :class:`~actors.errors.UnavailableError` when the journal is out of reach."""

    def __init__(self, journal: Journal, read_event: Callable[[Row], Any]) -> None:
        self._journal = journal
        self._read_event = read_event

    async def history(self, user: str, limit: int, after: str | None) -> Page:
        """As :meth:`booking.api.Bookings.history`."""
        types = ("Charged", "PaymentStarted", "PaymentRefunded")
        rows, has_more = await self._rows(user, types, limit, after)
        return Page([_history_item(user, row, self._read_event(row)) for row in rows], has_more)

    async def payments(self, user: str, limit: int, after: str | None) -> Page:
        """As :meth:`booking.api.Bookings.payments`."""
        rows, has_more = await self._rows(user, ("PaymentCompleted",), limit, after)
        return Page([payment_of(self._read_event(row)) for row in rows], has_more)

    async def payment(self, user: str, payment_id: str) -> Payment:
        """As :meth:`booking.api.Bookings.payment`."""
        rows, _ = await self._rows(user, ("PaymentCompleted",), PAYMENTS_SEARCHED_MAX, None)
        for row in rows:
            completed = self._read_event(row)
            if completed.id == payment_id:
                return payment_of(completed)
        raise UnknownError(f"payment {payment_id}")

    async def _rows(
        self, user: str, types: Collection[str], limit: int, after: str | None
    ) -> tuple[list[Row], bool]:
        """A page of the account's events, newest first, and whether there are more."""
        before_seq = None if after is None else seq_of(user, after)
        try:
            rows = await self._journal.history(account_address(user), types, limit + 1, before_seq)
        except JournalError as error:
            raise UnavailableError("the journal is out of reach") from error
        return rows[:limit], len(rows) > limit


def payment_of(done: account.PaymentDone | account.PaymentCompleted) -> Payment:
    """A payment as it is told, from what the account answered or journalled."""
    return Payment(done.id, done.schedule, done.seat, done.amount, done.at_ms)


def _history_item(user: str, row: Row, event: Any) -> HistoryItem:
    shown = cursor_of(user, row.seq)
    match event:
        case account.Charged():
            return HistoryItem(shown, "CHARGE", event.amount, event.balance, row.at_ms)
        case account.PaymentStarted():
            return HistoryItem(shown, "USE", event.amount, event.balance, row.at_ms)
        case account.PaymentRefunded():
            return HistoryItem(shown, "REFUND", event.amount, event.balance, row.at_ms)
    raise AssertionError(f"{type(event).__name__} is not part of a history")
