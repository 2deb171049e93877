"""Two books in different shards that must tell the same, compared without keeping either.

Each side adds a 128-bit hash of every fact to a sum. Sums do not depend on the order, so equal
sums mean equal sets of facts (a false match has a chance of 2**-128). What happened within the last
moments may be on one side only, and is kept apart.
"""

from __future__ import annotations

from hashlib import blake2b

_MASK = (1 << 128) - 1


def digest(fact: str) -> int:
    """A 128-bit hash of one fact, spelled the same by both sides."""
    return int.from_bytes(blake2b(fact.encode(), digest_size=16).digest(), "big")


class Matching:
    """Facts told by two sides, the second one after the first: nothing may be told only by the
    second, and by the first only as long as the second is still on its way."""

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

    def first(self, name: str, fact: int, at_ms: int) -> None:
        """The first side's fact, with the name that the second side knows it by."""
        self._first += fact
        if at_ms >= self._recent_from_ms:
            self._recent[name] = fact

    def second(self, name: str, fact: int, at_ms: int) -> None:
        """The second side's fact."""
        self._second += fact
        if at_ms >= self._recent_from_ms:
            self._answered.add(name)

    def expect(self, name: str, fact: int) -> None:
        """The second side will tell this once it has heard of the first."""
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
