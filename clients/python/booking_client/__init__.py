"""A typed client of the seat booking service, asynchronous and synchronous.

>>> with Booking("http://127.0.0.1:8080") as booking:  # doctest: +SKIP
...     place = booking.issue(user)

:class:`AsyncBooking` is the client; :class:`Booking` is the same for programs without an event
loop. What the service refuses is raised as :class:`Refused` or one of its kinds in
:mod:`booking_client.errors`. It needs aiohttp and msgspec, and nothing of the service.
"""

from booking_client.answers import (
    AvailableDate,
    HistoryEntry,
    HistoryPage,
    Order,
    OrderItem,
    Payment,
    PaymentPage,
    Place,
    Reservation,
    ReservedSeat,
    Seat,
    SeatState,
    VenuePlan,
)
from booking_client.client import AsyncBooking
from booking_client.errors import BookingError, Refused, Unreachable
from booking_client.sync import Booking
from booking_client.transport import Retry

__all__ = [
    "AsyncBooking",
    "AvailableDate",
    "Booking",
    "BookingError",
    "HistoryEntry",
    "HistoryPage",
    "Order",
    "OrderItem",
    "Payment",
    "PaymentPage",
    "Place",
    "Refused",
    "Reservation",
    "ReservedSeat",
    "Retry",
    "Seat",
    "SeatState",
    "Unreachable",
    "VenuePlan",
]
