"""Small catalogues for tests, as the documents that `booking catalog import` reads."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any


def date(
    date_id: str,
    *,
    price: int = 1_000,
    seats: int = 50,
    booking_start: timedelta = timedelta(days=-1),
    booking_end: timedelta = timedelta(days=10),
) -> dict[str, Any]:
    """One date whose booking window is given relative to now."""
    now = datetime.now(UTC)
    return {
        "id": date_id,
        "open_at": (now + timedelta(days=20)).isoformat(),
        "close_at": (now + timedelta(days=20, hours=3)).isoformat(),
        "booking_start": (now + booking_start).isoformat(),
        "booking_end": (now + booking_end).isoformat(),
        "price": price,
        "totalSeats": seats,
    }


def concert(concert_id: str, *dates: dict[str, Any]) -> dict[str, Any]:
    return {"id": concert_id, "name": f"Concert {concert_id}", "dates": list(dates)}


def catalogue(*concerts: dict[str, Any]) -> dict[str, Any]:
    return {"concerts": list(concerts)}
