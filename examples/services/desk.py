"""*statistics*: what the organiser's desk shows, minute by minute, for each queue and each date.

``python -m examples.services.desk`` follows; ``python -m examples.services.desk show`` prints.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Iterable

from examples.services.inbox import CloudEvent, Service, Take, open_database, run

TABLES = """
CREATE TABLE IF NOT EXISTS minute (
    name     TEXT NOT NULL,
    minute   TEXT NOT NULL,
    joined   INTEGER NOT NULL DEFAULT 0,
    admitted INTEGER NOT NULL DEFAULT 0,
    held     INTEGER NOT NULL DEFAULT 0,
    freed    INTEGER NOT NULL DEFAULT 0,
    sold     INTEGER NOT NULL DEFAULT 0,
    won      INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (name, minute)
) WITHOUT ROWID
"""
SUMS = "sum(joined), sum(admitted), sum(held) - sum(freed) - sum(sold), sum(sold), sum(won)"


def counts(column: str, name: str, won: str = "0") -> Take:
    """Count in a column, under the queue's or the date's name, and add up money if there is any."""
    add = f"""
    INSERT INTO minute (name, minute, {column}, won) VALUES (?, ?, 1, ?)
    ON CONFLICT DO UPDATE SET {column} = {column} + 1, won = won + excluded.won
    """

    def take(database: sqlite3.Connection, event: CloudEvent) -> None:
        minute = event.time.isoformat(timespec="minutes")
        database.execute(add, (event.data[name], minute, event.data.get(won, 0)))

    return take


service = Service(
    name="statistics",
    tables=TABLES,
    takes={
        "booking.queue.joined.v1": counts("joined", "queue"),
        "booking.queue.admitted.v1": counts("admitted", "queue"),
        "booking.seat.held.v1": counts("held", "concertScheduleId"),
        "booking.seat.released.v1": counts("freed", "concertScheduleId"),
        "booking.seat.sold.v1": counts("sold", "concertScheduleId", won="price"),
    },
)


def totals(database: sqlite3.Connection) -> Iterable[tuple[str, int, int, int, int, int]]:
    """For each name: joined, admitted, held now, sold, won."""
    found = database.execute(f"SELECT name, {SUMS} FROM minute GROUP BY name ORDER BY name")
    return found.fetchall()


def show(database: sqlite3.Connection) -> None:
    """Print all there is."""
    print(f"{'':<24}{'joined':>9}{'admitted':>9}{'held':>7}{'sold':>7}{'won':>14}")
    for name, *sums in totals(database):
        print(f"{name:<24}{sums[0]:9,}{sums[1]:9,}{sums[2]:7,}{sums[3]:7,}{sums[4]:14,}")
    print("\nwon in each of the last minutes:")
    last = "SELECT minute, sum(won) FROM minute GROUP BY 1 ORDER BY 1 DESC LIMIT 10"
    for minute, won in database.execute(last):
        print(f"{minute:<24}{won:>14,}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["show"]:
        show(open_database(service, os.environ.get("DATABASE", "statistics.db")))
    else:
        run(service)
