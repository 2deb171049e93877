"""Containers for states that are large and change a little with every event.

A state is immutable, so that a decision can be tried, thrown away or kept beside the old one. A
plain ``dict`` of 100,000 waiting users would be copied as a whole for each that joins. These share
all but what differs with the older version.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
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
