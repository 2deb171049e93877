"""A catalogue to book from under load."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from booking.catalogue import document, store
from tests.support.catalogues import catalogue, concert, date

DATES = {"rare": 40, "big": 3_000}
"""One date that sells out in moments, one that lasts for the whole storm."""


def seats_to_draw(dates: Mapping[str, int] = DATES) -> list[str]:
    """Seat ids to draw from: one in three draws is for the rare date."""
    rare = [f"rare-{number}" for number in range(1, dates["rare"] + 1)]
    big = [f"big-{number}" for number in range(1, dates["big"] + 1)]
    return rare * (len(big) // (2 * len(rare))) + big


async def import_catalogue(database_url: str, dates: Mapping[str, int] = DATES) -> None:
    shows = [date(name, seats=count) | {"maxPerUser": 1_000} for name, count in dates.items()]
    await store.save(
        database_url, document.parse(msgspec.json.encode(catalogue(concert("alpha", *shows))))
    )
