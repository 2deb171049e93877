"""How many were admitted within a sliding interval."""

from __future__ import annotations

from collections import deque


class Sliding:
    """Counts of the last ``interval_ms``, and what is kept beyond for a longer one to come."""

    def __init__(self, interval_ms: int, kept_ms: int) -> None:
        self.total = 0
        """Within ``interval_ms`` of the last entry, its beginning left out."""
        self._interval_ms = interval_ms
        self._kept_ms = kept_ms
        self._within: deque[tuple[int, int]] = deque()
        self._beyond: deque[tuple[int, int]] = deque()

    def add(self, at_ms: int, count: int) -> None:
        """So many at ``at_ms``, which is not before the last."""
        self._within.append((at_ms, count))
        self.total += count
        while self._within[0][0] <= at_ms - self._interval_ms:
            entry = self._within.popleft()
            self.total -= entry[1]
            self._beyond.append(entry)
        while self._beyond and self._beyond[0][0] <= at_ms - self._kept_ms:
            self._beyond.popleft()

    def resized(self, interval_ms: int) -> Sliding:
        """The same entries, counted over another interval."""
        resized = Sliding(interval_ms, self._kept_ms)
        for at_ms, count in (*self._beyond, *self._within):
            resized.add(at_ms, count)
        return resized
