"""Containers for states that are large, are changed at one place at a time, and are compared and
written down while they go on changing."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from operator import eq
from typing import Any, Generic, TypeVar

V = TypeVar("V")

_BITS = 5
_WIDTH = 1 << _BITS
"""Places of one node. A change copies a node of each level: four of them for 100,000 keys."""
_LEVELS_MAX = 11
_PAGE_LEVEL = 1
PAGE_KEYS = _WIDTH ** (_PAGE_LEVEL + 1)
"""Keys of one page."""
LEAF_KEYS = _WIDTH
"""Keys of one leaf, the smallest part that an array is made of."""

_Node = Sequence[Any]
"""A tuple of values on the lowest level (``None`` for none), where the garbage collector need not
look if it need not look at the values; a list of nodes on the others. Never changed once it is in
an array."""

_EMPTY: list[_Node] = [(None,) * _WIDTH]
for _ in range(_LEVELS_MAX):
    _EMPTY.append([_EMPTY[-1]] * _WIDTH)


class PersistentArray(Generic[V]):
    """An immutable mapping from whole numbers (0 to 2**60 - 1) to values, by number.

    :meth:`set` gives a new array, which shares all but one node of each level with this one. So a
    version may be read for as long as somebody likes, and what differs between two versions is
    found by looking only at the nodes that they do not share (a radix tree, as Clojure's vectors).
    A value of a dense array takes little more than the 8 bytes of its reference.
    """

    __slots__ = ("_levels", "_root")

    def __init__(self) -> None:
        self._levels = _PAGE_LEVEL + 1
        """Levels above the lowest."""
        self._root = _EMPTY[self._levels]

    def get(self, key: int) -> V | None:
        """The value at ``key``, or ``None``."""
        levels, node = self._levels, self._root
        if key >> _BITS * (levels + 1):
            return None
        for shift in range(_BITS * levels, 0, -_BITS):
            node = node[key >> shift & _WIDTH - 1]
        found: V | None = node[key & _WIDTH - 1]
        return found

    def set(self, key: int, value: V | None) -> PersistentArray[V]:
        """This array with ``value`` (``None``: nothing) at ``key``. Raises :class:`IndexError`."""
        changed = self._with(key, 0, value)
        if value is None:
            changed._prune(key)
        return changed

    def pages(self) -> dict[int, Sequence[Sequence[V | None]]]:
        """All values in pages of :data:`PAGE_KEYS` keys, by number; those without a value are left
        out. A page is the same object in all versions in which nothing in it is different."""
        return dict(_nodes(self._root, self._levels, 0, _PAGE_LEVEL))

    def leaves(self) -> dict[int, Sequence[V | None]]:
        """All values as :meth:`pages` gives them, in parts of :data:`LEAF_KEYS` keys."""
        return dict(_nodes(self._root, self._levels, 0, 0))

    def with_leaf(self, number: int, leaf: Sequence[V | None]) -> PersistentArray[V]:
        """This array with such a part, which must not be changed afterwards."""
        return self._with(number * LEAF_KEYS, 1, leaf)

    def with_page(self, number: int, page: Sequence[Sequence[V | None]]) -> PersistentArray[V]:
        """This array with such a page, which must not be changed afterwards."""
        return self._with(number * PAGE_KEYS, _PAGE_LEVEL + 1, page)

    def _with(self, key: int, level: int, part: Any) -> PersistentArray[V]:
        """This array with another part in the node of this level above ``key``."""
        if key >> _BITS * (_LEVELS_MAX + 1):
            raise IndexError(key)
        levels = self._levels
        while key >> _BITS * (levels + 1):
            levels += 1
        changed = PersistentArray.__new__(PersistentArray)
        changed._levels = levels
        changed._root = node = [*self._lifted(levels)]
        for shift in range(_BITS * levels, _BITS * max(level, 1), -_BITS):
            at = key >> shift & _WIDTH - 1
            node[at] = node = [*node[at]]
        if level == 0:
            at, place = key >> _BITS & _WIDTH - 1, key & _WIDTH - 1
            leaf = [*node[at]]
            leaf[place] = part
            node[at] = tuple(leaf)
        else:
            node[key >> _BITS * level & _WIDTH - 1] = part
        return changed

    def _prune(self, key: int) -> None:
        """Let the nodes above ``key`` go that have nothing in them any more."""
        path, node = list[list[Any]](), self._root
        for shift in range(_BITS * self._levels, 0, -_BITS):
            assert isinstance(node, list)
            path.append(node)
            node = node[key >> shift & _WIDTH - 1]
        for level, above in enumerate(reversed(path)):
            if node != _EMPTY[0] if level == 0 else any(n is not _EMPTY[level - 1] for n in node):
                return
            above[key >> _BITS * (level + 1) & _WIDTH - 1] = _EMPTY[level]
            node = above

    def items(self) -> Iterator[tuple[int, V]]:
        """All pairs, by key."""
        return (pair for number, page in self.pages().items() for pair in page_items(number, page))

    def changed_since(self, older: PersistentArray[V]) -> Iterator[tuple[int, V | None, V | None]]:
        """Keys, ascending, where ``older`` differs, with both values. O(what changed between)."""
        levels = max(self._levels, older._levels)
        return _differing(self._lifted(levels), older._lifted(levels), levels, 0)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PersistentArray):
            return NotImplemented
        return next(self.changed_since(other), None) is None

    __hash__ = None  # type: ignore[assignment]  # equal by content, so no more hashable than a dict

    def __repr__(self) -> str:
        return f"PersistentArray({dict(self.items())!r})"

    def _lifted(self, levels: int) -> _Node:
        """The root of the same array with so many levels."""
        root = self._root
        for level in range(self._levels + 1, levels + 1):
            root = [root, *_EMPTY[level][1:]] if root is not _EMPTY[level - 1] else _EMPTY[level]
        return root


def page_items(number: int, page: Sequence[Sequence[Any]]) -> Iterator[tuple[int, Any]]:
    """The pairs of one page, by key."""
    for leaf, values in enumerate(page, number * _WIDTH):
        for key, value in enumerate(values, leaf * _WIDTH):
            if value is not None:
                yield key, value


def _nodes(node: _Node, level: int, number: int, wanted: int) -> Iterator[tuple[int, _Node]]:
    """The nodes of the level that is wanted, but for those never written to."""
    if node is _EMPTY[level]:
        return
    if level == wanted:
        yield number, node
        return
    for at, part in enumerate(node, number << _BITS):
        yield from _nodes(part, level - 1, at, wanted)


def _differing(new: _Node, old: _Node, level: int, number: int) -> Iterator[tuple[int, Any, Any]]:
    for at, (here, there) in enumerate(zip(new, old, strict=True), number << _BITS):
        if here is there:
            continue
        if level:
            yield from _differing(here, there, level - 1, at)
        elif here != there:
            yield at, here, there


# -- sorted sets -----------------------------------------------------------------------------------

_CHUNK_MAX = 512
"""Pairs in one chunk of a sorted set: with 100,000 a change copies 8 kB and 300 references."""

Pair = tuple[int, int]
_Chunk = tuple["array[int]", "array[int]"]
"""The first and the second numbers of some pairs."""


class PersistentSorted:
    """An immutable sorted set of pairs of 64-bit integers, 16 bytes each; ``add`` and ``discard``
    copy one chunk.

    Cheapest at the two ends, which is where a queue of times changes: new ends are mostly the
    latest, and the earliest go first.
    """

    __slots__ = ("_chunks", "_size")

    def __init__(self) -> None:
        self._chunks: list[_Chunk] = []
        """Neither the list nor a chunk is changed once it is in a set."""
        self._size = 0

    @classmethod
    def from_items(cls, items: Iterable[Pair]) -> PersistentSorted:
        """Built at once."""
        return cls().extended(set(items))

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Pair]:
        for firsts, seconds in self._chunks:
            yield from zip(firsts, seconds, strict=True)

    def first(self) -> Pair | None:
        """The smallest pair, or ``None`` if there is none. O(1)."""
        return _pair(self._chunks[0], 0) if self._chunks else None

    def seconds_of(self, first: int) -> Iterator[int]:
        """The second numbers of all pairs that begin with ``first``, ascending."""
        for index in range(self._chunk_of((first, _LEAST)), len(self._chunks)):
            firsts, seconds = self._chunks[index]
            low, high = bisect_left(firsts, first), bisect_right(firsts, first)
            yield from seconds[low:high]
            if high < len(firsts):
                return

    def __contains__(self, pair: Pair) -> bool:
        return self._find(pair) is not None

    def add(self, pair: Pair) -> PersistentSorted:
        """This set with ``pair``; :class:`ValueError` if it has it already."""
        if not self._chunks:
            return self.extended((pair,))
        index = min(self._chunk_of(pair), len(self._chunks) - 1)
        chunks = self._chunks.copy()
        chunks[index : index + 1] = _merged(chunks[index], (pair,))
        return self._made(chunks, self._size + 1)

    def extended(self, pairs: Collection[Pair]) -> PersistentSorted:
        """This set with all of ``pairs``. However many of them come into one chunk, it is copied
        once. :class:`ValueError` if it has one already."""
        added = sorted(pairs) if len(pairs) > 1 else list(pairs)
        old = self._chunks or [_chunk([])]
        new: list[_Chunk] = []
        at = done = 0
        while at < len(added):
            index = min(self._chunk_of(added[at]), len(old) - 1)
            is_last = index == len(old) - 1
            end = len(added) if is_last else bisect_right(added, _last(old[index]), at)
            new += old[done:index]
            new += _merged(old[index], added[at:end])
            at, done = end, index + 1
        return self._made(new + old[done:], self._size + len(added)) if added else self

    def discard(self, pair: Pair) -> PersistentSorted:
        """This set without ``pair``; :class:`ValueError` if it has it not."""
        found = self._find(pair)
        if found is None:
            raise ValueError(f"{pair} is not in the set")
        index, at = found
        firsts, seconds = self._chunks[index]
        rest = (firsts[:at] + firsts[at + 1 :], seconds[:at] + seconds[at + 1 :])
        return self._with(index, [rest] if rest[0] else [], -1)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PersistentSorted):
            return NotImplemented
        return list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # equal by content, so no more hashable than a set

    def __repr__(self) -> str:
        return f"PersistentSorted({list(self)!r})"

    def _chunk_of(self, pair: Pair) -> int:
        """The first chunk that does not end before ``pair``; one beyond the last if all do."""
        chunks = self._chunks
        if not chunks or _last(chunks[-1]) < pair:
            return len(chunks)
        if len(chunks) == 1 or _last(chunks[0]) >= pair:
            return 0
        return bisect_left(chunks, pair, key=_last)

    def _find(self, pair: Pair) -> tuple[int, int] | None:
        """The chunk that has ``pair``, and its place in there."""
        index = self._chunk_of(pair)
        if index == len(self._chunks):
            return None
        at = _place(self._chunks[index], pair)
        return (index, at) if _pair(self._chunks[index], at) == pair else None

    def _with(self, index: int, chunks: list[_Chunk], grown: int) -> PersistentSorted:
        others = self._chunks.copy()
        others[index : index + 1] = chunks
        return self._made(others, self._size + grown)

    @classmethod
    def _made(cls, chunks: list[_Chunk], size: int) -> PersistentSorted:
        made = cls.__new__(cls)
        made._chunks = chunks
        made._size = size
        return made


_LEAST = -(2**63)


def _chunk(pairs: Sequence[Pair]) -> _Chunk:
    return array("q", [first for first, _ in pairs]), array("q", [second for _, second in pairs])


def _merged(chunk: _Chunk, pairs: Sequence[Pair]) -> list[_Chunk]:
    """The chunk with these pairs, ascending, in pieces if it is too long. One that has grown at its
    end leaves full ones behind, so that a set only appended to is not made of half-empty chunks."""
    firsts, seconds = merged = chunk[0][:], chunk[1][:]
    at = 0
    for pair in pairs:
        at = _place(merged, pair)
        if at < len(firsts) and _pair(merged, at) == pair:
            raise ValueError(f"{pair} is in the set")
        firsts.insert(at, pair[0])
        seconds.insert(at, pair[1])
    size = len(firsts)
    if size <= _CHUNK_MAX:
        return [merged]
    step = _CHUNK_MAX if at == size - 1 else _CHUNK_MAX // 2 + 1
    return [(firsts[at : at + step], seconds[at : at + step]) for at in range(0, size, step)]


def _pair(chunk: _Chunk, at: int) -> Pair:
    return chunk[0][at], chunk[1][at]


def _last(chunk: _Chunk) -> Pair:
    return chunk[0][-1], chunk[1][-1]


def _place(chunk: _Chunk, pair: Pair) -> int:
    """Where ``pair`` is in the chunk, or would be."""
    firsts, seconds = chunk
    first, second = pair
    low = bisect_left(firsts, first)
    if low == len(firsts) or firsts[low] != first:
        return low
    return bisect_left(seconds, second, low, bisect_right(firsts, first, low))


class Prices(Mapping[int, int]):
    """Seat number to price in won, by number; immutable.

    Neighbours at one price are one run, and a run takes 12 bytes, so that the largest halls take
    next to nothing, and one in which no two neighbours cost the same takes 12 bytes a seat.
    """

    __slots__ = ("_firsts", "_places", "_prices")

    def __init__(self, seats: Iterable[tuple[int, int]]) -> None:
        """``seats`` are numbers with their prices, in the order of the numbers."""
        self._firsts, self._places, self._prices = array("I"), array("I"), array("I")
        place = due = at = 0
        for number, price in seats:
            if number != due or price != at:
                self._firsts.append(number)
                self._places.append(place)
                self._prices.append(price)
                at = price
            due, place = number + 1, place + 1
        self._places.append(place)

    def __getitem__(self, number: int) -> int:
        run = bisect_right(self._firsts, number) - 1
        if run < 0 or number not in self._run(run):
            raise KeyError(number)
        return self._prices[run]

    def __len__(self) -> int:
        return self._places[-1]

    def __iter__(self) -> Iterator[int]:
        for run in range(len(self._firsts)):
            yield from self._run(run)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Prices):
            return super().__eq__(other)
        return self._prices == other._prices and self._runs_as(other)

    __hash__ = None  # type: ignore[assignment]  # as of a dict

    def same_seats(self, other: Prices) -> bool:
        """Whether these are prices of the same seats."""
        return len(self) == len(other) and (self._runs_as(other) or all(map(eq, self, other)))

    def _runs_as(self, other: Prices) -> bool:
        return self._firsts == other._firsts and self._places == other._places

    def _run(self, run: int) -> range:
        first = self._firsts[run]
        return range(first, first + self._places[run + 1] - self._places[run])

    def runs(self) -> Iterator[tuple[range, int]]:
        """Neighbours with their price."""
        return ((self._run(run), price) for run, price in enumerate(self._prices))

    def pairs(self, place: int = 0) -> Iterator[tuple[int, int]]:
        """The seats with their prices, without the first ``place`` of them."""
        begin = max(0, bisect_right(self._places, place) - 1)
        skipped = place - self._places[begin]
        for run in range(begin, len(self._firsts)):
            price = self._prices[run]
            for number in self._run(run)[skipped:]:
                yield number, price
            skipped = 0
