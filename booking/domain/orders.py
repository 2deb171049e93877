"""How orders and reservations are named: an order's id is the first part of that of each of its
reservations, so that a reservation tells its order and nobody has to look one up."""

from typing import Final

SEATS_TOGETHER_MAX: Final = 50
"""Seats of one order: a coach party."""
_DIGITS: Final = 28
"""Hexadecimal ones that all reservations of an order share; four more tell them apart."""
_ALPHABET: Final = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
"""Without those that look alike: 0 and O, 1 and I."""
_CODE_LENGTH: Final = 8


def order_of(reservation: str) -> str:
    """The id of the order that a reservation is of; each one is of an order."""
    return f"ord_{reservation[4 : 4 + _DIGITS]}"


def reservation_of(order: str, place: int) -> str:
    """The id of an order's reservation, by its place in the order from 0."""
    return f"rsv_{order[4:]}{place:04x}"


def code_of(order: str) -> str:
    """What people call an order: eight letters and digits with a hyphen in the middle."""
    number = int(order[4:14], 16)
    letters = [_ALPHABET[number >> shift & 31] for shift in range(5 * _CODE_LENGTH - 5, -1, -5)]
    return "".join((*letters[:4], "-", *letters[4:]))
