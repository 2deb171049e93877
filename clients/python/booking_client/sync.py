"""The same client for programs without an event loop: a thin wrapper, call for call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from types import TracebackType
from typing import Self, TypeVar

from booking_client.answers import (
    AvailableDate,
    HistoryEntry,
    HistoryPage,
    Payment,
    PaymentPage,
    Place,
    Reservation,
    Seat,
    SeatState,
)
from booking_client.client import AsyncBooking
from booking_client.retry import Retry

T = TypeVar("T")


class Booking:
    """As :class:`~booking_client.client.AsyncBooking`, blocking. One thread uses it at a time, and
    none that runs an event loop. Ended by :meth:`close` or a ``with`` block."""

    def __init__(self, url: str, *, timeout_s: float = 10.0, retry: Retry | None = None) -> None:
        self._runner = asyncio.Runner()
        self._calls = AsyncBooking(url, timeout_s=timeout_s, retry=retry)
        self._run = self._runner.run

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends all connections."""
        self._run(self._calls.close())
        self._runner.close()

    def issue(self, user: str, queue: str | None = None, *, key: str | None = None) -> Place:
        return self._run(self._calls.issue(user, queue, key=key))

    def status(self, token: str) -> Place:
        return self._run(self._calls.status(token))

    def leave(self, token: str) -> None:
        self._run(self._calls.leave(token))

    def watch(self, token: str, *, until_active: bool = True) -> Iterator[Place]:
        return self._each(self._calls.watch(token, until_active=until_active))

    def dates(self, token: str, concert: str | None = None) -> list[AvailableDate]:
        return self._run(self._calls.dates(token, concert))

    def seats(self, token: str, date: str, *, all_states: bool = False) -> list[Seat]:
        return self._run(self._calls.seats(token, date, all_states=all_states))

    def watch_seats(self, token: str, date: str) -> Iterator[dict[int, SeatState]]:
        return self._each(self._calls.watch_seats(token, date))

    def reserve(self, token: str, seat: str, *, key: str | None = None) -> Reservation:
        return self._run(self._calls.reserve(token, seat, key=key))

    def reserve_number(
        self, token: str, date: str, number: int, *, key: str | None = None
    ) -> Reservation:
        return self._run(self._calls.reserve_number(token, date, number, key=key))

    def reservation(self, token: str, reservation: str) -> Reservation:
        return self._run(self._calls.reservation(token, reservation))

    def reservations(self, token: str) -> list[Reservation]:
        return self._run(self._calls.reservations(token))

    def release(self, token: str, reservation: str) -> None:
        self._run(self._calls.release(token, reservation))

    def charge(
        self, user: str, amount: int, *, key: str | None = None, token: str | None = None
    ) -> int:
        return self._run(self._calls.charge(user, amount, key=key, token=token))

    def balance(self, user: str, *, token: str | None = None) -> int:
        return self._run(self._calls.balance(user, token=token))

    def history_page(
        self, user: str, *, limit: int = 20, after: str | None = None, token: str | None = None
    ) -> HistoryPage:
        return self._run(self._calls.history_page(user, limit=limit, after=after, token=token))

    def history(self, user: str, *, token: str | None = None) -> Iterator[HistoryEntry]:
        return self._each(self._calls.history(user, token=token))

    def pay(self, token: str, seat: str, *, key: str | None = None) -> Payment:
        return self._run(self._calls.pay(token, seat, key=key))

    def payment(self, user: str, payment: str, *, token: str | None = None) -> Payment:
        return self._run(self._calls.payment(user, payment, token=token))

    def payments_page(
        self, user: str, *, limit: int = 20, after: str | None = None, token: str | None = None
    ) -> PaymentPage:
        return self._run(self._calls.payments_page(user, limit=limit, after=after, token=token))

    def _each(self, items: AsyncIterator[T]) -> Iterator[T]:
        async def next_one() -> tuple[bool, T | None]:
            try:
                return True, await anext(items)
            except StopAsyncIteration:
                return False, None

        while True:
            more, item = self._run(next_one())
            if not more:
                return
            yield item  # type: ignore[misc]  # None only when there is no more
