"""Counts of durations by size, as Prometheus wants them, without locks."""

from __future__ import annotations

from bisect import bisect_left

PAUSE_BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Around the 250 ms that callers of a shard on the move are promised."""


class Histogram:
    """Of one event loop."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...] = PAUSE_BOUNDS_S) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def cumulative(self) -> list[tuple[str, float]]:
        """Upper bound and how many were not above it, the last one for all."""
        rows, so_far = [], 0
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            so_far += count
            rows.append((bound, float(so_far)))
        return rows
