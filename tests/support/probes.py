"""Users chosen by the shard that their account lives in."""

from __future__ import annotations

from collections.abc import Callable, Collection

from actors.address import SLOT_COUNT
from booking.entities import account_address


def users_of_all_slots(new_user: Callable[[], str]) -> list[str]:
    """One user for each slot, in the order of the slots."""
    return users_of(range(SLOT_COUNT), new_user)


def users_of(slots: Collection[int], new_user: Callable[[], str]) -> list[str]:
    """One user for each of these slots, in their order."""
    found: dict[int, str] = {}
    while len(found) < len(slots):
        user = new_user()
        slot = account_address(user).slot
        if slot in slots:
            found.setdefault(slot, user)
    return [found[slot] for slot in sorted(slots)]
