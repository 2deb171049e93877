"""Ledgers made and read as plain data."""

from __future__ import annotations

from collections.abc import Collection

from booking.seats.domain.ledger import CoolDown, Ledger, LedgerHold, Owner, entries_of, ledger_of


def ledger(held: Collection[int] = (), sold: Collection[int] = ()) -> Ledger:
    """A date's ledger with these seats held and sold."""
    holds = dict.fromkeys(held, LedgerHold("rsv", "somebody", 2**53))
    return ledger_of(holds | dict.fromkeys(sold, True))


def holds(read: Ledger) -> dict[int, LedgerHold]:
    """The open holds by seat."""
    return {n: entry for n, entry in entries_of(read).items() if isinstance(entry, LedgerHold)}


def cool_downs(read: Ledger) -> dict[int, CoolDown]:
    """The cool-downs by seat, finished ones too."""
    return {n: entry for n, entry in entries_of(read).items() if isinstance(entry, CoolDown)}


def sold(read: Ledger) -> set[int]:
    """The sold seats."""
    return {n for n, entry in entries_of(read).items() if isinstance(entry, Owner | bool)}
