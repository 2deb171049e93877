"""*settlement*: what each concert has taken in each day, as CSV for an accountant.

``python -m examples.services.settlement`` follows;
``python -m examples.services.settlement report catalogue.json`` prints.

A refund is no line here: it gives money back to a balance, of a payment that never got its seat.
"""

from __future__ import annotations

import csv
import json
import os
import sqlite3
import sys
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import TextIO
from zoneinfo import ZoneInfo

from examples.services.inbox import CloudEvent, Service, open_database, run

TABLES = """
CREATE TABLE IF NOT EXISTS sale (
    payment TEXT PRIMARY KEY,
    date    TEXT NOT NULL,
    paid_at TEXT NOT NULL,
    won     INTEGER NOT NULL
)
"""


def sold(database: sqlite3.Connection, event: CloudEvent) -> None:
    """A line in the books for each payment that ended with its seat."""
    data = event.data
    line = (data["paymentId"], data["concertScheduleId"], event.time.isoformat(), data["amount"])
    database.execute("INSERT INTO sale VALUES (?, ?, ?, ?)", line)


service = Service(name="settlement", tables=TABLES, takes={"booking.payment.completed.v1": sold})


def concerts_in(catalogue: Path) -> dict[str, str]:
    """The concert of each date, from the document that `booking catalog import` reads."""
    document = json.loads(catalogue.read_text(encoding="utf-8"))
    return {date["id"]: one["id"] for one in document["concerts"] for date in one["dates"]}


def report(
    database: sqlite3.Connection, concerts: dict[str, str], zone: str = "UTC"
) -> Iterable[tuple[str, str, int, int]]:
    """Concert, day, seats and won. A day is one of this zone."""
    found: dict[tuple[str, str], tuple[int, int]] = {}
    for date, paid_at, won in database.execute("SELECT date, paid_at, won FROM sale"):
        day = datetime.fromisoformat(paid_at).astimezone(ZoneInfo(zone)).date()
        key = concerts.get(date, date), day.isoformat()
        seats, sum_won = found.get(key, (0, 0))
        found[key] = seats + 1, sum_won + won
    return [(concert, day, *sums) for (concert, day), sums in sorted(found.items())]


def write(lines: Iterable[tuple[str, str, int, int]], out: TextIO) -> None:
    """As CSV, with a head."""
    writer = csv.writer(out)
    writer.writerow(("concert", "day", "seats", "won"))
    writer.writerows(lines)


if __name__ == "__main__":
    if sys.argv[1:2] == ["report"]:
        books = open_database(service, os.environ.get("DATABASE", "settlement.db"))
        zone = os.environ.get("ZONE", "UTC")
        write(report(books, concerts_in(Path(sys.argv[2])), zone), sys.stdout)
    else:
        run(service)
