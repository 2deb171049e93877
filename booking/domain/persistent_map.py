"""A map for a state that is large and changes a little with every event."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, Final, Generic, TypeVar, overload

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
D = TypeVar("D")

_ABSENT: Final[Any] = object()
_TABLES = 256
"""A dict that grows is copied now and then; one of a million would stop everything for as long."""


class PersistentMap(Generic[K, V]):
    """An immutable mapping; ``set`` and ``delete`` give a new one for a fraction of a microsecond.

    The newest version has the plain dicts, among which the keys are spread by their hash. A change
    is made in one of them, and the version before keeps only what it had under that key and a
    reference to its successor (Baker, *Shallow Binding Makes Functional Arrays Fast*, 1991). So
    every version stays what it was: an older one answers by way of its successors, and one that is
    changed a second time gets dicts of its own, which is correct and slow. Whoever keeps a version
    for long keeps all that changed since.
    """

    __slots__ = ("_key", "_next", "_old", "_size", "_tables")

    def __init__(self) -> None:
        self._tables: Sequence[dict[K, V]] | None = [{} for _ in range(_TABLES)]
        """``None`` once there is a successor; the next three fields count then."""
        self._next: PersistentMap[K, V]
        self._key: K
        self._old: V
        self._size = 0

    @classmethod
    def from_items(cls, items: Iterable[tuple[K, V]]) -> PersistentMap[K, V]:
        """Built at once. Of equal keys the last one counts."""
        return cls().taken_over(items)

    def items(self) -> Iterable[tuple[K, V]]:
        """All pairs, in no defined order. Of an older version at the cost of a copy."""
        tables = self._copy() if self._tables is None else self._tables
        return chain.from_iterable(table.items() for table in tables)

    def pieces(self) -> Sequence[Any]:
        """The parts that a large map is made of; none of an older version."""
        return self._tables or ()

    def __len__(self) -> int:
        return self._size

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
        tables = self._tables
        if tables is None:
            return self._own().set(key, value)
        table = tables[hash(key) % _TABLES]
        old = table.get(key, _ABSENT)
        table[key] = value
        return self._succeeded(tables, key, old, self._size + (old is _ABSENT))

    def delete(self, key: K) -> PersistentMap[K, V]:
        """This map without ``key``; :class:`KeyError` if it has none."""
        tables = self._tables
        if tables is None:
            return self._own().delete(key)
        old = tables[hash(key) % _TABLES].pop(key)
        return self._succeeded(tables, key, old, self._size - 1)

    def taken_over(self, items: Iterable[tuple[K, V]]) -> PersistentMap[K, V]:
        """This map with all of these. This version cannot be used any more, for which many are as
        quick as in a dict."""
        tables = self._tables
        assert tables is not None, "an older version has no dicts to take over"
        self._tables = None
        for key, value in items:
            tables[hash(key) % _TABLES][key] = value
        return self._newest(tables, sum(map(len, tables)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PersistentMap):
            return NotImplemented
        return self is other or dict(self.items()) == dict(other.items())

    __hash__ = None  # type: ignore[assignment]  # equal by content, so no more hashable than a dict

    def __repr__(self) -> str:
        return f"PersistentMap({dict(self.items())!r})"

    def _find(self, key: K) -> Any:
        version = self
        while version._tables is None:
            if version._key == key:
                return version._old
            version = version._next
        return version._tables[hash(key) % _TABLES].get(key, _ABSENT)

    def _succeeded(
        self, tables: Sequence[dict[K, V]], key: K, old: Any, size: int
    ) -> PersistentMap[K, V]:
        """Hand the dicts over to a successor that differs in ``key``."""
        successor = self._newest(tables, size)
        self._tables = None
        self._key = key
        self._old = old
        self._next = successor
        return successor

    def _own(self) -> PersistentMap[K, V]:
        """An older version with dicts of its own."""
        return self._newest(self._copy(), self._size)

    def _copy(self) -> Sequence[dict[K, V]]:
        """What an older version holds, as dicts of its own."""
        changes: dict[K, Any] = {}
        version = self
        while version._tables is None:
            changes.setdefault(version._key, version._old)
            version = version._next
        tables = [table.copy() for table in version._tables]
        for key, old in changes.items():
            table = tables[hash(key) % _TABLES]
            if old is _ABSENT:
                table.pop(key, None)
            else:
                table[key] = old
        return tables

    @classmethod
    def _newest(cls, tables: Sequence[dict[K, V]], size: int) -> PersistentMap[K, V]:
        made = cls.__new__(cls)
        made._tables = tables
        made._size = size
        return made
