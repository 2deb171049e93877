"""The account as an actor. Its payments are sagas: take the money, have the seat confirm, end the
token, settle."""

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
    PendingPayment,
    SettlePayment,
    ends_token,
)
from booking.accounts.domain.rules import decide_account, evolve_account
from booking.domain.decision import Rejected
from booking.entities import ACCOUNT, Codec, queue_address, seat_address
from booking.queue.domain.queue import UseToken
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
        settles_key = None
        if decided.settles and (pending := turn.state.pending.get(decided.settles)):
            settles_key = _key_of(pending)
        return Decision(
            decided.reply,
            [(turn.address, event) for event in decided.events],
            awaits=decided.awaits,
            settles=decided.settles,
            settles_key=settles_key,
        )

    def evolve(self, state: Account, event: AccountEvent) -> Account:
        """See :func:`booking.accounts.domain.rules.evolve_account`."""
        return evolve_account(state, event)

    # -- the payment saga -------------------------------------------------------------------------

    def unfinished(self, state: Account) -> Collection[str]:
        """The ids of payments that are not settled yet."""
        return state.pending.keys()

    def step(self, state: Account, saga: str, answers: Sequence[Any]) -> Ask | Tell:
        """The payment's next step: the sale, the end of the token, the settlement."""
        pending = state.pending[saga]
        if not answers:
            held = state.reservations[pending.reservation]
            return Ask(
                seat_address(held.schedule, held.seat), ConfirmSale(state.user, held.id, pending.id)
            )
        seats_word = answers[0]
        if isinstance(seats_word, Rejected):
            return Tell(SettlePayment(pending.id, seats_word.code, seats_word.detail))
        if len(answers) == 1 and ends_token(state, pending.id, pending.started_ms):
            return Ask(queue_address(pending.queue), UseToken(state.user, pending.number))
        return Tell(SettlePayment(pending.id))

    def saga_key(self, state: Account, saga: str) -> CommandKey | None:
        """The key of the command that began the payment."""
        return _key_of(state.pending[saga])


_NO_KEY = CommandKey(b"", b"")


def _key_of(pending: PendingPayment) -> CommandKey | None:
    return CommandKey(pending.key_id, pending.key_fingerprint) if pending.key_id else None
