"""The calls of the service by name, for programs with an event loop."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Self
from urllib.parse import quote

from booking_client.answers import (
    AvailableDate,
    Balance,
    HistoryEntry,
    HistoryPage,
    Order,
    Payment,
    PaymentPage,
    Place,
    Reservation,
    Seat,
    SeatState,
    VenuePlan,
)
from booking_client.errors import TokenExpired
from booking_client.live import places, seat_states
from booking_client.transport import Answer, Retry, Transport

PAGE_LIMIT = 100
"""Items of one page when all are wanted; the most that the service gives."""


class AsyncBooking:
    """A client of one service, for one event loop. ``timeout_s`` limits one attempt, ``retry`` all
    attempts of a call. With ``keep_alive=False`` each request opens its own connection. Every POST
    takes a ``key``: pass that of an earlier call to get its first outcome again. All calls raise
    :class:`~booking_client.errors.Refused` and :class:`~booking_client.errors.Unreachable`."""

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float = 10.0,
        retry: Retry | None = None,
        connections_max: int = 100,
        keep_alive: bool = True,
    ) -> None:
        self._transport = Transport(
            url, timeout_s, retry or Retry(), connections_max=connections_max, keep_alive=keep_alive
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End all connections."""
        await self._transport.close()

    async def request(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        body: Any = None,
        query: Mapping[str, str] | None = None,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send any request once; the answer, good or bad. Raises :class:`Unreachable`."""
        return await self._transport.request(
            method, path, token=token, body=body, query=query, key=key, headers=headers
        )

    # -- the queue --------------------------------------------------------------------------------

    async def issue(self, user: str, queue: str | None = None, *, key: str | None = None) -> Place:
        """Line up. Raises :class:`~booking_client.errors.AlreadyQueued` if the user has a place."""
        body = {"userId": user} if queue is None else {"userId": user, "queue": queue}
        return await self._transport.call(Place, "POST", "/queue/issue", body=body, key=key)

    async def status(self, token: str) -> Place:
        """Where the token stands."""
        return await self._transport.call(Place, "GET", "/queue/status", token=token)

    async def leave(self, token: str) -> None:
        """Give up the place, or the active time. An ended token is no error."""
        try:
            await self._transport.call(type(None), "DELETE", "/queue", token=token)
        except TokenExpired:
            return

    async def watch(self, token: str, *, until_active: bool = True) -> AsyncGenerator[Place, None]:
        """The place each time it changes, over a websocket, or by polling.

        Ends with the first active place. With ``until_active=False`` it goes on, and raises
        :class:`~booking_client.errors.TokenExpired` when the active time ends.
        """
        async with aclosing(places(self._transport, token)) as told:
            async for place in told:
                yield place
                if until_active and place.active:
                    return

    # -- dates and seats: the token has to be inside -----------------------------------------------

    async def dates(self, token: str, concert: str | None = None) -> list[AvailableDate]:
        """Dates that can be booked now, of all concerts or one."""
        query = None if concert is None else {"concertId": concert}
        return await self._transport.call(
            list[AvailableDate], "GET", "/concert/available-dates", token=token, query=query
        )

    async def plan(self, date: str) -> VenuePlan:
        """Sections, rows and seats of the venue of a date; it needs no token.
        :class:`~booking_client.errors.NotFound` for a date without one."""
        query = {"concertScheduleId": date}
        return await self._transport.call(VenuePlan, "GET", "/concert/venue-plan", query=query)

    async def seats(self, token: str, date: str, *, all_states: bool = False) -> list[Seat]:
        """The free seats of a date by number, or all with their state."""
        query = {"concertScheduleId": date} | ({"all": "true"} if all_states else {})
        return await self._transport.call(
            list[Seat], "GET", "/concert/available-seats", token=token, query=query
        )

    def watch_seats(self, token: str, date: str) -> AsyncGenerator[dict[int, SeatState], None]:
        """The changed seats of a date, by number; at first all. It comes over a websocket, or by
        polling, and ends when the date is no longer sold."""
        return seat_states(self._transport, token, date)

    # -- reservations -----------------------------------------------------------------------------

    async def reserve(self, token: str, seat: str, *, key: str | None = None) -> Reservation:
        """Hold a seat by its id. :class:`~booking_client.errors.SeatUnavailable`."""
        return await self._transport.call(
            Reservation, "POST", "/reservation", token=token, body={"seatId": seat}, key=key
        )

    async def reserve_number(
        self, token: str, date: str, number: int, *, key: str | None = None
    ) -> Reservation:
        """Hold a seat by its date and the number printed on it."""
        body = {"concertScheduleId": date, "seatNumber": number}
        return await self._transport.call(
            Reservation, "POST", "/reservation", token=token, body=body, key=key
        )

    async def reservation(self, token: str, reservation: str) -> Reservation:
        """One of the caller's own. :class:`~booking_client.errors.NotFound`."""
        return await self._transport.call(
            Reservation, "GET", f"/reservation/{quote(reservation, safe='')}", token=token
        )

    async def reservations(self, token: str) -> list[Reservation]:
        """The caller's own, newest first."""
        return await self._transport.call(list[Reservation], "GET", "/reservations", token=token)

    async def release(self, token: str, reservation: str) -> None:
        """Give a hold up. Repeating it changes nothing."""
        await self._transport.call(
            type(None), "DELETE", f"/reservation/{quote(reservation, safe='')}", token=token
        )

    # -- orders -----------------------------------------------------------------------------------

    async def order_seats(
        self, token: str, date: str, numbers: Sequence[int], *, key: str | None = None
    ) -> Order:
        """Hold these seats of a date, or none. :class:`~booking_client.errors.SeatUnavailable`."""
        body = {"concertScheduleId": date, "seatNumbers": list(numbers)}
        return await self._transport.call(Order, "POST", "/orders", token=token, body=body, key=key)

    async def order_best(
        self,
        token: str,
        date: str,
        quantity: int,
        wish: Mapping[str, Any] | None = None,
        *,
        key: str | None = None,
    ) -> Order:
        """Hold the best seats that are left. A wish has ``category``, ``section``, ``maxPrice``,
        ``together`` (``"prefer"``, or ``False``) and ``accessible`` as the service takes them.
        :class:`~booking_client.errors.NoMatch`."""
        body = {"concertScheduleId": date, "quantity": quantity, **(wish or {})}
        return await self._transport.call(Order, "POST", "/orders", token=token, body=body, key=key)

    async def order(self, user: str, order: str, *, token: str | None = None) -> Order:
        """An order of the user, by its id or code. :class:`~booking_client.errors.NotFound`."""
        path = f"/orders/{quote(order, safe='')}"
        return await self._transport.call(Order, "GET", path, query={"userId": user}, token=token)

    async def orders(self, user: str, *, token: str | None = None) -> list[Order]:
        """The user's orders, newest first."""
        query = {"userId": user}
        return await self._transport.call(list[Order], "GET", "/orders", query=query, token=token)

    async def release_order(self, token: str, order: str) -> None:
        """Give all unpaid seats of an order up. Repeating it changes nothing."""
        path = f"/orders/{quote(order, safe='')}"
        await self._transport.call(type(None), "DELETE", path, token=token)

    async def pay_order(self, token: str, order: str, *, key: str | None = None) -> Payment:
        """Pay for all seats of an order at once. Raises as :meth:`pay`."""
        return await self._transport.call(
            Payment, "POST", "/payment", token=token, body={"orderId": order}, key=key
        )

    # -- money: ``token`` is only needed where the service asks for it ----------------------------

    async def charge(
        self, user: str, amount: int, *, key: str | None = None, token: str | None = None
    ) -> int:
        """Add ``amount`` won to a balance, and return the new balance."""
        body = {"userId": user, "amount": amount}
        charged = await self._transport.call(
            Balance, "POST", "/user/charge", body=body, key=key, token=token
        )
        return charged.balance

    async def balance(self, user: str, *, token: str | None = None) -> int:
        """The balance in won; 0 for a user never seen."""
        found = await self._transport.call(
            Balance, "GET", "/user/check", query={"userId": user}, token=token
        )
        return found.balance

    async def history_page(
        self, user: str, *, limit: int = 20, after: str | None = None, token: str | None = None
    ) -> HistoryPage:
        """Charges and uses, newest first; ``after`` is the id of the last one seen."""
        return await self._transport.call(
            HistoryPage, "GET", "/user/history", query=_page(user, limit, after), token=token
        )

    async def history(self, user: str, *, token: str | None = None) -> AsyncIterator[HistoryEntry]:
        """All charges and uses, newest first, fetched page by page."""
        after: str | None = None
        while True:
            page = await self.history_page(user, limit=PAGE_LIMIT, after=after, token=token)
            for entry in page.items:
                yield entry
            if not page.has_more:
                return
            after = page.items[-1].id

    async def pay(self, token: str, seat: str, *, key: str | None = None) -> Payment:
        """Pay for a held seat, which is then the user's for good. Raises
        :class:`~booking_client.errors.InsufficientBalance`,
        :class:`~booking_client.errors.HoldExpired`."""
        return await self._transport.call(
            Payment, "POST", "/payment", token=token, body={"seatId": seat}, key=key
        )

    async def payment(self, user: str, payment: str, *, token: str | None = None) -> Payment:
        """One payment of the user. :class:`~booking_client.errors.NotFound`."""
        path = f"/payment/{quote(payment, safe='')}"
        return await self._transport.call(Payment, "GET", path, query={"userId": user}, token=token)

    async def payments_page(
        self, user: str, *, limit: int = 20, after: str | None = None, token: str | None = None
    ) -> PaymentPage:
        """Payments, newest first; ``after`` is the id of the last one seen."""
        return await self._transport.call(
            PaymentPage, "GET", "/payments", query=_page(user, limit, after), token=token
        )


def _page(user: str, limit: int, after: str | None) -> dict[str, str]:
    page = {"userId": user, "limit": str(limit)}
    return page if after is None else page | {"starting_after": after}
