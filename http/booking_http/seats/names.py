"""Seats by their ids."""

from __future__ import annotations

from booking.api import Bookings, UnknownError


def named_seat(bookings: Bookings, wanted: str) -> tuple[str, int]:
    """Date and number of a seat id; :class:`UnknownError` for an unknown one."""
    found = bookings.catalogue.find_seat(wanted)
    if found is None:
        raise UnknownError
    schedule, number = found
    return schedule.id, number
