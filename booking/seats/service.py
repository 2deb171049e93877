"""The calls about seats: seat maps from this instance's memory, and reservations.

The seat decides, stores the outcome under the user's key, and tells the account at the same time
what is held and what the key was used for.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from actors.transport import Answer
from booking.accounts.domain import account
from booking.accounts.domain.account import OrderRecord, ReservationRecord, reservation_status
from booking.calls import (
    ActorClient,
    Attempt,
    CompensableStep,
    Freshness,
    Outcome,
    QueueToken,
    UnknownError,
    call_ends,
    check_token,
    command_key,
    key_parts,
    new_id,
    step_key,
)
from booking.catalogue.domain import Catalogue, Schedule
from booking.domain.decision import Code, Rejected
from booking.domain.orders import code_of, order_of
from booking.entities import account_address, ledger_address, seat_address
from booking.seats.domain.order import OrderPlaced, PlaceOrder, ReleaseOrder, Wish
from booking.seats.domain.seat import GetHold, HoldEnded, HoldGranted, HoldSeat, ReleaseSeat
from booking.seats.entity import reservation_held
from booking.seats.view import SeatMap, SeatMaps

Wanted = Wish | tuple[int, ...]
"""Seats of an order: as they are wished, or their numbers."""

_STORED: msgspec.msgpack.Decoder[ReservationRecord | Rejected]
_STORED = msgspec.msgpack.Decoder(ReservationRecord | Rejected)
_STORED_ORDER: msgspec.msgpack.Decoder[OrderRecord | Rejected]
_STORED_ORDER = msgspec.msgpack.Decoder(OrderRecord | Rejected)


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

    def seat_map(self, schedule: str) -> SeatMap:
        """The date's seats, from memory; :class:`~booking.calls.UnknownError` for an unknown date,
        :class:`actors.errors.UnavailableError` if this instance's knowledge is older than two
        seconds."""
        seats = self._maps.get(schedule)
        if seats is None:
            raise UnknownError(f"date {schedule}")
        self._freshness.check(ledger_address(schedule))
        return seats

    def seat_maps(self, schedules: Iterable[Schedule]) -> list[SeatMap]:
        """The seats of dates of the catalogue, as this instance heard of them last; raises
        :class:`actors.errors.UnavailableError` after a pause, until it has caught up."""
        maps = [self._maps[schedule.id] for schedule in schedules]
        self._freshness.check_here(ledger_address(seats.schedule.id) for seats in maps)
        return maps

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
        ends = call_ends()
        key = command_key(token.user, "reservation", attempt) if attempt else None
        address, reservation = seat_address(schedule, seat), new_id("rsv", key)
        hold = HoldSeat(token.user, reservation, token.queue, token.number, *(key_parts(key)))
        if key is not None:
            self._actors.prepare(token.user, key)
        answer = await self._actors.answer(address, hold, step_key(key), repeatable=True)
        done = self._step(token, schedule, seat, answer)
        return await self._actors.once(token.user, key, done, _STORED, ends)

    def _step(
        self, token: QueueToken, schedule: str, seat: int, answer: Answer
    ) -> CompensableStep[ReservationRecord]:
        """What the seat has done, by its answer."""
        held = answer.reply
        if isinstance(held, Rejected):
            return CompensableStep(held, answer.replayed, answer.beside)
        assert isinstance(held, HoldGranted), held
        noted = reservation_held(schedule, seat, held)
        release = ReleaseSeat(token.user, held.reservation)
        return CompensableStep(
            ReservationRecord(noted, "PENDING"),
            answer.replayed,
            answer.beside,
            account.NoteReservation(noted, token.queue, token.number),
            take_back=lambda: self._actors.reply(seat_address(schedule, seat), release),
            differs=lambda other: other.reservation.until_ms != held.until_ms,
        )

    async def replay(
        self, token: QueueToken, schedule: str, seat: int, attempt: Attempt
    ) -> Outcome[ReservationRecord | Rejected] | None:
        """The stored outcome of this user's earlier :meth:`reserve` with this key, or ``None``.

        For clients whose token the call itself used up, and whose answer got lost. Raises
        :class:`actors.errors.KeyReusedError` and ``KeyInFlightError`` as the call itself.
        """
        key = command_key(token.user, "reservation", attempt)
        noted = await self._actors.look_up(account_address(token.user), key)
        check_token(noted)
        if noted is None or not noted.beside:
            return None if noted is None else Outcome(_STORED.decode(noted.body), replayed=True)
        held = await self._actors.look_up(seat_address(schedule, seat), step_key(key))
        if held is None:
            return None
        return Outcome(self._step(token, schedule, seat, Answer(held)).value, replayed=True)

    async def reservations(self, user: str) -> list[ReservationRecord]:
        """The user's reservations, newest first."""
        return [await self._verified(record) for record in await self._records(user)]

    async def reservation(self, user: str, reservation_id: str) -> ReservationRecord:
        """One reservation; :class:`~booking.calls.UnknownError` if it is not this user's."""
        return await self._verified(await self._record(user, reservation_id))

    async def _records(self, user: str) -> list[ReservationRecord]:
        view = await self._actors.account(user)
        return [
            ReservationRecord(each, reservation_status(each, view.now_ms))
            for each in view.reservations
        ]

    async def _record(self, user: str, reservation_id: str) -> ReservationRecord:
        for record in await self._records(user):
            if record.reservation.id == reservation_id:
                return record
        raise UnknownError(f"reservation {reservation_id}")

    async def _verified(self, record: ReservationRecord) -> ReservationRecord:
        """The record, if the journal has its hold: one that was noted beside it may have none, of
        which nobody was told."""
        held = record.reservation
        if not held.beside or held.payment or record.status != "PENDING":
            return record
        reply = await self._actors.reply(seat_address(held.schedule, held.seat), GetHold(held.id))
        ended = isinstance(reply, HoldEnded)
        return ReservationRecord(held, "CANCELLED") if ended else record

    async def release(self, token: QueueToken, reservation_id: str) -> Rejected | None:
        """Give a hold up; ``None`` when it is given up. Repeating it gives the same."""
        held = (await self._record(token.user, reservation_id)).reservation
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

    # -- orders ------------------------------------------------------------------------------------

    async def place(
        self, token: QueueToken, schedule: str, wanted: Wanted, attempt: Attempt | None
    ) -> Outcome[OrderRecord | Rejected]:
        """Hold several seats as one order: those with these numbers, or such as are wished.
        :class:`~booking.calls.UnknownError` if the token does not open the date."""
        self.check_opens(token, schedule)
        ends = call_ends()
        key = command_key(token.user, "order", attempt) if attempt else None
        seats, wish = ((), wanted) if isinstance(wanted, Wish) else (wanted, None)
        order, place = order_of(new_id("rsv", key)), (token.queue, token.number, *key_parts(key))
        command = PlaceOrder(token.user, order, seats, wish, *place)
        if key is not None:
            self._actors.prepare(token.user, key)
        address = ledger_address(schedule)
        answer = await self._actors.answer(address, command, step_key(key), repeatable=True)
        done = self._placed(token, schedule, answer)
        return await self._actors.once(token.user, key, done, _STORED_ORDER, ends)

    def _placed(
        self, token: QueueToken, schedule: str, answer: Answer
    ) -> CompensableStep[OrderRecord]:
        """What the ledger has done, by its answer."""
        placed = answer.reply
        if isinstance(placed, Rejected):
            return CompensableStep(placed, answer.replayed, answer.beside)
        assert isinstance(placed, OrderPlaced), placed
        held = [reservation_held(schedule, number, hold) for number, hold in placed.holds.items()]
        release = ReleaseOrder(token.user, {each.seat: each.id for each in held})
        record = OrderRecord(placed.order, tuple(ReservationRecord(r, "PENDING") for r in held))
        return CompensableStep(
            record,
            answer.replayed,
            answer.beside,
            account.NoteOrder(tuple(held), token.queue, token.number),
            take_back=lambda: self._actors.reply(ledger_address(schedule), release),
            differs=lambda other: other != record,
        )

    async def replay_order(
        self, token: QueueToken, schedule: str, attempt: Attempt
    ) -> Outcome[OrderRecord | Rejected] | None:
        """As :meth:`replay`, for :meth:`place`."""
        key = command_key(token.user, "order", attempt)
        noted = await self._actors.look_up(account_address(token.user), key)
        check_token(noted)
        if noted is None or not noted.beside:
            return None if noted is None else Outcome(_STORED_ORDER.decode(noted.body), True)
        placed = await self._actors.look_up(ledger_address(schedule), step_key(key))
        if placed is None:
            return None
        return Outcome(self._placed(token, schedule, Answer(placed)).value, replayed=True)

    async def orders(self, user: str) -> list[OrderRecord]:
        """The user's orders, newest first; each reservation is of one."""
        found: dict[str, list[ReservationRecord]] = {}
        for record in await self.reservations(user):
            found.setdefault(order_of(record.reservation.id), []).insert(0, record)
        return [OrderRecord(order, tuple(records)) for order, records in found.items()]

    async def order(self, user: str, wanted: str) -> OrderRecord:
        """One order by its id or code; :class:`~booking.calls.UnknownError` if it is not this
        user's."""
        for order in await self.orders(user):
            if wanted in (order.id, code_of(order.id)):
                return order
        raise UnknownError(f"order {wanted}")

    async def release_order(self, token: QueueToken, wanted: str) -> Rejected | None:
        """Give all unpaid seats of an order up at once; ``None`` when none is held any more."""
        order = await self.order(token.user, wanted)
        held = [r.reservation for r in order.reservations if r.status == "PENDING"]
        if not held:
            paid = order.status == "PAID"
            return Rejected(Code.ALREADY_PAID, "This order is paid.") if paid else None
        seats = {each.seat: each.id for each in held}
        ended = await self._actors.reply(
            ledger_address(held[0].schedule), ReleaseOrder(token.user, seats)
        )
        if isinstance(ended, Rejected):
            return ended
        for each in held:
            noted = await self._actors.reply(
                account_address(token.user), account.NoteCancellation(each.id)
            )
            if isinstance(noted, Rejected):
                return noted
        return None
