"""Containers for states that are large and change a little with every event.

A state is immutable, so that a decision can be tried, thrown away or kept beside the old one. A
plain ``dict`` of 100,000 waiting users would be copied as a whole for each that joins. These share
all but what differs with the older version.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Any, Final, Generic, TypeVar, overload

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
D = TypeVar("D")

_ABSENT: Final[Any] = object()


class PersistentMap(Generic[K, V]):
    """An immutable mapping; ``set`` and ``delete`` give a new one for a fraction of a microsecond.

    The newest version has the plain dict. A change is made in that dict, and the version before
    keeps only what it had under that key and a reference to its successor (Baker, *Shallow Binding
    Makes Functional Arrays Fast*, 1991). So every version stays what it was: an older one answers
    by way of its successors, and one that is changed a second time gets a dict of its own, which
    is correct and slow. Whoever keeps a version for long keeps all that changed since.
    """

    __slots__ = ("_key", "_next", "_old", "_size", "_table")

    def __init__(self) -> None:
        self._table: dict[K, V] | None = {}
        """``None`` once there is a successor; the fields below count then."""
        self._next: PersistentMap[K, V]
        self._key: K
        self._old: V
        self._size: int

    @classmethod
    def from_items(cls, items: Iterable[tuple[K, V]]) -> PersistentMap[K, V]:
        """Built at once. Of equal keys the last one counts."""
        return cls._newest(dict(items))

    def items(self) -> Iterable[tuple[K, V]]:
        """All pairs, in no defined order. Of an older version at the cost of a copy."""
        return (self._copy() if self._table is None else self._table).items()

    def values(self) -> Iterable[V]:
        """As :meth:`items`."""
        return (self._copy() if self._table is None else self._table).values()

    def __len__(self) -> int:
        return self._size if self._table is None else len(self._table)

    def __iter__(self) -> Iterator[K]:
        return (key for key, _ in self.items())

    def __contains__(self, key: K) -> bool:
        return self._find(key) is not _ABSENT

    def __getitem__(self, key: K) -> V:
        found: V = self._find(key)
        if found is _ABSENT:
            raise KeyError(key)
        return found

    @overload
    def get(self, key: K) -> V | None: ...
    @overload
    def get(self, key: K, default: D) -> V | D: ...
    def get(self, key: K, default: D | None = None) -> V | D | None:
        """The value at ``key``, or ``default``."""
        found = self._find(key)
        return default if found is _ABSENT else found

    def set(self, key: K, value: V) -> PersistentMap[K, V]:
        """This map with ``key`` at ``value``."""
        table = self._table
        if table is None:
            table = self._copy()
            table[key] = value
            return self._newest(table)
        successor = self._succeeded(table, key, table.get(key, _ABSENT))
        table[key] = value
        return successor

    def delete(self, key: K) -> PersistentMap[K, V]:
        """This map without ``key``; :class:`KeyError` if it has none."""
        table = self._table
        if table is None:
            table = self._copy()
            del table[key]
            return self._newest(table)
        successor = self._succeeded(table, key, table[key])
        del table[key]
        return successor

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PersistentMap):
            return NotImplemented
        return self is other or dict(self.items()) == dict(other.items())

    __hash__ = None  # type: ignore[assignment]  # equal by content, so no more hashable than a dict

    def __repr__(self) -> str:
        return f"PersistentMap({dict(self.items())!r})"

    def _find(self, key: K) -> Any:
        version = self
        while version._table is None:
            if version._key == key:
                return version._old
            version = version._next
        return version._table.get(key, _ABSENT)

    def _succeeded(self, table: dict[K, V], key: K, old: Any) -> PersistentMap[K, V]:
        """Hand the dict over to a successor that will differ in ``key``."""
        successor = self._newest(table)
        self._size = len(table)
        self._table = None
        self._key = key
        self._old = old
        self._next = successor
        return successor

    def _copy(self) -> dict[K, V]:
        """What an older version holds, as a dict of its own."""
        changes: dict[K, Any] = {}
        version = self
        while version._table is None:
            changes.setdefault(version._key, version._old)
            version = version._next
        table = version._table | changes
        for key, old in changes.items():
            if old is _ABSENT:
                del table[key]
        return table

    @classmethod
    def _newest(cls, table: dict[K, V]) -> PersistentMap[K, V]:
        made = cls.__new__(cls)
        made._table = table
        return made


_CHUNK_MAX = 256
"""Entries in one chunk of a sorted set: the square root of the 100,000 it should be quick for."""

Pair = tuple[int, int]


class PersistentSorted:
    """An immutable sorted set of pairs of integers; ``add`` and ``discard`` copy one chunk.

    Cheapest at the two ends, which is where a queue of times changes: new ends are mostly the
    latest, and the earliest go first.
    """

    __slots__ = ("_chunks", "_size")

    def __init__(self) -> None:
        self._chunks: tuple[tuple[Pair, ...], ...] = ()
        self._size = 0

    @classmethod
    def from_items(cls, items: Iterable[Pair]) -> PersistentSorted:
        """Built at once."""
        pairs = sorted(set(items))
        step = _CHUNK_MAX // 2
        chunks = (tuple(pairs[i : i + step]) for i in range(0, len(pairs), step))
        return cls._made(tuple(chunks), len(pairs))

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Pair]:
        for chunk in self._chunks:
            yield from chunk

    def first(self) -> Pair | None:
        """The smallest pair, or ``None`` if there is none. O(1)."""
        return self._chunks[0][0] if self._chunks else None

    def __contains__(self, pair: Pair) -> bool:
        return self._find(pair) is not None

    def add(self, pair: Pair) -> PersistentSorted:
        """This set with ``pair``; :class:`ValueError` if it has it already."""
        if not self._chunks:
            return self._made(((pair,),), 1)
        index = min(self._chunk_of(pair), len(self._chunks) - 1)
        chunk = self._chunks[index]
        at = bisect_left(chunk, pair)
        if at < len(chunk) and chunk[at] == pair:
            raise ValueError(f"{pair} is in the set")
        chunk = (*chunk, pair) if at == len(chunk) else (*chunk[:at], pair, *chunk[at:])
        return self._with(index, self._split(chunk, at), 1)

    def extended(self, pairs: Sequence[Pair]) -> PersistentSorted:
        """This set with all of ``pairs``, which are ascending; at one copy of the last chunk if
        all come after what it has. :class:`ValueError` as for :meth:`add`."""
        if self._chunks and pairs and pairs[0] <= self._chunks[-1][-1]:
            made = self
            for pair in pairs:
                made = made.add(pair)
            return made
        chunks, last = self._chunks, self._chunks[-1] if self._chunks else ()
        grown, step = last + tuple(pairs), _CHUNK_MAX
        if len(grown) <= step:
            tail: tuple[tuple[Pair, ...], ...] = (grown,)
        else:
            tail = tuple(grown[at : at + step] for at in range(0, len(grown), step))
        return self._made(chunks[:-1] + tail, self._size + len(pairs))

    def discard(self, pair: Pair) -> PersistentSorted:
        """This set without ``pair``; :class:`ValueError` if it has it not."""
        found = self._find(pair)
        if found is None:
            raise ValueError(f"{pair} is not in the set")
        index, at = found
        chunk = self._chunks[index]
        rest = chunk[:at] + chunk[at + 1 :]
        return self._with(index, (rest,) if rest else (), -1)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PersistentSorted):
            return NotImplemented
        return list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # equal by content, so no more hashable than a set

    def __repr__(self) -> str:
        return f"PersistentSorted({list(self)!r})"

    def _chunk_of(self, pair: Pair) -> int:
        """The first chunk that does not end before ``pair``; one beyond the last if all do."""
        if not self._chunks or self._chunks[-1][-1] < pair:
            return len(self._chunks)
        if self._chunks[0][-1] >= pair:
            return 0
        return bisect_left(self._chunks, pair, key=lambda chunk: chunk[-1])

    def _find(self, pair: Pair) -> tuple[int, int] | None:
        """The chunk that has ``pair``, and its place in there."""
        index = self._chunk_of(pair)
        if index == len(self._chunks):
            return None
        chunk = self._chunks[index]
        at = bisect_left(chunk, pair)
        return (index, at) if chunk[at] == pair else None

    @staticmethod
    def _split(chunk: tuple[Pair, ...], at: int) -> tuple[tuple[Pair, ...], ...]:
        """A chunk that has grown too long, in two; one that grows at its end leaves a full one
        behind, so that a set only appended to is not made of half-empty chunks."""
        if len(chunk) <= _CHUNK_MAX:
            return (chunk,)
        cut = _CHUNK_MAX if at == _CHUNK_MAX else _CHUNK_MAX // 2
        return chunk[:cut], chunk[cut:]

    def _with(
        self, index: int, chunks: tuple[tuple[Pair, ...], ...], grown: int
    ) -> PersistentSorted:
        return self._made(
            (*self._chunks[:index], *chunks, *self._chunks[index + 1 :]), self._size + grown
        )

    @classmethod
    def _made(cls, chunks: tuple[tuple[Pair, ...], ...], size: int) -> PersistentSorted:
        made = cls.__new__(cls)
        made._chunks = chunks
        made._size = size
        return made
