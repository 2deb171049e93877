"""Orders: several seats of a date that are held, paid and given up together."""
# ruff: noqa: N815  -- the field names are the public ones

from dataclasses import replace
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from booking.accounts.domain.account import OrderRecord, OrderStatus, Reservation
from booking.calls import Outcome, TokenError, UnknownError
from booking.catalogue.domain import Catalogue, seat_id
from booking.domain.decision import Rejected
from booking.domain.orders import SEATS_TOGETHER_MAX, code_of
from booking.seats.domain.order import Wish
from booking.seats.service import Wanted
from booking.services import Services
from booking_http.inputs import attempt_of
from booking_http.problems import accepted, malformed, rejection
from booking_http.reply import NO_STORE, REPLAYED, Reply, data_reply, header
from booking_http.routes import USER, Answer, Call, Calls, Route
from booking_http.schemas import Id, Moment, SeatNumber, Won, rfc3339

_Count = Annotated[int, Meta(ge=1, le=SEATS_TOGETHER_MAX)]
_Name = Annotated[str, Meta(min_length=1, max_length=200)]
_OWNER = replace(USER, required=False, description="Whose; without it, the token's user.")


class OrderBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Seats of a date by their numbers, or how many and of what kind."""

    concertScheduleId: Id
    seatNumbers: (
        Annotated[list[SeatNumber], Meta(min_length=1, max_length=SEATS_TOGETHER_MAX)] | UnsetType
    ) = UNSET
    quantity: _Count | UnsetType = UNSET
    category: Annotated[str, Meta(min_length=1, max_length=40)] | UnsetType = UNSET
    section: _Name | UnsetType = UNSET
    maxPrice: Won | UnsetType = UNSET
    together: (
        Annotated[
            Literal["prefer"] | bool,
            Meta(description="Side by side; `prefer`: in as few groups as there can be."),
        ]
        | UnsetType
    ) = UNSET
    accessible: Annotated[bool, Meta(description="With a place for a wheelchair.")] | UnsetType = (
        UNSET
    )


class OrderItem(msgspec.Struct, frozen=True, omit_defaults=True):
    """One seat of an order. Where it is is absent if the date has no plan."""

    reservationId: Id
    seatId: Id
    seatNumber: SeatNumber
    price: Won
    section: str | UnsetType = UNSET
    row: str | UnsetType = UNSET
    label: str | UnsetType = UNSET
    category: str | UnsetType = UNSET


class OrderData(msgspec.Struct, frozen=True):
    """An order, and what became of it. Seats that were given back or have expired are in it only if
    all were."""

    id: Id
    code: Annotated[str, Meta(description="For people: without 0, O, 1 and I.")]
    concertScheduleId: Id
    status: OrderStatus
    items: list[OrderItem]
    totalAmount: Won
    created_at: Moment
    expires_at: Moment
    expiresInSeconds: Annotated[int, Meta(ge=0, description="0 when no longer pending.")]


def order_item(catalogue: Catalogue, schedule: str, item: tuple[str, int, int]) -> OrderItem:
    """A seat of an order from its reservation, number and price."""
    reservation, number, price = item
    planned = catalogue.planned_seat(schedule, number)
    place = () if planned is None else msgspec.structs.astuple(planned)[:4]
    return OrderItem(reservation, seat_id(schedule, number), number, price, *place)


class OrderCalls(Calls):
    """The calls about orders."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._seats = services.seats

    async def _replay(self, call: Call) -> Reply:
        schedule, wanted = self._wanted(call.body)
        attempt = attempt_of(call.request, (schedule, wanted))
        assert attempt is not None, "only called with a key"
        outcome = await self._seats.replay_order(call.holder, schedule, attempt)
        if outcome is None:
            raise TokenError("token_expired")
        return self._placed(outcome)

    @Route(
        "POST", "/orders", Answer(201, OrderData, "All its seats are held.", ("Location",)),
        "order", gate="admitted", body=OrderBody, idempotent=True, replay=_replay,
        problems=(
            "not_found", "seat_unavailable", "no_match", "booking_closed", "hold_limit_reached",
            "purchase_limit_reached", "hold_cooling_down",
        ),
    )  # fmt: skip
    async def place_order(self, call: Call) -> Reply:
        """Hold several seats of a date, or none of them."""
        schedule, wanted = self._wanted(call.body)
        attempt = attempt_of(call.request, (schedule, wanted))
        return self._placed(await self._seats.place(call.holder, schedule, wanted, attempt))

    def _placed(self, outcome: Outcome[OrderRecord | Rejected]) -> Reply:
        order = accepted(outcome)
        # As of the hold itself, so that a replay says to the letter what was said first.
        data = self._data(order, order.reservations[0].reservation.created_ms)
        location = header("Location", f"/orders/{data.id}")
        return data_reply(data, 201, NO_STORE + location + (REPLAYED if outcome.replayed else b""))

    def _wanted(self, body: OrderBody) -> tuple[str, Wanted]:
        """The date, and which of its seats."""
        schedule = self._seats.catalogue.schedules.get(body.concertScheduleId)
        if schedule is None:
            raise UnknownError
        rest = body.category, body.section, body.maxPrice, body.together, body.accessible
        if body.seatNumbers is not UNSET:
            if any(each is not UNSET for each in (body.quantity, *rest)):
                raise malformed("seatNumbers: not together with a wish")
            if len({*body.seatNumbers}) < len(body.seatNumbers):
                raise malformed("seatNumbers: a seat is named twice")
            if not all(schedule.has(number) for number in body.seatNumbers):
                raise UnknownError
            return schedule.id, tuple(body.seatNumbers)
        if body.quantity is UNSET:
            raise malformed("seatNumbers: missing (or a quantity)")
        wish = Wish(
            body.quantity,
            category=body.category or "",
            section=body.section or "",
            max_price=None if body.maxPrice is UNSET else body.maxPrice,
            together=True if body.together is UNSET else body.together,
            accessible=body.accessible or False,
        )
        return schedule.id, wish

    @Route(
        "GET", "/orders", Answer(200, list[OrderData], "Newest first."), "order", gate="user",
        params=(_OWNER,), problems=("not_found", "token_missing", "token_invalid"),
    )  # fmt: skip
    async def orders(self, call: Call) -> Reply:
        """The user's orders."""
        now_ms = self._services.clock.now_ms()
        return data_reply([self._data(o, now_ms) for o in await self._seats.orders(call.user)])

    @Route(
        "GET", "/orders/{id}", Answer(200, OrderData, "The order."), "order", gate="user",
        params=(_OWNER,), problems=("not_found", "token_missing", "token_invalid"),
    )  # fmt: skip
    async def order(self, call: Call) -> Reply:
        """An order of the user, by its id or code."""
        order = await self._seats.order(call.user, call.path_id)
        return data_reply(self._data(order, self._services.clock.now_ms()))

    @Route(
        "DELETE", "/orders/{id}", Answer(204, None, "None of its seats is held."),
        "order", gate="admitted",
        problems=(
            "not_found", "reservation_not_found", "already_paid", "payment_in_progress",
            "reservation_ended", "hold_expired",
        ),
    )  # fmt: skip
    async def release_order(self, call: Call) -> Reply:
        """Give all unpaid seats of an order up at once."""
        rejected = await self._seats.release_order(call.holder, call.path_id)
        if rejected is not None:
            raise rejection(rejected)
        return Reply(204, NO_STORE)

    def _data(self, order: OrderRecord, now_ms: int) -> OrderData:
        every = [record.reservation for record in order.reservations]
        live = [r.reservation for r in order.reservations if r.status in ("PENDING", "COMPLETED")]
        shown: list[Reservation] = live or every
        until_ms = max(reservation.until_ms for reservation in shown)
        left_ms = until_ms - now_ms if order.status == "PENDING" else 0
        schedule, catalogue = every[0].schedule, self._services.catalogue
        return OrderData(
            id=order.id,
            code=code_of(order.id),
            concertScheduleId=schedule,
            status=order.status,
            items=[order_item(catalogue, schedule, (r.id, r.seat, r.price)) for r in shown],
            totalAmount=sum(reservation.price for reservation in shown),
            created_at=rfc3339(every[0].created_ms),
            expires_at=rfc3339(until_ms),
            expiresInSeconds=max(0, -(-left_ms // 1000)),
        )
