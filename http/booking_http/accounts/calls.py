"""A user's money: charge, balance, history; paying for a held seat, and what was paid."""
# ruff: noqa: N815  -- the field names are the public ones

from functools import lru_cache
from io import BytesIO
from typing import Annotated, Any, Literal

import msgspec
import segno
from msgspec import UNSET, Meta, UnsetType
from msgspec.structs import asdict

from booking.accounts.domain.account import CHARGE_MAX, PaymentCompleted, PaymentDone
from booking.accounts.service import HistoryItem
from booking.calls import Outcome, TokenError
from booking.catalogue.domain import seat_id
from booking.domain.decision import Rejected
from booking.domain.orders import order_of
from booking.domain.plan import Flag
from booking.services import Services
from booking_http.inputs import attempt_of
from booking_http.problems import accepted, malformed
from booking_http.reply import NO_STORE, REPLAYED, Reply, data_reply, header
from booking_http.routes import AFTER, LIMIT, USER, Answer, Call, Calls, Route
from booking_http.schemas import (
    Id,
    LocalMoment,
    Moment,
    SeatNumber,
    UserId,
    Won,
    local_time,
    rfc3339,
)
from booking_http.seats.orders import OrderItem, order_item

_PICTURE = header("Content-Type", "image/svg+xml") + header(
    "Cache-Control", "private, max-age=31536000, immutable"
)


class ChargeBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose balance grows, and by how many won."""

    userId: UserId
    amount: Annotated[int, Meta(ge=1, le=CHARGE_MAX, description="Whole won.")]


class PayBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to pay for: a held seat, or an order by its id or code; one of the two."""

    seatId: Id | UnsetType = UNSET
    orderId: Id | UnsetType = UNSET


class BalanceData(msgspec.Struct, frozen=True):
    """A user's balance."""

    balance: Won


class HistoryEntry(msgspec.Struct, frozen=True):
    """One movement of a balance; ``balance`` is the one after it."""

    id: Id
    type: Literal["CHARGE", "USE", "REFUND"]
    amount: Won
    balance: Won
    created_at: Moment


class HistoryPage(msgspec.Struct, frozen=True):
    """Newest first."""

    items: list[HistoryEntry]
    has_more: bool


class PaymentData(msgspec.Struct, frozen=True, omit_defaults=True):
    """A completed payment. Name and dates are null once the date has left the catalogue; where and
    which seat it is are absent if the catalogue does not say. Of several seats it is the first;
    ``items`` has all."""

    id: Id
    seatId: Id
    seatNumber: SeatNumber
    concertName: str | None
    openDate: Moment | None
    closeDate: Moment | None
    totalAmount: Won
    status: Literal["COMPLETED"]
    created_at: Moment
    orderId: Id
    items: list[OrderItem]
    venue: str | UnsetType = UNSET
    timeZone: str | UnsetType = UNSET
    localTime: LocalMoment | UnsetType = UNSET
    section: str | UnsetType = UNSET
    row: str | UnsetType = UNSET
    label: str | UnsetType = UNSET
    category: str | UnsetType = UNSET
    flags: tuple[Flag, ...] = ()


class PaymentPage(msgspec.Struct, frozen=True):
    """Newest first."""

    items: list[PaymentData]
    has_more: bool


