"""An immutable set of numbers that are dense here and there: those who left the line.

Kept as bits, 4,096 to a chunk, so that 100,000 numbers are 25 integers: adding one copies 25
references and half a kilobyte, counting over all of them is 25 additions.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, compress

_CHUNK_BITS = 4096
_FULL = (1 << _CHUNK_BITS) - 1
_TO_FLAGS, _TO_DIGITS = bytes.maketrans(b"01", b"\0\1"), bytes.maketrans(b"\0\1", b"01")


class NumberSet:
    """Numbers from 0 up. Every change gives a new set."""

    __slots__ = ("_before", "_chunks", "_size")

    def __init__(self, chunks: Iterable[tuple[int, int]] = ()) -> None:
        """From what :meth:`chunks` gave."""
        self._chunks = {index: bits for index, bits in chunks if bits}
        self._size = sum(bits.bit_count() for bits in self._chunks.values())
        self._before: tuple[list[int], list[int]] | None = None
        """The indexes of all chunks, and how many numbers are before each, once somebody asked."""

    def chunks(self) -> Iterable[tuple[int, int]]:
        """Index and bits of each chunk: bit ``b`` of chunk ``i`` is the number ``i * 4096 + b``."""
        return self._chunks.items()

    def __len__(self) -> int:
        return self._size

    def __contains__(self, number: int) -> bool:
        index, bit = divmod(number, _CHUNK_BITS)
        return bool(self._chunks.get(index, 0) >> bit & 1)

    def __iter__(self) -> Iterator[int]:
        """Ascending."""
        for index in sorted(self._chunks):
            rest = self._chunks[index]
            while rest:
                lowest = rest & -rest
                yield index * _CHUNK_BITS + lowest.bit_length() - 1
                rest ^= lowest

    def with_all(self, numbers: Iterable[int]) -> NumberSet:
        """This set with all of these; :class:`ValueError` if it has one of them already."""
        chunks, size = self._chunks.copy(), self._size
        for number in numbers:
            index, bit = divmod(number, _CHUNK_BITS)
            bits = chunks.get(index, 0)
            if bits >> bit & 1:
                raise ValueError(f"{number} is in the set")
            chunks[index] = bits | 1 << bit
            size += 1
        return self._made(chunks, size)

    def count_below(self, limit: int) -> int:
        """How many numbers are smaller than ``limit``. O(chunks) when it is first asked of a
        set."""
        index, bit = divmod(limit, _CHUNK_BITS)
        if self._before is None:
            indexes = sorted(self._chunks)
            counts = [self._chunks[each].bit_count() for each in indexes]
            self._before = indexes, [0, *accumulate(counts)]
        indexes, before = self._before
        part = self._chunks.get(index, 0) & ((1 << bit) - 1)
        return before[bisect_left(indexes, index)] + part.bit_count()

    def next_absent(self, start: int) -> int:
        """The smallest number from ``start`` on that is not in the set. Skips whole chunks."""
        index, bit = divmod(start, _CHUNK_BITS)
        while (free := (_FULL ^ self._chunks.get(index, 0)) >> bit) == 0:
            index, bit = index + 1, 0
        return index * _CHUNK_BITS + bit + (free & -free).bit_length() - 1

    def without_below(self, limit: int) -> NumberSet:
        """This set without the numbers smaller than ``limit``."""
        if not self._chunks:
            return self
        index, bit = divmod(limit, _CHUNK_BITS)
        kept = {i: bits for i, bits in self._chunks.items() if i >= index}
        if index in kept:
            kept[index] = kept[index] >> bit << bit
        return NumberSet(kept.items())

    def moved(self, first: int, to: Sequence[int]) -> NumberSet:
        """This set with ``first + to[k]`` in place of ``first + k``, for a permutation ``to`` of
        the numbers from 0. Some 10 ms for 100,000 of 1,000,000."""
        base = first // _CHUNK_BITS
        offset, end = first - base * _CHUNK_BITS, first + len(to)
        flags = bytearray(-(-(offset + len(to)) // _CHUNK_BITS) * _CHUNK_BITS)
        moved = dict[int, int]()
        for index, bits in self._chunks.items():
            begin = index * _CHUNK_BITS
            low, high = max(first - begin, 0), min(end - begin, _CHUNK_BITS)
            moved[index] = bits
            if low < high:
                marks = f"{bits:0{_CHUNK_BITS}b}"[::-1].encode().translate(_TO_FLAGS)
                some = to[begin + low - first : begin + high - first]
                for place in compress(some, marks[low:high]):
                    flags[offset + place] = 1
                moved[index] &= ~((1 << high) - (1 << low))
        for index, at in enumerate(range(0, len(flags), _CHUNK_BITS), base):
            digits = flags[at : at + _CHUNK_BITS][::-1].translate(_TO_DIGITS)
            moved[index] = moved.get(index, 0) | int(digits, 2)
        return NumberSet(moved.items())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, NumberSet):
            return NotImplemented
        return self._chunks == other._chunks

    __hash__ = None  # type: ignore[assignment]  # equal by content, so no more hashable than a set

    def __repr__(self) -> str:
        return f"NumberSet({list(self)!r})"

    @classmethod
    def _made(cls, chunks: dict[int, int], size: int) -> NumberSet:
        made = cls.__new__(cls)
        made._chunks = chunks
        made._size = size
        made._before = None
        return made
