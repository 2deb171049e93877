"""Containers for states that are large and change a little with every event.

A state is immutable, so that a decision can be tried, thrown away or kept beside the old one. A
plain ``dict`` of 100,000 waiting users would be copied as a whole for each that joins. These copy
one small bucket instead and share the rest with the older version.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable, Iterable, Iterator
from typing import Any, Generic, TypeVar, overload

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
D = TypeVar("D")

_FANOUT = 64
"""Two levels of 64 make 4,096 buckets: with 100,000 entries each has about 24, so that a change
copies some 150 references."""


class PersistentMap(Generic[K, V]):
    """An immutable mapping; ``set`` and ``delete`` give a new one and copy one bucket.

    Two levels of fixed width over small dicts, by the key's hash. Iteration has no defined order.
    """

    __slots__ = ("_root", "_size")

    def __init__(self) -> None:
        self._root: list[list[dict[K, V]]] = _EMPTY_ROOT
        self._size = 0

    @classmethod
    def from_items(cls, items: Iterable[tuple[K, V]]) -> PersistentMap[K, V]:
        """Built at once, without a copy for each item. Of equal keys the last one counts."""
        buckets: dict[tuple[int, int], dict[K, V]] = {}
        for key, value in items:
            buckets.setdefault(_place(key), {})[key] = value
        root = [
            [buckets.get((r, b), _EMPTY_BUCKET) for b in range(_FANOUT)] for r in range(_FANOUT)
        ]
        return cls._made(root, sum(map(len, buckets.values())))

    def to_items(self) -> list[tuple[K, V]]:
        """All pairs, in no defined order."""
        return list(self.items())

    def items(self) -> Iterator[tuple[K, V]]:
        for branch in self._root:
            if branch is not _EMPTY_BRANCH:
                for bucket in branch:
                    yield from bucket.items()

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[K]:
        return (key for key, _ in self.items())

    def __contains__(self, key: K) -> bool:
        root_index, branch_index = _place(key)
        return key in self._root[root_index][branch_index]

    def __getitem__(self, key: K) -> V:
        root_index, branch_index = _place(key)
        return self._root[root_index][branch_index][key]

    @overload
    def get(self, key: K) -> V | None: ...
    @overload
    def get(self, key: K, default: D) -> V | D: ...
    def get(self, key: K, default: D | None = None) -> V | D | None:
        root_index, branch_index = _place(key)
        return self._root[root_index][branch_index].get(key, default)

    def set(self, key: K, value: V) -> PersistentMap[K, V]:
        """This map with ``key`` at ``value``."""
        root_index, branch_index = _place(key)
        old = self._root[root_index][branch_index]
        bucket = old.copy()
        bucket[key] = value
        return self._with(root_index, branch_index, bucket, len(bucket) - len(old))

    def delete(self, key: K) -> PersistentMap[K, V]:
        """This map without ``key``; :class:`KeyError` if it has none."""
        root_index, branch_index = _place(key)
        bucket = self._root[root_index][branch_index].copy()
        del bucket[key]
        return self._with(root_index, branch_index, bucket or _EMPTY_BUCKET, -1)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PersistentMap):
            return NotImplemented
        return self._size == other._size and self._root == other._root

    __hash__ = None  # type: ignore[assignment]  # equal by content, so no more hashable than a dict

    def __repr__(self) -> str:
        return f"PersistentMap({dict(self.items())!r})"

    def _with(
        self, root_index: int, branch_index: int, bucket: dict[K, V], grown: int
    ) -> PersistentMap[K, V]:
        branch = self._root[root_index].copy()
        branch[branch_index] = bucket
        root = self._root.copy()
        root[root_index] = branch
        return self._made(root, self._size + grown)

    @classmethod
    def _made(cls, root: list[list[dict[K, V]]], size: int) -> PersistentMap[K, V]:
        made = cls.__new__(cls)
        made._root = root
        made._size = size
        return made


def _place(key: Hashable) -> tuple[int, int]:
    digest = hash(key)
    return digest % _FANOUT, digest // _FANOUT % _FANOUT


# Shared by every empty place of every map, and never written to: ``set`` copies first.
_EMPTY_BUCKET: dict[Any, Any] = {}
_EMPTY_BRANCH: list[dict[Any, Any]] = [_EMPTY_BUCKET] * _FANOUT
_EMPTY_ROOT: list[list[dict[Any, Any]]] = [_EMPTY_BRANCH] * _FANOUT


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
