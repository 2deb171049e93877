"""A text about every seat of a date, kept in pieces of some hundred seats.

Only pieces with a changed seat are rendered again, one at a time: 100,000 seats are 8 MB.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from itertools import islice
from typing import NamedTuple

from booking.catalogue.domain import Schedule
from booking.seats.domain.ledger import EMPTY_LEDGER, Ledger, SeatWord, changed_words, word_of
from booking.seats.view import SeatMap

PIECE_SEATS = 512
"""Seats of one piece: some 40 kB, rendered in half a millisecond."""

Render = Callable[[int, int, SeatWord], bytes]
"""The text of a seat, given number, price and word, with the comma before it, or nothing."""


class Piece(NamedTuple):
    """The text of some seats."""

    text: bytes
    mark: bytes
    """Its hash."""


def texts_of(pieces: Iterable[Piece]) -> list[bytes]:
    """The text in parts, without the comma before the first seat."""
    texts = [piece.text for piece in pieces if piece.text]
    return [texts[0][1:], *texts[1:]] if texts else []


class SeatPieces:
    """The pieces of one date, as of the version rendered last."""

    def __init__(self, schedule: Schedule, render: Render) -> None:
        self.schedule = schedule
        self._render = render
        self._firsts = list(islice(schedule.prices, 0, None, PIECE_SEATS))
        self.pieces = [Piece(b"", b"")] * len(self._firsts)
        self.version = -1
        """Of the map that they show; -1 before the first."""
        self.ledger = EMPTY_LEDGER
        """The ledger of that version."""
        self._renewal: Iterator[None] | None = None

    def __len__(self) -> int:
        return len(self.pieces)

    @property
    def texts(self) -> list[bytes]:
        """As :func:`texts_of`."""
        return texts_of(self.pieces)

    def advance(self, seats: SeatMap, pieces_max: int) -> bool:
        """Render at most so many pieces. True once the text is as the map was when the first of
        them was rendered; nothing of it shows before."""
        if self._renewal is None:
            if self.version == seats.version:
                return True
            self._renewal = self._renewed(seats.ledger, seats.version)
        if sum(1 for _ in islice(self._renewal, pieces_max)) < pieces_max:
            self._renewal = None
        return self._renewal is None

    def _renewed(self, ledger: Ledger, version: int) -> Iterator[None]:
        """Render what is not as in this ledger, yielding after each piece."""
        pieces = self.pieces.copy()
        for index in self._outdated(ledger):
            first = index * PIECE_SEATS
            text = b"".join(
                [
                    self._render(number, price, word_of(ledger, number))
                    for number, price in islice(self.schedule.prices.pairs(first), PIECE_SEATS)
                ]
            )
            pieces[index] = Piece(text, blake2b(text, digest_size=16).digest())
            yield
        self.ledger, self.version, self.pieces = ledger, version, pieces

    def _outdated(self, ledger: Ledger) -> Iterator[int]:
        """The pieces with a seat that the ledger says something new of."""
        if self.version < 0:
            yield from range(len(self.pieces))
            return
        last = -1
        for number, _ in changed_words(self.ledger, ledger):
            index = bisect_right(self._firsts, number) - 1
            if index > last:
                last = index
                yield index
