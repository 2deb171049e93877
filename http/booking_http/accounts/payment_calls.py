"""Paying for a held seat, and what was paid."""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO

import segno

from booking.accounts.service import Payment
from booking.calls import Attempt, Outcome
from booking.catalogue.domain import seat_id
from booking.domain.decision import Rejected
from booking.queue.tokens import TokenError
from booking.services import Services
from booking_http.bodies import BodyReader, attempt_of
from booking_http.dispatch import data_reply
from booking_http.identity import Identity
from booking_http.params import AFTER, LIMIT, USER
from booking_http.problems import RejectedError
from booking_http.reply import NO_STORE, REPLAYED, Reply, header
from booking_http.routes import Answer, Call, Route
from booking_http.schemas import PayBody, PaymentData, PaymentPage
from booking_http.seats.names import named_seat
from booking_http.settings import EdgeSettings
from booking_http.times import rfc3339

_PICTURE = header("Content-Type", "image/svg+xml") + header(
    "Cache-Control", "private, max-age=31536000, immutable"
)


class PaymentCalls:
    def __init__(self, services: Services, settings: EdgeSettings, identity: Identity) -> None:
        self._services = services
        self._identity = identity
        self._body = BodyReader(PayBody, settings.body_timeout_s)

    async def pay(self, call: Call) -> Reply:
        schedule, number, attempt = await self._wanted(call)
        outcome = await self._services.accounts.pay(call.holder, schedule, number, attempt)
        return self._outcome(call, outcome)

    async def replay(self, call: Call) -> Reply:
        _, _, attempt = await self._wanted(call)
        assert attempt is not None, "only called with a key"
        outcome = await self._services.accounts.replay(call.holder, attempt)
        if outcome is None:
            raise TokenError("token_expired")
        return self._outcome(call, outcome)

    async def _wanted(self, call: Call) -> tuple[str, int, Attempt | None]:
        body = await self._body.read(call.request)
        schedule, number = named_seat(self._services, body.seatId)
        return schedule, number, attempt_of(call.request, (schedule, number))

    def _outcome(self, call: Call, outcome: Outcome[Payment | Rejected]) -> Reply:
        if isinstance(outcome.value, Rejected):
            raise RejectedError(outcome.value, outcome.replayed)
        data = self._data(outcome.value)
        location = header("Location", f"/payment/{data.id}?userId={call.holder.user}")
        headers = NO_STORE + location + (REPLAYED if outcome.replayed else b"")
        return data_reply(data, 201, headers)

    async def one(self, call: Call) -> Reply:
        user = call.params["userId"]
        self._identity.check(call.request, user)
        return data_reply(self._data(await self._services.accounts.payment(user, call.path_id)))

    async def all(self, call: Call) -> Reply:
        params = call.params
        user = params["userId"]
        self._identity.check(call.request, user)
        page = await self._services.accounts.payments(
            user, params["limit"], params["starting_after"]
        )
        return data_reply(PaymentPage([self._data(item) for item in page.items], page.has_more))

    async def ticket(self, call: Call) -> Reply:
        """The QR code for the door. A page shows it as a picture, which can send no token, and
        shows it after the payment has used the token up. So user and payment together are enough:
        a payment's id is 128 random bits, and the picture tells nothing but that id."""
        user = call.params["userId"]
        self._identity.check_sent_token(call.request, user)
        payment = await self._services.accounts.payment(user, call.path_id)
        return Reply(200, _PICTURE, _qr_code(payment.id))

    def _data(self, payment: object) -> PaymentData:
        assert isinstance(payment, Payment)
        schedule = self._services.catalogue.schedules.get(payment.schedule)
        return PaymentData(
            id=payment.id,
            seatId=seat_id(payment.schedule, payment.seat),
            seatNumber=payment.seat,
            concertName=schedule.concert_name if schedule else None,
            openDate=rfc3339(schedule.open_ms) if schedule else None,
            closeDate=rfc3339(schedule.close_ms) if schedule else None,
            totalAmount=payment.amount,
            status="COMPLETED",
            created_at=rfc3339(payment.at_ms),
        )

    def routes(self) -> tuple[Route, ...]:
        return (
            Route(
                "POST",
                "/payment",
                self.pay,
                "pay",
                "Pay for a held seat",
                Answer(201, PaymentData, "The seat is the user's for good.", ("Location",)),
                "payment",
                gate="admitted",
                body=PayBody,
                idempotent=True,
                replay=self.replay,
                problems=(
                    "not_found",
                    "insufficient_balance",
                    "reservation_not_found",
                    "hold_expired",
                    "reservation_ended",
                    "already_paid",
                    "payment_in_progress",
                    "seat_unavailable",
                ),
            ),
            Route(
                "GET",
                "/payment/{id}",
                self.one,
                "payment",
                "A payment of the user",
                Answer(200, PaymentData, "The payment."),
                "payment",
                gate="optional",
                params=(USER,),
                problems=("not_found",),
            ),
            Route(
                "GET",
                "/payments",
                self.all,
                "payments",
                "The user's payments",
                Answer(200, PaymentPage, "Newest first."),
                "payment",
                gate="optional",
                params=(USER, LIMIT, AFTER),
                problems=("not_found",),
            ),
            self._ticket_route(),
        )

    def _ticket_route(self) -> Route:
        return Route(
            "GET",
            "/payment/{id}/ticket",
            self.ticket,
            "ticket",
            "The QR code of a payment, for the door",
            Answer(200, None, "Its text is `booking:ticket:` and the id.", media="image/svg+xml"),
            "payment",
            gate="optional",
            params=(USER,),
            problems=("not_found",),
        )


@lru_cache(maxsize=1_024)
def _qr_code(payment: str) -> bytes:
    """An SVG of about 2 kB. Readers take any mask; to compare all eight, as segno would by itself,
    keeps the loop busy for 12 ms instead of 3. Level M survives the loss of 15 % of the symbol."""
    code = segno.make_qr(f"booking:ticket:{payment}", error="m", boost_error=False, mask=0)
    picture = BytesIO()
    code.save(picture, kind="svg", xmldecl=False, omitsize=True, light="#fff")
    return picture.getvalue()
