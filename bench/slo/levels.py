"""What is promised. ``docs/reference/service-levels.md`` says the same; a test holds them equal."""

from __future__ import annotations

from typing import Final

import msgspec

READ_P99_MS = 25.0
WRITE_P99_MS = 50.0
SUCCESS_SHARE = 0.9999
RATE_PER_S = 300.0
"""Whole bookings a second, on two cores that also carry PostgreSQL and the load itself."""
INSTANCE_RECOVERY_S = 3.0
REDIS_RECOVERY_S = 0.0
LATE_S = 1.0
"""A booking that takes longer than this from the moment it was due counts as not yet recovered."""


class Level(msgspec.Struct, frozen=True):
    """One call: the name of its step in :mod:`bench.slo.story`, and its route."""

    step: str
    call: str
    p99_ms: float


LEVELS: Final = (
    Level("issue", "POST /queue/issue", WRITE_P99_MS),
    Level("status", "GET /queue/status", READ_P99_MS),
    Level("leave", "DELETE /queue", WRITE_P99_MS),
    Level("dates", "GET /concert/available-dates", READ_P99_MS),
    Level("seats", "GET /concert/available-seats", READ_P99_MS),
    Level("hold", "POST /reservation", WRITE_P99_MS),
    Level("reservation", "GET /reservation/{id}", READ_P99_MS),
    Level("reservations", "GET /reservations", READ_P99_MS),
    Level("release", "DELETE /reservation/{id}", WRITE_P99_MS),
    Level("charge", "POST /user/charge", WRITE_P99_MS),
    Level("balance", "GET /user/check", READ_P99_MS),
    Level("history", "GET /user/history", READ_P99_MS),
    Level("pay", "POST /payment", WRITE_P99_MS),
    Level("payment", "GET /payment/{id}", READ_P99_MS),
    Level("payments", "GET /payments", READ_P99_MS),
)
