"""A made-up catalogue with seats enough for a run, as `booking catalog import` reads it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

DATES_PER_CONCERT = 10
"""What one `available-dates?concertId=` answers: a long run of one show."""
SEATS_PER_DATE = 50
PRICE = 50_000
"""In won."""


def document(dates: int, now: datetime | None = None) -> bytes:
    """``dates`` dates of 50 seats each, ten a concert, all open for booking now and for a year."""
    start = (now or datetime.now(UTC)).replace(microsecond=0)
    booking_start = (start - timedelta(days=1)).isoformat()
    concerts = []
    for first in range(0, dates, DATES_PER_CONCERT):
        numbers = range(first, min(first + DATES_PER_CONCERT, dates))
        concert = first // DATES_PER_CONCERT + 1
        concerts.append(
            {
                "id": f"bench-{concert}",
                "name": f"Bench concert {concert}",
                "dates": [_date(number, start, booking_start) for number in numbers],
            }
        )
    return json.dumps({"concerts": concerts}).encode()


def _date(number: int, start: datetime, booking_start: str) -> dict[str, object]:
    opens = start + timedelta(days=365, hours=number)
    return {
        "id": f"bench-date-{number + 1}",
        "open_at": opens.isoformat(),
        "close_at": (opens + timedelta(hours=3)).isoformat(),
        "booking_start": booking_start,
        "booking_end": opens.isoformat(),
        "price": PRICE,
        "totalSeats": SEATS_PER_DATE,
    }
