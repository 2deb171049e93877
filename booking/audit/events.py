"""The events as this book reads them: only the fields it checks, declared a second time here.

Fields and spelling are those in the journal, version 1 of each type. Strict decoding: a missing
field, a value of another type, and a tag that is not the event's are reported.
"""

from __future__ import annotations

from typing import Literal

import msgspec


class SeatHeld(msgspec.Struct, frozen=True, tag=True, gc=False):
    reservation: str
    user: str
    until_ms: int
    price: int
    held_at_ms: int


class HoldReleased(msgspec.Struct, frozen=True, tag=True, gc=False):
    reservation: str
    user: str


class HoldExpired(msgspec.Struct, frozen=True, tag=True, gc=False):
    reservation: str
    user: str


class SeatSold(msgspec.Struct, frozen=True, tag=True, gc=False):
    reservation: str
    user: str
    payment: str
    price: int


class HoldCounted(msgspec.Struct, frozen=True, tag=True, gc=False):
    seat: int
    reservation: str
    user: str
    until_ms: int


class HoldUncounted(msgspec.Struct, frozen=True, tag=True, gc=False):
    seat: int
    reservation: str
    ended_ms: int = 0
    rest_ms: int = 0


class SaleCounted(msgspec.Struct, frozen=True, tag=True, gc=False):
    seat: int
    reservation: str


class Charged(msgspec.Struct, frozen=True, tag=True, gc=False):
    amount: int
    balance: int


class ReservationNoted(msgspec.Struct, frozen=True, tag=True, gc=False):
    id: str
    schedule: str
    seat: int
    price: int
    created_ms: int
    until_ms: int


class ReservationCancelled(msgspec.Struct, frozen=True, tag=True, gc=False):
    id: str


class PaymentStarted(msgspec.Struct, frozen=True, tag=True, gc=False):
    id: str
    reservation: str
    schedule: str
    seat: int
    amount: int
    balance: int
    at_ms: int


class PaymentCompleted(msgspec.Struct, frozen=True, tag=True, gc=False):
    id: str
    reservation: str
    schedule: str
    seat: int
    amount: int


class PaymentRefunded(msgspec.Struct, frozen=True, tag=True, gc=False):
    id: str
    reservation: str
    amount: int
    balance: int


class Joined(msgspec.Struct, frozen=True, tag=True, gc=False):
    user: str
    number: int


class Admitted(msgspec.Struct, frozen=True, tag=True, gc=False):
    first: int
    last: int
    count: int
    at_ms: int
    until_ms: int


class Entered(msgspec.Struct, frozen=True, tag=True, gc=False):
    user: str
    number: int
    at_ms: int
    until_ms: int


class Left(msgspec.Struct, frozen=True, tag=True, gc=False):
    user: str
    number: int


class WentSilent(msgspec.Struct, frozen=True, tag=True, gc=False):
    numbers: tuple[int, ...]


class Policy(msgspec.Struct, frozen=True, gc=False):
    max_active: int
    admit_per_interval: int
    active_ms: int
    max_waiting: int
    interval_ms: int
    mode: Literal["open", "paused", "queue_all"]
    opens_ms: int


class PolicyChanged(msgspec.Struct, frozen=True, tag=True, gc=False):
    policy: Policy
    who: str
    at_ms: int


class Drawn(msgspec.Struct, frozen=True, tag=True, gc=False):
    seed: str
    first: int
    last: int
    at_ms: int


class TokenUsed(msgspec.Struct, frozen=True, tag=True, gc=False):
    user: str
    number: int


class TokensExpired(msgspec.Struct, frozen=True, tag=True, gc=False):
    numbers: tuple[int, ...]


EVENTS: tuple[type[msgspec.Struct], ...] = (
    SeatHeld,
    HoldReleased,
    HoldExpired,
    SeatSold,
    HoldCounted,
    HoldUncounted,
    SaleCounted,
    Charged,
    ReservationNoted,
    ReservationCancelled,
    PaymentStarted,
    PaymentCompleted,
    PaymentRefunded,
    Joined,
    Admitted,
    Entered,
    Left,
    WentSilent,
    PolicyChanged,
    Drawn,
    TokenUsed,
    TokensExpired,
)
