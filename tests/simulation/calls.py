"""Calls of users, each made at one instance as its edge would make it, and what they are told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from actors.errors import (
    DeadlineExceededError,
    EntityCrashedError,
    KeyInFlightError,
    OutcomeUnknownError,
    UnavailableError,
)
from booking.accounts.domain.account import ChargeDone, OrderRecord, PaymentDone, ReservationRecord
from booking.calls import Attempt, Outcome, QueueToken, TokenError
from booking.domain.decision import Rejected
from booking.queue.service import NotAdmittedError
from booking.queue.view import QueueStatus
from booking.seats.domain.ledger import word_of
from booking.seats.service import Wanted
from booking.seats.view import SeatMap
from booking.services import Services
from tests.simulation.truth import Fact
from tests.support.journals import user_id

if TYPE_CHECKING:
    from tests.simulation.instances import Instance

T = TypeVar("T")

STEP_MAX_S = 5.1
"""A message is answered by its deadline, and that is kept within two ticks."""

REFUSALS = (
    UnavailableError,
    KeyInFlightError,
    TokenError,
    NotAdmittedError,
    EntityCrashedError,
)
"""What a call is told that is not an outcome."""


class Ask(msgspec.Struct, frozen=True):
    """What a user asks. ``steps`` is how many messages it may take, each of which may wait."""

    route: str
    words: str
    run: Callable[[Services], Coroutine[Any, Any, Any]]
    steps: int
    attempt: Attempt | None = None
    amount: int = 0
    token: str = ""
    """What has to open for it."""


class Call(msgspec.Struct, eq=False):
    """One try of it, and its answer."""

    user: str
    ask: Ask
    instance: Instance
    began_s: float
    task: asyncio.Task[Any]
    late_s: float = 0.0
    """How much of its time a fault took."""
    ended_s: float | None = None
    value: Any = None
    replayed: bool = False
    error: BaseException | None = None

    @property
    def user_id(self) -> str:
        return user_id(int(self.user.split()[1]))

    @property
    def fact(self) -> Fact | None:
        """What its answer says has happened."""
        match self.value:
            case ReservationRecord():
                return "hold", self.value.reservation.id
            case OrderRecord():
                return "hold", self.value.reservations[0].reservation.id
            case PaymentDone():
                return "sale", self.value.id
            case ChargeDone():
                return "charge", self.ask.amount
            case QueueStatus():
                return "place", self.value.number, self.user_id
            case _:
                return None

    @property
    def limit_s(self) -> float:
        return self.ask.steps * STEP_MAX_S + self.late_s

    @property
    def final(self) -> bool:
        """It has an outcome that a repeat has to be told again."""
        retry = isinstance(self.value, Rejected) and self.value.retry_after_ms > 0
        return self.ended_s is not None and self.error is None and not retry

    @property
    def undone(self) -> bool:
        """It was refused with the promise that nothing was done."""
        error = self.error
        uncertain = isinstance(error, OutcomeUnknownError | DeadlineExceededError)
        return isinstance(error, UnavailableError) and not uncertain

    @property
    def words(self) -> str:
        if self.error is not None:
            return f"{type(self.error).__name__}: {self.error}".removesuffix(": ")
        return outcome_words(self.value) + (" (replayed)" if self.replayed else "")


def outcome_words(value: Any) -> str:
    match value:
        case Rejected():
            return f"refused: {value.code}"
        case QueueStatus():
            state = "inside" if value.active else f"waiting, {value.ahead} ahead"
            return f"number {value.number}, {state}"
        case ReservationRecord():
            hold = value.reservation
            return (
                f"held {hold.schedule}-{hold.seat} until {hold.until_ms % 10**7} ({hold.id[-6:]})"
            )
        case OrderRecord(order, records):
            numbers = [record.reservation.seat for record in records]
            return f"held {numbers} of {records[0].reservation.schedule} ({order[-6:]})"
        case PaymentDone():
            return f"paid {value.amount} for {value.schedule}-{value.seat} ({value.id[-6:]})"
        case ChargeDone():
            return f"charged, balance {value.balance}"
        case None:
            return "done"
        case _:
            return str(value)


def seat_states(seats: SeatMap) -> dict[int, str]:
    """``available``, ``held`` or ``sold``, by number."""
    return {number: word_of(seats.ledger, number) for number in sorted(seats.schedule.prices)}


# -- what the edge does ----------------------------------------------------------------------------


async def answered(services: Services, run: Callable[[Services], Coroutine[Any, Any, Any]]) -> Any:
    """The call's answer. An instance that stood still knows first what happened meanwhile."""
    if services.freshness.regaining:
        await services.freshness.settle()
    return await run(services)


