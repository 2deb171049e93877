"""Holding a seat, looking at holds, giving one up."""

from __future__ import annotations

from msgspec import UNSET

from booking.calls import Outcome, UnknownError
from booking.catalogue.domain import seat_id
from booking.domain.decision import Rejected
from booking.queue.tokens import TokenError
from booking.seats.service import ReservationRecord
from booking.services import Services
from booking_http.bodies import BodyReader, attempt_of
from booking_http.dispatch import data_reply
from booking_http.problems import RejectedError, malformed
from booking_http.reply import NO_STORE, REPLAYED, Reply, header
from booking_http.routes import Answer, Call, Route
from booking_http.schemas import ReservationData, ReserveBody, ReservedSeat
from booking_http.seats.names import named_seat
from booking_http.settings import EdgeSettings
from booking_http.times import rfc3339

_RELEASE_PROBLEMS = (
    "not_found",
    "reservation_not_found",
    "already_paid",
    "payment_in_progress",
    "reservation_ended",
    "hold_expired",
)


class ReservationCalls:
    def __init__(self, services: Services, settings: EdgeSettings) -> None:
        self._services = services
        self._body = BodyReader(ReserveBody, settings.body_timeout_s)

    async def reserve(self, call: Call) -> Reply:
        schedule, number = self._wanted(await self._body.read(call.request))
        attempt = attempt_of(call.request, (schedule, number))
        return self._outcome(
            await self._services.seats.reserve(call.holder, schedule, number, attempt)
        )

    async def replay(self, call: Call) -> Reply:
        attempt = attempt_of(call.request, self._wanted(await self._body.read(call.request)))
        assert attempt is not None, "only called with a key"
        outcome = await self._services.seats.replay(call.holder, attempt)
        if outcome is None:
            raise TokenError("token_expired")
        return self._outcome(outcome)

    def _outcome(self, outcome: Outcome[ReservationRecord | Rejected]) -> Reply:
        if isinstance(outcome.value, Rejected):
            raise RejectedError(outcome.value, outcome.replayed)
        assert isinstance(outcome.value, ReservationRecord)
        # As of the hold itself, so that a replay says to the letter what was said first.
        data = self._data(outcome.value, outcome.value.reservation.created_ms)
        location = header("Location", f"/reservation/{data.id}")
        headers = NO_STORE + location + (REPLAYED if outcome.replayed else b"")
        return data_reply(data, 201, headers)

    def _wanted(self, body: ReserveBody) -> tuple[str, int]:
        """The seat that the body names in one of its two ways."""
        by_place = (body.concertScheduleId is not UNSET, body.seatNumber is not UNSET)
        if body.seatId is not UNSET:
            if any(by_place):
                raise malformed("seatId: not together with concertScheduleId and seatNumber")
            return named_seat(self._services, body.seatId)
        if body.concertScheduleId is UNSET or body.seatNumber is UNSET:
            missing = "seatNumber" if by_place[0] else "concertScheduleId" if by_place[1] else ""
            raise malformed(
                f"{missing}: missing" if missing else "seatId: missing (or a date and a number)"
            )
        schedule = self._services.catalogue.schedules.get(body.concertScheduleId)
        if schedule is None or body.seatNumber not in schedule.prices:
            raise UnknownError
        return schedule.id, body.seatNumber

    async def one(self, call: Call) -> Reply:
        record = await self._services.seats.reservation(call.holder, call.path_id)
        return data_reply(self._data(record, self._services.clock.now_ms()))

    async def all(self, call: Call) -> Reply:
        records = await self._services.seats.reservations(call.holder)
        now_ms = self._services.clock.now_ms()
        return data_reply([self._data(record, now_ms) for record in records])

    async def release(self, call: Call) -> Reply:
        rejected = await self._services.seats.release(call.holder, call.path_id)
        if rejected is not None:
            raise RejectedError(rejected)
        return Reply(204, NO_STORE)

    def _data(self, record: ReservationRecord, now_ms: int) -> ReservationData:
        hold = record.reservation
        left_ms = hold.until_ms - now_ms if record.status == "PENDING" else 0
        seat = ReservedSeat(seat_id(hold.schedule, hold.seat), self._free(record), hold.seat)
        return ReservationData(
            id=hold.id,
            seat=seat,
            status=record.status,
            price=hold.price,
            created_at=rfc3339(hold.created_ms),
            expires_at=rfc3339(hold.until_ms),
            # Rounded up: a hold made this instant has its full time, and 0 means it is over.
            expiresInSeconds=max(0, -(-left_ms // 1000)),
        )

    def _free(self, record: ReservationRecord) -> bool:
        """Whether anybody may have the seat now."""
        if record.status in ("PENDING", "COMPLETED"):
            return False
        hold = record.reservation
        try:
            seats = self._services.seats.seat_map(hold.schedule)
        except UnknownError:
            return False  # the date has left the catalogue
        return hold.seat not in seats.held and hold.seat not in seats.sold

    def routes(self) -> tuple[Route, ...]:
        return (
            Route(
                "POST",
                "/reservation",
                self.reserve,
                "reserveSeat",
                "Hold a seat",
                Answer(201, ReservationData, "The seat is held.", ("Location",)),
                "reservation",
                gate="admitted",
                body=ReserveBody,
                idempotent=True,
                replay=self.replay,
                problems=(
                    "not_found",
                    "seat_unavailable",
                    "booking_closed",
                    "hold_limit_reached",
                    "hold_cooling_down",
                ),
            ),
            Route(
                "GET",
                "/reservation/{id}",
                self.one,
                "reservation",
                "One of the caller's reservations",
                Answer(200, ReservationData, "The reservation."),
                "reservation",
                gate="admitted",
                problems=("not_found", "reservation_not_found"),
            ),
            Route(
                "GET",
                "/reservations",
                self.all,
                "reservations",
                "The caller's reservations",
                Answer(200, list[ReservationData], "Newest first."),
                "reservation",
                gate="admitted",
            ),
            Route(
                "DELETE",
                "/reservation/{id}",
                self.release,
                "releaseSeat",
                "Give a held seat up at once",
                Answer(204, None, "The seat is free."),
                "reservation",
                gate="admitted",
                problems=_RELEASE_PROBLEMS,
            ),
        )
