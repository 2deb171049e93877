"""Spreads work over a time, so that no moment gets all of it."""

from collections.abc import Iterable
from math import ceil
from typing import Generic, TypeVar

from booking_http.sockets.limits import BATCH_MAX, BATCH_MIN

T = TypeVar("T")


class Spread(Generic[T]):
    """Deals out one list at a time, evenly; late items in batches of limited size."""

    def __init__(self, over_s: float, tick_s: float, batch_min: int = BATCH_MIN) -> None:
        self._over_s = over_s
        self._tick_s = tick_s
        self._batch_min = batch_min
        self._left: list[T] = []
        self._count = 0
        self._began = 0.0

    @property
    def done(self) -> bool:
        """Whether all were dealt out."""
        return not self._left

    def begin(self, items: Iterable[T], now: float) -> None:
        """Deal these items out from now on, and forget what is left of earlier ones."""
        self._left = list(items)
        self._left.reverse()
        self._count = len(self._left)
        self._began = now

    def due(self, now: float) -> list[T]:
        """The items whose turn has come since the last call."""
        left = self._left
        if not left:
            return []
        share = min(1.0, (now - self._began + self._tick_s) / self._over_s)
        behind = ceil(self._count * share) - (self._count - len(left))
        size = min(max(behind, self._batch_min), BATCH_MAX, len(left))
        if size <= 0:
            return []
        batch = left[-size:]
        batch.reverse()
        del left[-size:]
        return batch