async def gate(services: Services, text: str) -> QueueToken:
    """Who comes with this token, if it opens: as :mod:`booking_http.dispatch` does it."""
    try:
        return services.queue.admitted(text)
    except (NotAdmittedError, TokenError) as refusal:
        return await _ask_owner(services, text, refusal)


async def _ask_owner(
    services: Services, text: str, refusal: NotAdmittedError | TokenError
) -> QueueToken:
    token = services.queue.read_token(text)
    standing = await services.queue.owners_status(token, text, refusal)
    if not standing.active:
        raise NotAdmittedError(standing)
    return token


async def _keyed(
    services: Services,
    text: str,
    attempt: Attempt | None,
    replay: Callable[[QueueToken, Attempt], Awaitable[Outcome[T] | None]],
    run: Callable[[QueueToken], Awaitable[Outcome[T]]],
) -> Outcome[T]:
    """A token that the call itself has used up still tells what became of it."""
    try:
        token = await gate(services, text)
    except TokenError as refusal:
        if refusal.code != "token_expired" or attempt is None:
            raise
        stored = await replay(services.queue.read_token(text), attempt)
        if stored is None:
            raise
        return stored
    return await run(token)


async def status(services: Services, text: str) -> QueueStatus:
    """Where the token stands."""
    token = services.queue.read_token(text)
    try:
        return services.queue.poll(token, text)
    except TokenError as error:
        return await services.queue.owners_status(token, text, error)


async def reserve(
    services: Services, text: str, date: str, seat: int, attempt: Attempt | None
) -> Outcome[ReservationRecord | Rejected]:
    """Hold a seat."""
    seats = services.seats
    return await _keyed(
        services,
        text,
        attempt,
        lambda token, attempt: seats.replay(token, date, seat, attempt),
        lambda token: seats.reserve(token, date, seat, attempt),
    )


async def pay(
    services: Services, text: str, date: str, seat: int, attempt: Attempt | None
) -> Outcome[PaymentDone | Rejected]:
    """Pay for a held seat."""
    accounts = services.accounts
    return await _keyed(
        services,
        text,
        attempt,
        accounts.replay,
        lambda token: accounts.pay(token, date, seat, attempt),
    )


async def place(
    services: Services, text: str, date: str, wanted: Wanted, attempt: Attempt | None
) -> Outcome[OrderRecord | Rejected]:
    """Hold several seats."""
    seats = services.seats
    return await _keyed(
        services,
        text,
        attempt,
        lambda token, attempt: seats.replay_order(token, date, attempt),
        lambda token: seats.place(token, date, wanted, attempt),
    )


async def pay_order(
    services: Services, text: str, order: str, attempt: Attempt | None
) -> Outcome[PaymentDone | Rejected]:
    """Pay for an order."""
    accounts = services.accounts
    return await _keyed(
        services,
        text,
        attempt,
        accounts.replay,
        lambda token: accounts.pay_order(token, order, attempt),
    )


async def release_order(services: Services, text: str, order: str) -> Rejected | None:
    """Give an order up."""
    return await services.seats.release_order(await gate(services, text), order)


async def release(services: Services, text: str, reservation: str) -> Rejected | None:
    """Give a hold up."""
    return await services.seats.release(await gate(services, text), reservation)


async def leave(services: Services, text: str) -> None:
    """Give the place in the queue up."""
    await services.queue.leave(services.queue.read_token(text))
