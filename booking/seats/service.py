"""The calls about seats: seat maps from this instance's memory, and reservations.

A reservation is held by the seat and noted in the account, so a call here asks both. The seat
decides; the account has the user's keys, and says which answer is the one.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from actors.behaviour import CommandKey
from booking.accounts.domain import account
from booking.accounts.domain.account import Reservation, reservation_status
from booking.calls import (
    ActorClient,
    Attempt,
    CompensableStep,
    Freshness,
    Outcome,
    QueueToken,
    UnknownError,
    command_key,
    new_id,
    step_key,
)
from booking.catalogue.domain import Catalogue
from booking.domain.decision import Rejected
from booking.entities import account_address, ledger_address, seat_address
from booking.seats.domain.seat import HoldGranted, HoldSeat, ReleaseSeat
from booking.seats.view import SeatMap, SeatMaps


class ReservationRecord(msgspec.Struct, frozen=True, tag=True):
    """A reservation and its state at the time of asking."""

    reservation: Reservation
    status: Literal["PENDING", "COMPLETED", "EXPIRED", "CANCELLED"]


_STORED: msgspec.msgpack.Decoder[ReservationRecord | Rejected]
_STORED = msgspec.msgpack.Decoder(ReservationRecord | Rejected)


class SeatService:
    """Seats and reservations of one instance. Coroutines raise those of :mod:`actors.errors`."""

    def __init__(self, actors: ActorClient, maps: SeatMaps, freshness: Freshness) -> None:
        self._actors = actors
        self._maps = maps
        self._freshness = freshness

    @property
    def catalogue(self) -> Catalogue:
        """The catalogue in force."""
        return self._maps.catalogue

    def seat_map(self, schedule: str, *, fresh: bool = True) -> SeatMap:
        """The date's seats, from memory; :class:`~booking.calls.UnknownError` for an unknown date.

        With ``fresh``, :class:`actors.errors.UnavailableError` if this instance's knowledge is
        older than two seconds.
        """
        seats = self._maps.get(schedule)
        if seats is None:
            raise UnknownError(f"date {schedule}")
        check = self._freshness.check if fresh else self._freshness.check_here
        check(ledger_address(schedule))
        return seats

    def check_opens(self, token: QueueToken, schedule: str) -> None:
        """Raise :class:`~booking.calls.UnknownError` unless the token's queue is the date's."""
        date = self._maps.catalogue.schedules.get(schedule)
        if date is None or date.queue != token.queue:
            raise UnknownError(f"date {schedule} behind queue {token.queue}")

    def find(self, seat_id: str) -> tuple[str, int]:
        """Date and number of a seat; :class:`~booking.calls.UnknownError` for an unknown id."""
        found = self._maps.catalogue.find_seat(seat_id)
        if found is None:
            raise UnknownError(f"seat {seat_id}")
        return found[0].id, found[1]

    async def reserve(
        self, token: QueueToken, schedule: str, seat: int, attempt: Attempt | None
    ) -> Outcome[ReservationRecord | Rejected]:
        """Hold a seat; :class:`~booking.calls.UnknownError` if the token does not open the date."""
        self.check_opens(token, schedule)
        key = command_key(token.user, "reservation", attempt) if attempt else None
        return await self._actors.once(
            token.user, key, lambda: self._hold(token, schedule, seat, key), _STORED
        )

    async def _hold(
        self, token: QueueToken, schedule: str, seat: int, key: CommandKey | None
    ) -> CompensableStep[ReservationRecord]:
        address, reservation = seat_address(schedule, seat), new_id("rsv", key)
        hold = HoldSeat(token.user, reservation)
        answer = await self._actors.answer(address, hold, step_key(key), repeatable=True)
        held = answer.reply
        if isinstance(held, Rejected) and answer.replayed:
            # An owner of the release before stores refusals, too, which are to be decided anew.
            held = await self._actors.reply(address, hold)
        if isinstance(held, Rejected):
            return CompensableStep(held)
        assert isinstance(held, HoldGranted), held
        noted = Reservation(reservation, schedule, seat, held.price, held.held_at_ms, held.until_ms)
        release = ReleaseSeat(token.user, reservation)
        return CompensableStep(
            ReservationRecord(noted, "PENDING"),
            account.NoteReservation(noted, token.queue, token.number),
            take_back=lambda: self._actors.reply(address, release),
            differs=lambda other: other.reservation.until_ms != held.until_ms,
        )

    async def replay(
        self, token: QueueToken, attempt: Attempt
    ) -> Outcome[ReservationRecord | Rejected] | None:
        """The stored outcome of this user's earlier :meth:`reserve` with this key, or ``None``.

        For clients whose token the call itself used up, and whose answer got lost. Raises
        :class:`actors.errors.KeyReusedError` and ``KeyInFlightError`` as the call itself.
        """
        key = command_key(token.user, "reservation", attempt)
        return await self._actors.replay(token.user, key, _STORED)

    async def reservations(self, token: QueueToken) -> list[ReservationRecord]:
        """The user's reservations, newest first."""
        view = await self._actors.reply(account_address(token.user), account.GetAccount())
        assert isinstance(view, account.AccountView), view
        return [
            ReservationRecord(each, reservation_status(each, view.now_ms))
            for each in view.reservations
        ]

    async def reservation(self, token: QueueToken, reservation_id: str) -> ReservationRecord:
        """One reservation; :class:`~booking.calls.UnknownError` if it is not this user's."""
        for record in await self.reservations(token):
            if record.reservation.id == reservation_id:
                return record
        raise UnknownError(f"reservation {reservation_id}")

    async def release(self, token: QueueToken, reservation_id: str) -> Rejected | None:
        """Give a hold up; ``None`` when it is given up. Repeating it gives the same."""
        held = (await self.reservation(token, reservation_id)).reservation
        if not held.payment:
            ended = await self._actors.reply(
                seat_address(held.schedule, held.seat), ReleaseSeat(token.user, reservation_id)
            )
            if isinstance(ended, Rejected):
                return ended
        noted = await self._actors.reply(
            account_address(token.user), account.NoteCancellation(reservation_id)
        )
        return noted if isinstance(noted, Rejected) else None
