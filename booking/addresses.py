"""Where each entity lives. A seat and its date's ledger share a key, so they share a slot."""

from __future__ import annotations

from functools import lru_cache

from actors.address import Address

ACCOUNT = "account"
SEAT = "seat"
LEDGER = "ledger"
QUEUE = "queue"


def account_address(user: str) -> Address:
    return Address(ACCOUNT, user)


@lru_cache(maxsize=16_384)
def seat_address(schedule: str, number: int) -> Address:
    return Address(SEAT, schedule, str(number))


@lru_cache(maxsize=16_384)
def ledger_address(schedule: str) -> Address:
    return Address(LEDGER, schedule)


@lru_cache(maxsize=1_024)
def queue_address(name: str) -> Address:
    return Address(QUEUE, name)
