"""What is left behind a queue, told to those who wait: nobody should wait an hour for nothing."""

from __future__ import annotations

from typing import NamedTuple

from booking.seats.view import SeatMaps

COUNT_EVERY_MS = 1_000
"""No client is told more often than about once a second, and all of a queue are told the same."""


class Stock(NamedTuple):
    """Seats of all dates whose sale is not over."""

    free: int
    held: int
    """These come back if they are not paid for."""


class Stocks:
    """The stock behind each queue, counted at most once a second."""

    def __init__(self, seats: SeatMaps) -> None:
        self._seats = seats
        self._counted: dict[str, tuple[int, Stock | None]] = {}
        """By queue: until when it holds, and the count. As many as there are queues."""

    def of(self, queue: str, now_ms: int) -> Stock | None:
        """``None`` without a date to wait for."""
        until_ms, stock = self._counted.get(queue, (0, None))
        if now_ms >= until_ms:
            stock = self._count(queue, now_ms)
            self._counted[queue] = (now_ms + COUNT_EVERY_MS, stock)
        return stock

    def _count(self, queue: str, now_ms: int) -> Stock | None:
        dates = [
            seats
            for seats in self._seats
            if seats.schedule.queue == queue and now_ms < seats.schedule.booking_end_ms
        ]
        if not dates:
            return None
        total = sum(seats.schedule.total_seats for seats in dates)
        held = sum(len(seats.held) for seats in dates)
        sold = sum(len(seats.sold) for seats in dates)
        return Stock(max(0, total - held - sold), held)
