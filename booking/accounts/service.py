"""The calls about money: charges, balance and payments.

Commands ask the account. History and payments are read from the journal, newest first.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Generic, Literal, TypeVar

import msgspec

from actors.errors import UnavailableError
from actors.journal.contract import Journal, JournalError, Row
from booking.accounts.domain import account
from booking.calls import (
    ActorClient,
    Attempt,
    Outcome,
    QueueToken,
    UnknownError,
    command_key,
    new_id,
)
from booking.domain.decision import Rejected
from booking.entities import account_address
from booking.seats.service import SeatService

PAYMENTS_SEARCHED_MAX = 1_000
"""How far back a single payment is looked for: twenty dates of fifty seats each."""

_CHECK_BYTES = 4
_CURSOR_LENGTH_MAX = 48


class HistoryItem(msgspec.Struct, frozen=True):
    """One movement of the user's money; amounts in won."""

    id: str
    """Opaque; also the cursor."""
    type: Literal["CHARGE", "USE", "REFUND"]
    amount: int
    balance: int
    at_ms: int


Item = TypeVar("Item")


class Page(msgspec.Struct, Generic[Item], frozen=True):
    """One page of a list, and whether another follows."""

    items: Sequence[Item]
    has_more: bool


class AccountService:
    """Accounts of one instance. Raises :class:`~actors.errors.UnavailableError` and its kin, also
    when the journal is out of reach."""

    def __init__(
        self,
        actors: ActorClient,
        seats: SeatService,
        journal: Journal,
        read_event: Callable[[Row], Any],
        use_up: Callable[[QueueToken], None],
        *,
        timed_ids: bool,
    ) -> None:
        """``read_event`` decodes a row of the journal; ``use_up`` is told of each token that a
        payment has used up. ``timed_ids``: whether the ids of movements carry their time."""
        self._actors = actors
        self._seats = seats
        self._journal = journal
        self._read_event = read_event
        self._use_up = use_up
        self._timed_ids = timed_ids

    async def charge(
        self, user: str, amount: int, attempt: Attempt | None
    ) -> Outcome[account.ChargeDone | Rejected]:
        """Add ``amount`` won to the balance."""
        key = command_key(user, "charge", attempt) if attempt else None
        command = account.Charge(new_id("chg", key), amount)
        answer = await self._actors.answer(account_address(user), command, key)
        assert isinstance(answer.reply, account.ChargeDone | Rejected), answer.reply
        return Outcome(answer.reply, answer.replayed)

    async def balance(self, user: str) -> int:
        """The user's money in won; 0 for a user nobody has heard of."""
        view = await self._actors.reply(account_address(user), account.GetAccount())
        assert isinstance(view, account.AccountView), view
        return view.balance

    async def pay(
        self, token: QueueToken, schedule: str, seat: int, attempt: Attempt | None
    ) -> Outcome[account.PaymentDone | Rejected]:
        """Pay for a held seat; :class:`~booking.calls.UnknownError` if the token does not open the
        date."""
        return await self._pay(token, schedule, seat, "", attempt)

    async def pay_order(
        self, token: QueueToken, wanted: str, attempt: Attempt | None
    ) -> Outcome[account.PaymentDone | Rejected]:
        """Pay for all seats of an order that are not paid yet, by its id or code;
        :class:`~booking.calls.UnknownError` if it is not the user's."""
        order = await self._seats.order(token.user, wanted)
        schedule = order.reservations[0].reservation.schedule
        return await self._pay(token, schedule, 0, order.id, attempt)

    async def _pay(
        self, token: QueueToken, schedule: str, seat: int, order: str, attempt: Attempt | None
    ) -> Outcome[account.PaymentDone | Rejected]:
        self._seats.check_opens(token, schedule)
        key = command_key(token.user, "payment", attempt) if attempt else None
        place = token.queue, token.number
        command = account.Pay(new_id("pay", key), schedule, seat, *place, order)
        answer = await self._actors.answer(account_address(token.user), command, key)
        paid = _paid(answer.reply)
        if isinstance(paid, account.PaymentDone) and paid.token_spent:
            self._use_up(token)
        return Outcome(paid, answer.replayed)

    async def replay(
        self, token: QueueToken, attempt: Attempt
    ) -> Outcome[account.PaymentDone | Rejected] | None:
        """The stored outcome of this user's earlier :meth:`pay` with this key, or ``None``.

        For clients whose token the payment itself used up, and whose answer got lost. Raises
        :class:`actors.errors.KeyReusedError` and ``KeyInFlightError`` as the call itself.
        """
        key = command_key(token.user, "payment", attempt)
        stored = await self._actors.look_up(account_address(token.user), key)
        return None if stored is None else Outcome(_paid(stored), replayed=True)

    async def history(self, user: str, limit: int, after: str | None) -> Page[HistoryItem]:
        """Movements of the user's money, newest first; :class:`~booking.calls.UnknownError` for a
        cursor of another user."""
        types = [event.__name__ for event in _MOVEMENTS]
        before_seq = None if after is None else seq_of(user, after)
        rows, has_more = await self._rows(user, types, limit, before_seq)
        return Page([self._history_item(user, row) for row in rows], has_more)

    def _history_item(self, user: str, row: Row) -> HistoryItem:
        event = self._read_event(row)
        cursor = cursor_of(user, row.seq, row.at_ms if self._timed_ids else None)
        movement = _MOVEMENTS[type(event)]
        return HistoryItem(cursor, movement, event.amount, event.balance, row.at_ms)

    async def payments(
        self, user: str, limit: int, after: str | None
    ) -> Page[account.PaymentCompleted]:
        """Completed payments, newest first, from the payment ``after`` on;
        :class:`~booking.calls.UnknownError` if that one is not this user's."""
        await self._actors.account(user)
        before_seq = None if after is None else (await self._payment_row(user, after)).seq
        rows, has_more = await self._rows(user, ("PaymentCompleted",), limit, before_seq)
        return Page([self._read_event(row) for row in rows], has_more)

    async def payment(self, user: str, payment_id: str) -> account.PaymentCompleted:
        """One payment; :class:`~booking.calls.UnknownError` if it is not this user's."""
        await self._actors.account(user)
        payment: account.PaymentCompleted
        payment = self._read_event(await self._payment_row(user, payment_id))
        return payment

    async def _payment_row(self, user: str, payment_id: str) -> Row:
        rows, _ = await self._rows(user, ("PaymentCompleted",), PAYMENTS_SEARCHED_MAX, None)
        for row in rows:
            if self._read_event(row).id == payment_id:
                return row
        raise UnknownError(f"payment {payment_id}")

    async def _rows(
        self, user: str, types: Collection[str], limit: int, before_seq: int | None
    ) -> tuple[list[Row], bool]:
        """A page of the account's events, newest first, and whether there are more."""
        try:
            rows = await self._journal.history(account_address(user), types, limit + 1, before_seq)
        except JournalError as error:
            raise UnavailableError("the journal is out of reach") from error
        return rows[:limit], len(rows) > limit


