"""Seats by their ids."""

from __future__ import annotations

from booking.calls import UnknownError
from booking.services import Services


def named_seat(services: Services, wanted: str) -> tuple[str, int]:
    """Date and number of a seat id; :class:`UnknownError` for an unknown one."""
    found = services.catalogue.find_seat(wanted)
    if found is None:
        raise UnknownError
    schedule, number = found
    return schedule.id, number
