"""The draw of a scheduled opening: who came before it gets a place by lot.

Whoever has the seed can repeat it: the ticket of the ``k``-th number of the draw (from 0) is bytes
``8k`` to ``8k + 7`` of SHAKE-256 (FIPS 202) over the seed's text, read as a big-endian integer, and
places go by ascending ticket; equal tickets, one draw in a billion, by number.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import shake_256
from itertools import accumulate
from typing import TypeAlias

from booking.queue.domain.number_set import NumberSet

_TICKET_BYTES = 8
_TOPS = 256
"""Numbers whose tickets begin with the same byte have places in a row. They are put in order
together, once one of them is asked for: 4,000 of 1,000,000, in three milliseconds."""

COUNTED_TOGETHER = 65_536
"""Tickets, in five milliseconds."""

_CACHE_SIZE = 8
"""Draws kept: the owner's state and the view of the same instance ask for the same ones. Seventeen
bytes a number."""


@dataclass(slots=True, unsafe_hash=True)
class Lots:
    """The outcome of one draw: a permutation of the numbers ``first`` to ``last``, whose places
    are the same numbers in another order. Made by :func:`draw`."""

    seed: str
    first: int
    last: int
    _tickets: bytes = field(init=False, compare=False, repr=False)
    _tops: bytes = field(init=False, compare=False, repr=False)
    _begins: list[int] = field(init=False, compare=False, repr=False)
    """How many tickets are below each first byte; empty before they are counted."""
    _sorted: set[int] = field(init=False, compare=False, repr=False)
    """First bytes whose numbers are in order."""
    _order: array[int] = field(init=False, compare=False, repr=False)
    _places: array[int] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        self._begins, self._sorted = [], set()

    def work(self) -> Iterator[None]:
        """Work out what is not known yet, piece by piece: some 280 of them for 1,000,000, of which
        the first, the hash, is the longest. Without it each question does what it needs."""
        yield from self.count()
        for top in range(_TOPS):
            if top not in self._sorted:
                self._sort(top)
                if self._begins[top] < self._begins[top + 1]:
                    yield

    def count(self) -> Iterator[None]:
        """The first part of :meth:`work`, with which any question is answered quickly."""
        if self._begins:
            return
        count = self.last - self.first + 1
        tickets = shake_256(self.seed.encode()).digest(_TICKET_BYTES * count)
        yield
        tops = tickets[::_TICKET_BYTES]
        counts = Counter(dict.fromkeys(range(_TOPS), 0))
        for at in range(0, count, COUNTED_TOGETHER):
            counts.update(tops[at : at + COUNTED_TOGETHER])
            yield
        if not self._begins:  # nobody else was quicker
            self._tickets, self._tops = tickets, tops
            self._order, self._places = array("I", bytes(4 * count)), array("I", bytes(4 * count))
            self._begins = [0, *accumulate(counts[top] for top in range(_TOPS))]

    @property
    def done(self) -> bool:
        """Whether all is worked out."""
        return len(self._sorted) == _TOPS

    def moved(self, left: NumberSet) -> NumberSet:
        """The places of those of these numbers that are in this draw, and the others."""
        if not left:
            return left
        for _ in self.work():
            pass
        return left.moved(self.first, self._places)

    def place(self, number: int) -> int:
        """The place of a number of this draw."""
        offset = number - self.first
        self._count_all()
        self._sort(self._tops[offset])
        return self.first + self._places[offset]

    def number(self, place: int) -> int:
        """The number that has this place."""
        offset = place - self.first
        self._count_all()
        self._sort(bisect_right(self._begins, offset) - 1)
        return self.first + self._order[offset]

    def _count_all(self) -> None:
        if not self._begins:
            for _ in self.count():
                pass

    def _sort(self, top: int) -> None:
        """Put the numbers in order whose tickets begin with this byte."""
        if top in self._sorted:
            return
        tickets, size = self._tickets, _TICKET_BYTES
        offsets = sorted(self._offsets(top), key=lambda at: tickets[at * size : at * size + size])
        begin = self._begins[top]
        self._order[begin : begin + len(offsets)] = array("I", offsets)
        for place, offset in enumerate(offsets, begin):
            self._places[offset] = place
        self._sorted.add(top)

    def _offsets(self, top: int) -> Iterator[int]:
        at = self._tops.find(top)
        while at >= 0:
            yield at
            at = self._tops.find(top, at + 1)

    def __contains__(self, number: int) -> bool:
        """Whether the number, or place, is one of this draw."""
        return self.first <= number <= self.last


@lru_cache(maxsize=_CACHE_SIZE)
def draw(seed: str, first: int, last: int) -> Lots:
    """The draw over these numbers."""
    return Lots(seed, first, last)


DrawRow: TypeAlias = tuple[str, str, int, int]
"""Queue, seed, first and last number of a draw."""


def numbers_of(
    queue: str, first: int, last: int, draws: Iterable[DrawRow]
) -> Iterator[tuple[int, int]]:
    """The numbers that have these places, as ranges; of each queue the earlier draws first."""
    for of, seed, begin, end in draws:
        low, high = max(first, begin), min(last, end)
        if of == queue and low <= high:
            if first < low:
                yield first, low - 1
            lots = draw(seed, begin, end)
            for place in range(low, high + 1):
                yield lots.number(place), lots.number(place)
            first = high + 1
    if first <= last:
        yield first, last
