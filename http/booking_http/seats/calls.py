"""The seats of a date, and reservations: holding a seat, looking at holds, giving one up."""

from msgspec import UNSET
from msgspec.structs import astuple

from booking.accounts.domain.account import ReservationRecord
from booking.calls import Outcome, TokenError, UnknownError
from booking.catalogue.domain import seat_id
from booking.domain.decision import Rejected
from booking.seats.domain.ledger import word_of
from booking.services import Services
from booking_http.inputs import attempt_of, flag
from booking_http.problems import accepted, malformed, rejection
from booking_http.reply import NO_STORE, REPLAYED, Reply, data_reply, header, takes_gzip
from booking_http.routes import DATE, Answer, Call, Calls, Param, Route
from booking_http.schemas import rfc3339
from booking_http.seats.listing import SeatListings
from booking_http.seats.schemas import AvailableSeat, ReservationData, ReserveBody, ReservedSeat

_ALL = Param(
    "all", flag, {"type": "boolean"}, "true: taken seats too, with their state.", default=False
)


class SeatCalls(Calls):
    """The calls about seats and reservations."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._seats = services.seats
        self._listings = SeatListings(services.seats)

    @Route(
        "GET", "/concert/available-seats",
        Answer(200, list[AvailableSeat], "By number.", ("ETag",)),
        "concert", gate="admitted", params=(DATE, _ALL), problems=("not_found",),
    )  # fmt: skip
    async def available_seats(self, call: Call) -> Reply:
        """Free seats of a date."""
        schedule = call.params["concertScheduleId"]
        self._seats.check_opens(call.holder, schedule)
        packed = takes_gzip(call.request)
        listing = await self._listings.listing(schedule, call.params["all"], packed=packed)
        return listing.reply(call.request)

    async def _replay(self, call: Call) -> Reply:
        schedule, number = self._wanted(call.body)
        attempt = attempt_of(call.request, (schedule, number))
        assert attempt is not None, "only called with a key"
        outcome = await self._seats.replay(call.holder, schedule, number, attempt)
        if outcome is None:
            raise TokenError("token_expired")
        return self._held(outcome)

    @Route(
        "POST", "/reservation",
        Answer(201, ReservationData, "The seat is held.", ("Location",)),
        "reservation", gate="admitted", body=ReserveBody, idempotent=True, replay=_replay,
        problems=(
            "not_found", "seat_unavailable", "booking_closed", "hold_limit_reached",
            "purchase_limit_reached", "hold_cooling_down",
        ),
    )  # fmt: skip
    async def reserve_seat(self, call: Call) -> Reply:
        """Hold a seat."""
        schedule, number = self._wanted(call.body)
        attempt = attempt_of(call.request, (schedule, number))
        return self._held(await self._seats.reserve(call.holder, schedule, number, attempt))

    def _held(self, outcome: Outcome[ReservationRecord | Rejected]) -> Reply:
        record = accepted(outcome)
        # As of the hold itself, so that a replay says to the letter what was said first.
        data = self._data(record, record.reservation.created_ms)
        location = header("Location", f"/reservation/{data.id}")
        return data_reply(data, 201, NO_STORE + location + (REPLAYED if outcome.replayed else b""))

    def _wanted(self, body: ReserveBody) -> tuple[str, int]:
        """The seat that the body names in one of its two ways."""
        by_place = (body.concertScheduleId is not UNSET, body.seatNumber is not UNSET)
        if body.seatId is not UNSET:
            if any(by_place):
                raise malformed("seatId: not together with concertScheduleId and seatNumber")
            return self._seats.find(body.seatId)
        if body.concertScheduleId is UNSET or body.seatNumber is UNSET:
            missing = "seatNumber" if by_place[0] else "concertScheduleId" if by_place[1] else ""
            raise malformed(
                f"{missing}: missing" if missing else "seatId: missing (or a date and a number)"
            )
        schedule = self._seats.catalogue.schedules.get(body.concertScheduleId)
        number = body.seatNumber
        if schedule is None or not (number in schedule.prices or schedule.has(number)):
            raise UnknownError
        return schedule.id, number

    @Route(
        "GET", "/reservation/{id}", Answer(200, ReservationData, "The reservation."),
        "reservation", gate="admitted", problems=("not_found", "reservation_not_found"),
    )  # fmt: skip
    async def reservation(self, call: Call) -> Reply:
        """One of the caller's reservations."""
        record = await self._seats.reservation(call.holder.user, call.path_id)
        return data_reply(self._data(record, self._services.clock.now_ms()))

    @Route(
        "GET", "/reservations", Answer(200, list[ReservationData], "Newest first."),
        "reservation", gate="admitted",
    )  # fmt: skip
    async def reservations(self, call: Call) -> Reply:
        """The caller's reservations."""
        records = await self._seats.reservations(call.holder.user)
        now_ms = self._services.clock.now_ms()
        return data_reply([self._data(record, now_ms) for record in records])

    @Route(
        "DELETE", "/reservation/{id}", Answer(204, None, "The seat is free."),
        "reservation", gate="admitted",
        problems=(
            "not_found", "reservation_not_found", "already_paid", "payment_in_progress",
            "reservation_ended", "hold_expired",
        ),
    )  # fmt: skip
    async def release_seat(self, call: Call) -> Reply:
        """Give a held seat up at once."""
        rejected = await self._seats.release(call.holder, call.path_id)
        if rejected is not None:
            raise rejection(rejected)
        return Reply(204, NO_STORE)

    def _data(self, record: ReservationRecord, now_ms: int) -> ReservationData:
        hold = record.reservation
        left_ms = hold.until_ms - now_ms if record.status == "PENDING" else 0
        planned = self._services.catalogue.planned_seat(hold.schedule, hold.seat)
        place = () if planned is None else astuple(planned)
        name = seat_id(hold.schedule, hold.seat)
        seat = ReservedSeat(name, self._free(record), hold.seat, *place)
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
            seats = self._seats.seat_map(hold.schedule)
        except UnknownError:
            return False  # the date has left the catalogue
        return word_of(seats.ledger, hold.seat) == "available"
