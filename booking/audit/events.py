"""How the audit reads events, and how it compares what two books say.

Each book declares the events of its subject a second time, with only the fields it checks. Decoding
is strict.
"""

from collections.abc import Callable, Mapping
from functools import cache
from hashlib import blake2b
from typing import Any, Protocol

import msgspec

from booking.audit.report import Findings

_MASK = (1 << 128) - 1

Take = Callable[[str, Any, int], None]
"""A book's method for one type of event: takes the entity's address, the event and its time."""
Readers = Mapping[str, tuple[Callable[[str], Any], Take]]
"""Event type to its decoder and the method that takes the event."""


def read(
    tag: str, take: Take, texts: str = "", numbers: str = "", /, **more: Any
) -> tuple[str, tuple[Callable[[str], Any], Take]]:
    """How a book reads one type of event: text and number fields, and ``more`` with their types."""
    fields = [*((name, str) for name in texts.split()), *((name, int) for name in numbers.split())]
    shapes = (
        (name, *kind) if isinstance(kind, tuple) else (name, kind) for name, kind in more.items()
    )
    return tag, (_decoder(tag, (*fields, *shapes)), take)


@cache
def _decoder(tag: str, fields: tuple[Any, ...]) -> Callable[[str], Any]:
    event = msgspec.defstruct(tag, fields, tag=tag, frozen=True, gc=False)
    return msgspec.json.Decoder(event).decode


def take_event(
    known: Readers, found: Findings, address: str, at_ms: int, version: int, type_: str, text: str
) -> None:
    """Decode a row's event and hand it to the book that reads it."""
    reader = known.get(type_)
    if reader is None or version != 1:
        found.report("events", f"{type_} version {version} is not an event of this entity")
        return
    decode, take = reader
    try:
        event = decode(text)
    except msgspec.DecodeError as error:
        found.report("events", f"{type_} cannot be read: {error}")
    else:
        take(address, event, at_ms)


def digest(fact: str) -> int:
    """A 128-bit hash of one fact, spelled the same by both sides."""
    return int.from_bytes(blake2b(fact.encode(), digest_size=16).digest(), "big")


class FactReader(Protocol):
    """Takes what two books in different shards say of the same, each fact with the name that the
    other book knows it by and the address of the entity that has to say it too."""

    def first(self, name: str, fact: int, at_ms: int, other: str) -> None:
        """Take a fact of the side that acts first."""

    def second(self, name: str, fact: int, at_ms: int, other: str) -> None:
        """Take a fact of the side that follows: the first has told it already."""

    def perhaps(self, name: str, fact: int, at_ms: int, other: str) -> None:
        """Take a fact that the second side told while the first was on its way, and may have been
        lost."""

    def expect(self, name: str, fact: int) -> None:
        """Hear that the second side will tell this once it has heard of the first."""


class Reconciliation:
    """Two books in different shards that must say the same, compared without keeping either.

    Each side adds a 128-bit hash of every fact to a sum. Sums do not depend on the order, so equal
    sums mean equal sets of facts (a false match has a chance of 2**-128). Nothing may be said only
    by the second side, and by the first only as long as the second is still on its way.
    """

    def __init__(self, recent_from_ms: int, *, announced: bool) -> None:
        """Facts the first side told at or after ``recent_from_ms`` may still be one-sided. That is
        a minute or so of traffic, which bounds the memory. If ``announced``, only those that the
        second side said to be waiting for, by :meth:`expect`."""
        self._recent_from_ms = recent_from_ms
        self._announced = announced
        self._first = self._second = 0
        self._recent: dict[str, int] = {}
        self._answered: set[str] = set()
        self._expected: dict[str, int] = {}

    def first(self, name: str, fact: int, at_ms: int, other: str) -> None:
        """Add the first side's fact."""
        self._first += fact
        if at_ms >= self._recent_from_ms:
            self._recent[name] = fact

    def second(self, name: str, fact: int, at_ms: int, other: str) -> None:
        """Add the second side's fact."""
        self._second += fact
        if at_ms >= self._recent_from_ms:
            self._answered.add(name)

    perhaps = second

    def expect(self, name: str, fact: int) -> None:
        """Note what the second side will tell."""
        self._expected[name] = fact

    @property
    def on_its_way(self) -> list[str]:
        """Names of facts that only the first side has told, and may have."""
        return [
            name
            for name, fact in self._recent.items()
            if name not in self._answered
            and (not self._announced or self._expected.get(name) == fact)
        ]

    @property
    def agree(self) -> bool:
        """Whether both sides told the same, but for what is on its way."""
        waiting = sum(self._recent[name] for name in self.on_its_way)
        return (self._first - self._second - waiting) & _MASK == 0
