"""What the service answers, as frozen structs with Python's names.

Fields that a newer service adds are ignored, so an old client goes on working.
"""

from datetime import datetime
from typing import Literal

from msgspec import Struct, field

Flag = str
"""``accessible``, ``companion`` or ``restricted``, and what a newer service adds."""


class Place(Struct, frozen=True, rename="camel"):
    """Where a queue token stands."""

    token: str
    user_id: str
    status: Literal["pending", "active"]
    number: int
    """Given once, in the order of arrival."""
    position: int
    """1 is next, 0 is inside."""
    ahead: int
    eta_seconds: int
    """Means something only with ``eta_known``."""
    eta_known: bool
    poll_after_ms: int
    """When to ask again; the service spreads it."""
    expires_at: datetime | None = None
    """When an active token ends."""
    opens_at: datetime | None = None
    """Of a scheduled opening that the token waits for; places are drawn then."""
    seats_left: int | None = None
    """While pending: seats that are free, of all dates to come."""
    seats_held: int | None = None
    """While pending: seats that others hold; they come back if they are not paid for."""

    @property
    def active(self) -> bool:
        """Whether the token opens dates, seats, reservation and payment."""
        return self.status == "active"


class AvailableDate(Struct, frozen=True, rename="camel"):
    """A date of a concert that can be booked now; where, if the catalogue says."""

    id: str
    concert_id: str
    concert_name: str
    total_seats: int
    reserved_seats: int
    """Held and sold."""
    open_at: datetime = field(name="open_at")
    close_at: datetime = field(name="close_at")
    venue: str | None = None
    city: str | None = None
    time_zone: str | None = None
    local_time: datetime | None = None
    """When it opens, by the clocks of the venue."""


class Category(Struct, frozen=True):
    """Seats of one price; the colour as ``#rrggbb``."""

    id: str
    name: str
    colour: str


class PlanSeat(Struct, frozen=True, rename="camel"):
    """A seat on a plan, its place in centimetres; y grows away from the stage."""

    seat_number: int
    label: str
    category: str
    x: int | None = None
    y: int | None = None
    flags: tuple[Flag, ...] = ()


class PlanRow(Struct, frozen=True):
    """Neighbours from left to right; each aisle with the number of seats to its left."""

    name: str
    aisles: tuple[int, ...]
    seats: list[PlanSeat]


class StandingArea(Struct, frozen=True, rename="camel"):
    """Places without a seat, numbered from ``first_number`` on."""

    capacity: int
    first_number: int
    category: str


class PlanSection(Struct, frozen=True):
    """A part of the house: rows, or a standing area."""

    name: str
    rows: list[PlanRow] = []
    standing: StandingArea | None = None


class VenuePlan(Struct, frozen=True, rename="camel"):
    """A venue and its plan; the best category first."""

    venue: str
    name: str
    city: str
    time_zone: str
    total_seats: int
    categories: list[Category]
    sections: list[PlanSection]


class Seat(Struct, frozen=True, rename="camel"):
    """A seat of a date; price in won."""

    id: str
    seat_number: int
    price: int
    state: Literal["available", "held", "sold"] = "available"


class SeatState(Struct, frozen=True, rename="camel"):
    """What has become of a seat."""

    seat_number: int
    state: Literal["available", "held", "sold"]


class PlacedSeat(Struct, frozen=True, kw_only=True):
    """Where a seat is, unless its date has no plan."""

    section: str | None = None
    row: str | None = None
    label: str | None = None
    category: str | None = None
    flags: tuple[Flag, ...] = ()


class ReservedSeat(PlacedSeat, frozen=True, rename="camel"):
    """The seat of a reservation."""

    id: str
    is_active: bool
    """True: free for anybody again."""
    seat_number: int


class Reservation(Struct, frozen=True, rename="camel"):
    """A hold on a seat, and what became of it."""

    id: str
    seat: ReservedSeat
    status: Literal["PENDING", "COMPLETED", "EXPIRED", "CANCELLED"]
    price: int
    expires_in_seconds: int
    created_at: datetime = field(name="created_at")
    expires_at: datetime = field(name="expires_at")


class OrderItem(Struct, frozen=True, rename="camel"):
    """One seat of an order."""

    reservation_id: str
    seat_id: str
    seat_number: int
    price: int
    section: str | None = None
    row: str | None = None
    label: str | None = None
    category: str | None = None


class Order(Struct, frozen=True, rename="camel"):
    """Several seats that are held, paid and given up together."""

    id: str
    code: str
    """For people."""
    concert_schedule_id: str
    status: Literal["PENDING", "PAID", "CANCELLED", "EXPIRED", "REFUNDED", "PARTIALLY_REFUNDED"]
    items: list[OrderItem]
    total_amount: int
    expires_in_seconds: int
    created_at: datetime = field(name="created_at")
    expires_at: datetime = field(name="expires_at")


class HistoryEntry(Struct, frozen=True):
    """One movement of a balance; ``balance`` is the one after it."""

    id: str
    type: Literal["CHARGE", "USE", "REFUND"]
    amount: int
    balance: int
    created_at: datetime


class HistoryPage(Struct, frozen=True):
    """One page, newest first."""

    items: list[HistoryEntry]
    has_more: bool


class Payment(PlacedSeat, frozen=True, rename="camel"):
    """A completed payment. Name and dates are ``None`` once the date left the catalogue."""

    id: str
    seat_id: str
    seat_number: int
    concert_name: str | None
    open_date: datetime | None
    close_date: datetime | None
    total_amount: int
    status: Literal["COMPLETED"]
    created_at: datetime = field(name="created_at")
    venue: str | None = None
    time_zone: str | None = None
    local_time: datetime | None = None
    order_id: str = ""
    items: list[OrderItem] = []


class PaymentPage(Struct, frozen=True):
    """One page, newest first."""

    items: list[Payment]
    has_more: bool


class Balance(Struct, frozen=True):
    """A balance in won."""

    balance: int


class Problem(Struct, frozen=True):
    """A refusal (RFC 9457) with the service's extensions."""

    title: str
    status: int
    detail: str
    code: str
    request_id: str = ""
    position: int | None = None
    ahead: int | None = None
    eta_seconds: int | None = field(default=None, name="etaSeconds")
    eta_known: bool | None = field(default=None, name="etaKnown")
    poll_after_ms: int | None = field(default=None, name="pollAfterMs")
    retry_after_ms: int | None = field(default=None, name="retryAfterMs")