class AccountCalls(Calls):
    """The calls about a user's balance and payments."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._accounts = services.accounts

    @Route(
        "POST", "/user/charge", Answer(200, BalanceData, "The balance after it."),
        "user", gate="user", body=ChargeBody, idempotent=True,
        problems=("not_found", "balance_limit"),
    )  # fmt: skip
    async def charge(self, call: Call) -> Reply:
        """Charge a balance."""
        body: ChargeBody = call.body
        attempt = attempt_of(call.request, body)
        outcome = await self._accounts.charge(body.userId, body.amount, attempt)
        balance = accepted(outcome).balance
        headers = NO_STORE + REPLAYED if outcome.replayed else NO_STORE
        return data_reply(BalanceData(balance), 200, headers)

    @Route(
        "GET", "/user/check", Answer(200, BalanceData, "0 for a user never seen."),
        "user", gate="user", params=(USER,), problems=("not_found",),
    )  # fmt: skip
    async def balance(self, call: Call) -> Reply:
        """A balance."""
        return data_reply(BalanceData(await self._accounts.balance(call.user)))

    @Route(
        "GET", "/user/history", Answer(200, HistoryPage, "Newest first."),
        "user", gate="user", params=(USER, LIMIT, AFTER), problems=("not_found",),
    )  # fmt: skip
    async def history(self, call: Call) -> Reply:
        """Charges and uses."""
        limit, after = call.params["limit"], call.params["starting_after"]
        page = await self._accounts.history(call.user, limit, after)
        return data_reply(HistoryPage([_entry(item) for item in page.items], page.has_more))

    # -- payments ----------------------------------------------------------------------------------

    async def _replay(self, call: Call) -> Reply:
        attempt = attempt_of(call.request, self._wanted(call.body))
        assert attempt is not None, "only called with a key"
        outcome = await self._accounts.replay(call.holder, attempt)
        if outcome is None:
            raise TokenError("token_expired")
        return self._paid(call, outcome)

    @Route(
        "POST", "/payment",
        Answer(201, PaymentData, "The seat is the user's for good.", ("Location",)),
        "payment", gate="admitted", body=PayBody, idempotent=True, replay=_replay,
        problems=(
            "not_found", "insufficient_balance", "reservation_not_found", "hold_expired",
            "reservation_ended", "already_paid", "payment_in_progress", "seat_unavailable",
        ),
    )  # fmt: skip
    async def pay(self, call: Call) -> Reply:
        """Pay for a held seat, or for an order."""
        wanted = self._wanted(call.body)
        attempt = attempt_of(call.request, wanted)
        if isinstance(wanted, str):
            return self._paid(call, await self._accounts.pay_order(call.holder, wanted, attempt))
        return self._paid(call, await self._accounts.pay(call.holder, *wanted, attempt))

    def _wanted(self, body: PayBody) -> tuple[str, int] | str:
        """The seat, or the order."""
        if body.orderId is not UNSET:
            if body.seatId is not UNSET:
                raise malformed("orderId: not together with seatId")
            return body.orderId
        if body.seatId is UNSET:
            raise malformed("seatId: missing (or an orderId)")
        return self._services.seats.find(body.seatId)

    def _paid(self, call: Call, outcome: Outcome[PaymentDone | Rejected]) -> Reply:
        data = self._data(accepted(outcome))
        location = header("Location", f"/payment/{data.id}?userId={call.holder.user}")
        return data_reply(data, 201, NO_STORE + location + (REPLAYED if outcome.replayed else b""))

    @Route(
        "GET", "/payment/{id}", Answer(200, PaymentData, "The payment."),
        "payment", gate="user", params=(USER,), problems=("not_found",),
    )  # fmt: skip
    async def payment(self, call: Call) -> Reply:
        """A payment of the user."""
        return data_reply(self._data(await self._accounts.payment(call.user, call.path_id)))

    @Route(
        "GET", "/payment/{id}/ticket",
        Answer(200, None, "Its text is `booking:ticket:` and the id.", media="image/svg+xml"),
        "payment", gate="sent", params=(USER,), problems=("not_found",),
    )  # fmt: skip
    async def ticket(self, call: Call) -> Reply:
        """The QR code of a payment, for the door.

        A page shows it as a picture, which can send no token, so user and payment are enough: the
        id is 128 random bits, and the picture has nothing else.
        """
        payment = await self._accounts.payment(call.user, call.path_id)
        return Reply(200, _PICTURE, _qr_code(payment.id))

    @Route(
        "GET", "/payments", Answer(200, PaymentPage, "Newest first."),
        "payment", gate="user", params=(USER, LIMIT, AFTER), problems=("not_found",),
    )  # fmt: skip
    async def payments(self, call: Call) -> Reply:
        """The user's payments."""
        limit, after = call.params["limit"], call.params["starting_after"]
        page = await self._accounts.payments(call.user, limit, after)
        return data_reply(PaymentPage([self._data(item) for item in page.items], page.has_more))

    def _data(self, payment: PaymentCompleted) -> PaymentData:
        catalogue = self._services.catalogue
        schedule = catalogue.schedules.get(payment.schedule)
        venue = catalogue.venue_of(schedule)
        place: dict[str, Any] = {}
        if schedule is not None and venue is not None:
            planned = catalogue.planned_seat(schedule.id, payment.seat)
            place = {} if planned is None else asdict(planned)
            place |= {"venue": venue.name, "timeZone": venue.time_zone}
            place["localTime"] = local_time(schedule.open_ms, venue.time_zone)
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
            orderId=order_of(payment.seats[0].reservation),
            items=[
                order_item(catalogue, payment.schedule, (item.reservation, item.seat, item.price))
                for item in payment.seats
            ],
            **place,
        )


def _entry(item: HistoryItem) -> HistoryEntry:
    return HistoryEntry(item.id, item.type, item.amount, item.balance, rfc3339(item.at_ms))


@lru_cache(maxsize=1_024)
def _qr_code(payment: str) -> bytes:
    """An SVG of about 2 kB. Comparing all masks would keep the loop busy for 12 ms instead of 3."""
    code = segno.make_qr(f"booking:ticket:{payment}", error="m", boost_error=False, mask=0)
    picture = BytesIO()
    code.save(picture, kind="svg", xmldecl=False, omitsize=True, light="#fff")
    return picture.getvalue()
