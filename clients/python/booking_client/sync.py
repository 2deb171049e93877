"""The same client for programs without an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from booking_client.client import AsyncBooking
from booking_client.transport import Retry

T = TypeVar("T")
P = ParamSpec("P")


def _blocking(
    call: Callable[Concatenate[AsyncBooking, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Booking, P], T]:
    """The same call, which returns when it is answered."""

    @wraps(call)
    def blocking(self: Booking, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._run(call(self._calls, *args, **kwargs))

    return blocking


def _iterating(
    call: Callable[Concatenate[AsyncBooking, P], AsyncIterator[T]],
) -> Callable[Concatenate[Booking, P], Iterator[T]]:
    """The same call, which waits at each step."""

    @wraps(call)
    def iterating(self: Booking, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        items = call(self._calls, *args, **kwargs)

        async def next_one() -> tuple[T, ...]:
            async for item in items:
                return (item,)
            return ()

        while found := self._run(next_one()):
            yield from found

    return iterating


class Booking:
    """As :class:`~booking_client.client.AsyncBooking`, call for call, but blocking.

    One thread uses it at a time, and none that runs an event loop. :meth:`close` or a ``with``
    block ends it.
    """

    def __init__(self, url: str, *, timeout_s: float = 10.0, retry: Retry | None = None) -> None:
        self._runner = asyncio.Runner()
        self._calls = AsyncBooking(url, timeout_s=timeout_s, retry=retry)
        self._run = self._runner.run

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        """End all connections."""
        self._run(self._calls.close())
        self._runner.close()

    issue = _blocking(AsyncBooking.issue)
    status = _blocking(AsyncBooking.status)
    leave = _blocking(AsyncBooking.leave)
    watch = _iterating(AsyncBooking.watch)
    dates = _blocking(AsyncBooking.dates)
    plan = _blocking(AsyncBooking.plan)
    seats = _blocking(AsyncBooking.seats)
    watch_seats = _iterating(AsyncBooking.watch_seats)
    reserve = _blocking(AsyncBooking.reserve)
    reserve_number = _blocking(AsyncBooking.reserve_number)
    reservation = _blocking(AsyncBooking.reservation)
    reservations = _blocking(AsyncBooking.reservations)
    release = _blocking(AsyncBooking.release)
    order_seats = _blocking(AsyncBooking.order_seats)
    order_best = _blocking(AsyncBooking.order_best)
    order = _blocking(AsyncBooking.order)
    orders = _blocking(AsyncBooking.orders)
    release_order = _blocking(AsyncBooking.release_order)
    pay_order = _blocking(AsyncBooking.pay_order)
    charge = _blocking(AsyncBooking.charge)
    balance = _blocking(AsyncBooking.balance)
    history_page = _blocking(AsyncBooking.history_page)
    history = _iterating(AsyncBooking.history)
    pay = _blocking(AsyncBooking.pay)
    payment = _blocking(AsyncBooking.payment)
    payments_page = _blocking(AsyncBooking.payments_page)
