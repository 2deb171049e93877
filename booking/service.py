"""The application: each call of the product as a few messages to the entities concerned.

Nothing here decides anything. Entities decide (:mod:`booking.domain`), views answer what is only
read (:mod:`booking.views`), and this module says who is asked in which order, such that a repeat
with the same key after any crash ends the same.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, Protocol

from actors.address import Address
from actors.clock import Clock
from actors.journal.contract import Journal, Row
from booking.accounts.domain import account
from booking.accounts.domain.account import Reservation, reservation_status
from booking.accounts.records import MoneyRecords, payment_of
from booking.actor_client import ActorClient, Actors, value_of
from booking.addresses import (
    account_address,
    ledger_address,
    queue_address,
    seat_address,
)
from booking.api import (
    Attempt,
    Charged,
    NotAdmittedError,
    Outcome,
    Page,
    Payment,
    QueueChange,
    QueueReport,
    QueueStatus,
    QueueToken,
    Readiness,
    ReservationRecord,
    TokenError,
    UnknownError,
)
from booking.catalogue.domain import Catalogue
from booking.domain.decision import Rejected
from booking.ids import command_key, new_id
from booking.queue.admin import command_of, report_of
from booking.queue.domain import queue
from booking.queue.domain.queue import RulesRefused, RulesSet
from booking.queue.tokens import TokenSigner
from booking.queue.view import QueueView
from booking.seats.domain import seat
from booking.seats.view import DateSeats, SeatMaps

__all__ = ["Actors", "BookingService", "Freshness"]

AHEAD_ASKED_MAX = 1_000
"""Of those in front, when the owner is asked about somebody who waits: what one busy moment lets
in between two words of the owner to the others."""


class Freshness(Protocol):
    """How well this instance knows what it did not decide itself."""

    def check(self, address: Address) -> None:
        """Raises :class:`~actors.errors.UnavailableError` if the view of this entity is too old to
        be told."""

    def check_here(self) -> None:
        """Raises it if this instance heard nothing for a while, and has not looked again yet."""

    def newest(self, address: Address) -> bool:
        """Whether nobody knows more of the entity than the view here."""


class BookingService:
    """Implements :class:`booking.api.Bookings` and :class:`booking.api.QueueDesk`."""

    def __init__(
        self,
        *,
        actors: Actors,
        journal: Journal,
        clock: Clock,
        signer: TokenSigner,
        seats: SeatMaps,
        queues: Mapping[str, QueueView],
        read_event: Callable[[Row], Any],
        readiness: Callable[[], Awaitable[Readiness]],
        freshness: Freshness,
    ) -> None:
        self._asking = ActorClient(actors)
        self._records = MoneyRecords(journal, read_event)
        self._clock = clock
        self._signer = signer
        self._seats = seats
        self._queues = queues
        self._readiness = readiness
        self._freshness = freshness

    @property
    def catalogue(self) -> Catalogue:
        return self._seats.catalogue

    def now_ms(self) -> int:
        return self._clock.now_ms()

    # -- the queue --------------------------------------------------------------------------------

    async def issue(self, user: str, queue: str, attempt: Attempt | None) -> Outcome:
        view = self._view(queue)
        if attempt is None:
            return Outcome(await self._join(view, user, ""))
        key = command_key(user, "issue", attempt)
        return await self._asking.once(user, key, lambda: self._join(view, user, key.id.hex()))

    async def _join(self, view: QueueView, user: str, attempt: str) -> QueueStatus | Rejected:
        # Without a name for the try, the second would be told that the user is in line already.
        join = queue.Join(user, attempt)
        reply = await self._asking.reply(queue_address(view.name), join, repeatable=bool(attempt))
        match reply:
            case Rejected():
                return reply
            case queue.Place():
                view.presence.seen(reply.number, self.now_ms())
                token = QueueToken(user, view.name, reply.number, reply.joined_ms)
                return view.standing_of(reply, self._signer.sign(token), self.now_ms())
        raise AssertionError(f"a queue answered {type(reply).__name__} to a join")

    def token(self, text: str) -> QueueToken:
        if not text:
            raise TokenError("token_missing")
        return self._signer.read(text)

    def standing(self, token: QueueToken, text: str) -> QueueStatus:
        """No sign of the holder: what is pushed is looked up whether or not anybody listens."""
        view = self._queues.get(token.queue)
        if view is None:
            raise TokenError("token_invalid")
        self._freshness.check(queue_address(view.name))
        return view.standing(token, text, self._clock.now_ms())

    def polled(self, token: QueueToken, text: str) -> QueueStatus:
        view = self._queues.get(token.queue)
        if view is None:
            raise TokenError("token_invalid")
        now_ms = self._clock.now_ms()
        view.presence.seen(token.number, now_ms)
        self._freshness.check(queue_address(view.name))
        return view.standing(token, text, now_ms)

    def admitted(self, text: str) -> QueueToken:
        token = self.token(text)
        view = self._queues.get(token.queue)
        if view is None:
            raise TokenError("token_invalid")
        self._freshness.check(queue_address(view.name))
        now_ms = self._clock.now_ms()
        view.presence.seen(token.number, now_ms)
        if not view.is_active(token, now_ms):
            raise NotAdmittedError(view.standing(token, text, now_ms))
        return token

    async def owners_standing(
        self, token: QueueToken, text: str, refusal: Exception
    ) -> QueueStatus:
        view = self._queues.get(token.queue)
        if view is None or not self._may_be_behind(view, token, refusal):
            raise refusal
        reply = await self._asking.reply(
            queue_address(token.queue), queue.Look(token.user, token.number)
        )
        if not isinstance(reply, queue.Place):
            raise refusal
        return view.standing_of(reply, text, self.now_ms())

    def _may_be_behind(self, view: QueueView, token: QueueToken, refusal: Exception) -> bool:
        """Whether the owner may have let somebody in who waits by what is known here. Those far
        back are not asked for: they would cost the owner what the view is there to save."""
        if isinstance(refusal, NotAdmittedError):
            newest = self._freshness.newest(queue_address(view.name))
            return not newest and refusal.standing.ahead < AHEAD_ASKED_MAX
        return isinstance(refusal, TokenError) and token.number > view.last_number

    async def leave(self, token: QueueToken) -> None:
        await self._asking.reply(queue_address(token.queue), queue.Leave(token.user, token.number))

    def present(self, token: QueueToken) -> None:
        view = self._queues.get(token.queue)
        if view is not None:
            view.presence.seen(token.number, self._clock.now_ms())

    def queue_version(self, queue: str) -> int:
        return self._view(queue).version

    async def queue_report(self, queue: str) -> QueueReport:
        view = self._view(queue)
        return report_of(view, view.policy)

    async def change_queue(self, queue: str, change: QueueChange, who: str) -> QueueReport:
        view = self._view(queue)
        reply = await self._asking.reply(queue_address(queue), command_of(change, who))
        match reply:
            case RulesSet(policy):
                return report_of(view, policy)
            case RulesRefused(detail):
                raise ValueError(detail)
        raise AssertionError(f"a queue answered {type(reply).__name__} to new rules")

    def _view(self, queue: str) -> QueueView:
        view = self._queues.get(queue)
        if view is None:
            raise UnknownError(f"queue {queue}")
        return view

    def _check_opens(self, token: QueueToken, schedule: str) -> None:
        if not self.catalogue.opens(token.queue, schedule):
            raise UnknownError(f"date {schedule} behind queue {token.queue}")

    # -- seats and reservations -------------------------------------------------------------------

    def seat_map(self, schedule: str, *, fresh: bool = True) -> DateSeats:
        seats = self._seats.get(schedule)
        if seats is None:
            raise UnknownError(f"date {schedule}")
        if fresh:
            self._freshness.check(ledger_address(schedule))
        else:
            self._freshness.check_here()
        return seats

    async def reserve(
        self, token: QueueToken, schedule: str, seat: int, attempt: Attempt | None
    ) -> Outcome:
        self._check_opens(token, schedule)
        if attempt is None:
            return Outcome(await self._reserve(token.user, schedule, seat, new_id("rsv")))
        key = command_key(token.user, "reservation", attempt)
        reservation = new_id("rsv", key)
        return await self._asking.once(
            token.user, key, lambda: self._reserve(token.user, schedule, seat, reservation)
        )

    async def _reserve(
        self, user: str, schedule: str, number: int, reservation: str
    ) -> ReservationRecord | Rejected:
        held = await self._asking.reply(
            seat_address(schedule, number), seat.HoldSeat(user, reservation)
        )
        if isinstance(held, Rejected):
            return held
        if not isinstance(held, seat.HoldGranted):
            raise AssertionError(f"a seat answered {type(held).__name__} to a hold")
        noted = Reservation(
            reservation, schedule, number, held.price, held.held_at_ms, held.until_ms
        )
        kept = await self._asking.reply(account_address(user), account.NoteReservation(noted))
        match kept:
            case account.ReservationKept():
                return ReservationRecord(kept.reservation, "PENDING")
            case Rejected():
                return kept
        raise AssertionError(f"an account answered {type(kept).__name__} to a reservation")

    async def reservations(self, token: QueueToken) -> list[ReservationRecord]:
        view = await self._account(token.user)
        return [
            ReservationRecord(each, reservation_status(each, view.now_ms))
            for each in view.reservations
        ]

    async def reservation(self, token: QueueToken, reservation_id: str) -> ReservationRecord:
        for record in await self.reservations(token):
            if record.reservation.id == reservation_id:
                return record
        raise UnknownError(f"reservation {reservation_id}")

    async def release(self, token: QueueToken, reservation_id: str) -> Rejected | None:
        held = (await self.reservation(token, reservation_id)).reservation
        if not held.payment:
            ended = await self._asking.reply(
                seat_address(held.schedule, held.seat),
                seat.ReleaseSeat(token.user, reservation_id),
            )
            if isinstance(ended, Rejected):
                return ended
        noted = await self._asking.reply(
            account_address(token.user), account.NoteCancellation(reservation_id)
        )
        return noted if isinstance(noted, Rejected) else None

    async def _account(self, user: str) -> account.AccountView:
        view = await self._asking.reply(account_address(user), account.GetAccount())
        if not isinstance(view, account.AccountView):
            raise AssertionError(f"an account answered {type(view).__name__} when looked at")
        return view

    # -- money ------------------------------------------------------------------------------------

    async def charge(self, user: str, amount: int, attempt: Attempt | None) -> Outcome:
        key = command_key(user, "charge", attempt) if attempt else None
        command = account.Charge(new_id("chg", key), amount)
        answer = await self._asking.answer(account_address(user), command, key)
        match answer.reply:
            case account.ChargeDone(balance):
                return Outcome(Charged(balance), answer.replayed)
            case Rejected():
                return Outcome(answer.reply, answer.replayed)
        raise AssertionError(f"an account answered {type(answer.reply).__name__} to a charge")

    async def balance(self, user: str) -> int:
        return (await self._account(user)).balance

    async def pay(
        self, token: QueueToken, schedule: str, seat: int, attempt: Attempt | None
    ) -> Outcome:
        self._check_opens(token, schedule)
        key = command_key(token.user, "payment", attempt) if attempt else None
        command = account.Pay(new_id("pay", key), schedule, seat, token.queue, token.number)
        answer = await self._asking.answer(account_address(token.user), command, key)
        return Outcome(_paid(answer.reply), answer.replayed)

    async def replay(
        self, token: QueueToken, call: Literal["reservation", "payment"], attempt: Attempt
    ) -> Outcome | None:
        key = command_key(token.user, call, attempt)
        stored = await self._asking.stored(token.user, key)
        if stored is None:
            return None
        return Outcome(_paid(stored) if call == "payment" else value_of(stored), replayed=True)

    async def history(self, user: str, limit: int, after: str | None) -> Page:
        return await self._records.history(user, limit, after)

    async def payments(self, user: str, limit: int, after: str | None) -> Page:
        return await self._records.payments(user, limit, after)

    async def payment(self, user: str, payment_id: str) -> Payment:
        return await self._records.payment(user, payment_id)

    # -- health -----------------------------------------------------------------------------------

    async def readiness(self) -> Readiness:
        return await self._readiness()


def _paid(reply: Any) -> Payment | Rejected:
    match reply:
        case account.PaymentDone():
            return payment_of(reply)
        case Rejected():
            return reply
    raise AssertionError(f"an account answered {type(reply).__name__} to a payment")