def _paid(reply: Any) -> account.PaymentDone | Rejected:
    assert isinstance(reply, account.PaymentDone | Rejected), reply
    return reply


_MOVEMENTS: Mapping[type, Literal["CHARGE", "USE", "REFUND"]] = {
    account.Charged: "CHARGE",
    account.PaymentStarted: "USE",
    account.PaymentRefunded: "REFUND",
}


# An item's id, which is also the cursor for paging, is its place in the journal (seq), its time
# (because a place is taken a second time after a restore), and a check that ties both to the user,
# which tells a mistyped or foreign cursor from a real one. It protects nothing: pages only ever
# contain the caller's own facts. Journals from before there were generations go without the time,
# because the release before this one has to read what it is sent.


def cursor_of(user: str, seq: int, at_ms: int | None = None) -> str:
    """The id of the fact at ``seq`` in the user's shard."""
    place = f"{seq:x}" if at_ms is None else f"{seq:x}_{at_ms:x}"
    check = blake2b(f"{user}\n{place}".encode(), digest_size=_CHECK_BYTES).hexdigest()
    return f"txn_{place}{check}"


def seq_of(user: str, cursor: str) -> int:
    """The seq behind a cursor; :class:`~booking.calls.UnknownError` if this user never got it."""
    place = cursor.removeprefix("txn_")[: -2 * _CHECK_BYTES]
    seq, separator, at = place.partition("_")
    if len(cursor) <= _CURSOR_LENGTH_MAX:
        try:
            number, at_ms = int(seq, 16), int(at, 16) if separator else None
        except ValueError:
            raise UnknownError("cursor") from None
        if cursor == cursor_of(user, number, at_ms):
            return number
    raise UnknownError("cursor")
