"""The account as an actor. Its payments are sagas: take the money, have the seat confirm, settle.
That the queue ends the token follows by itself."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from actors.address import Address
from actors.behaviour import Ask, Behaviour, CommandKey, Decision, Tell, Turn
from booking.accounts.domain.account import (
    Account,
    AccountCommand,
    AccountEvent,
    AccountReply,
    PaymentDone,
    PendingPayment,
    SettlePayment,
)
from booking.accounts.domain.rules import decide_account, evolve_account
from booking.domain.decision import Rejected
from booking.entities import ACCOUNT, Codec, ledger_address, queue_address, seat_address
from booking.queue.domain.queue import UseToken
from booking.seats.domain.order import ConfirmOrder
from booking.seats.domain.seat import ConfirmSale


class AccountBehaviour(Codec, Behaviour):
    """Addressed as :func:`booking.entities.account_address`. A payment's saga has the
    payment's id as its name, and stores its outcome under the key that began it."""

    kind = ACCOUNT

    def __init__(self) -> None:
        Codec.__init__(
            self, states=Account, events=AccountEvent, commands=AccountCommand, replies=AccountReply
        )

    def initial(self, address: Address) -> Account:
        """An empty account."""
        return Account(user=address.key)

    def decide(self, turn: Turn) -> Decision:
        """See :func:`booking.accounts.domain.rules.decide_account`."""
        key = turn.key or _NO_KEY
        decided = decide_account(turn.state, turn.command, turn.now_ms, key.id, key.fingerprint)
        reply, settles_key = decided.reply, None
        if decided.settles and (pending := turn.state.pending.get(decided.settles)):
            settles_key = _key_of(pending)
        return Decision(
            reply,
            [(turn.address, event) for event in decided.events],
            awaits=decided.awaits,
            settles=decided.settles,
            settles_key=settles_key,
            final=not (isinstance(reply, Rejected) and reply.retry_after_ms),
            # What is sold stays sold. A refusal gives money back, which has to be there first.
            certain=isinstance(reply, PaymentDone),
        )

    def evolve(self, state: Account, event: AccountEvent) -> Account:
        """See :func:`booking.accounts.domain.rules.evolve_account`."""
        return evolve_account(state, event)

    # -- the payment saga -------------------------------------------------------------------------

    def unfinished(self, state: Account) -> Collection[str]:
        """The ids of payments that are not settled yet."""
        return state.pending.keys()

    def follow_ups(self, state: Account) -> Collection[str]:
        """The tokens that payments have used up, for their queues to end."""
        return [f"{number} {queue}" for queue, number in state.spent.items()]

    def step(self, state: Account, saga: str, answers: Sequence[Any]) -> Ask | Tell | None:
        """The payment's next step: the sale, the settlement. For a used token: its end."""
        pending = state.pending.get(saga)
        if pending is None:
            number, _, queue = saga.partition(" ")
            use = UseToken(state.user, int(number))
            return None if answers else Ask(queue_address(queue), use)
        if not answers:
            held = state.reservations[pending.reservations[0]]
            if pending.items:
                seats = {item.seat: item.reservation for item in pending.items}
                sale = ConfirmOrder(state.user, pending.id, seats)
                return Ask(ledger_address(held.schedule), sale)
            return Ask(
                seat_address(held.schedule, held.seat), ConfirmSale(state.user, held.id, pending.id)
            )
        seats_word = answers[0]
        if isinstance(seats_word, Rejected):
            return Tell(SettlePayment(pending.id, seats_word.code, seats_word.detail))
        return Tell(SettlePayment(pending.id))

    def saga_key(self, state: Account, saga: str) -> CommandKey | None:
        """The key of the command that began the payment."""
        return _key_of(state.pending[saga])


_NO_KEY = CommandKey(b"", b"")


def _key_of(pending: PendingPayment) -> CommandKey | None:
    return CommandKey(pending.key_id, pending.key_fingerprint) if pending.key_id else None
