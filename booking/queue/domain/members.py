"""Those who wait in a queue and those who are inside, by number and by user."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, groupby
from typing import Any

from booking.domain.persistent import LEAF_KEYS, PersistentArray
from booking.domain.persistent_map import PersistentMap
from booking.queue.domain.blocks import (
    EMPTY,
    WIDTH,
    Block,
    Member,
    ends,
    is_empty,
    joined_ms,
    keys,
    member_of,
    unpacked,
    user_key,
    with_ends,
    with_member,
)

PAGE_NUMBERS = LEAF_KEYS * WIDTH
"""Numbers of one page."""

Page = Sequence[Block | None]
"""The members with :data:`PAGE_NUMBERS` numbers in a row, in blocks; ``None`` for one in which
nobody is."""


class Members:
    """An immutable set of members. A change costs the same however many there are, and nothing here
    is done to all of them at once: some 200 bytes for each, in pages."""

    __slots__ = ("_blocks", "_numbers")

    def __init__(self) -> None:
        self._blocks: PersistentArray[Block] = PersistentArray()
        """By number, divided by :data:`~booking.queue.domain.blocks.WIDTH`."""
        self._numbers: PersistentMap[bytes | str, int] = PersistentMap()
        """By user."""

    def __len__(self) -> int:
        return len(self._numbers)

    def __contains__(self, user: str) -> bool:
        return user_key(user) in self._numbers

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Members):
            return NotImplemented
        return list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # equal by content, so no more hashable than a set

    def __repr__(self) -> str:
        return f"Members({list(self)!r})"

    def __iter__(self) -> Iterator[Member]:
        """By number."""
        for index, block in self._blocks.items():
            yield from (one for one in unpacked(block, index * WIDTH) if one is not None)

    def get(self, user: str) -> Member | None:
        """The user's place, if there is one."""
        number = self._numbers.get(user_key(user))
        return None if number is None else self.at(number)

    def at(self, number: int) -> Member | None:
        """Who has this number, if anybody does."""
        block = self._blocks.get(number // WIDTH)
        return None if block is None else member_of(block, number)

    def add(self, member: Member) -> Members:
        """With a new member; as many as before if the user is one already."""
        number = member.number
        numbers = self._numbers.set(user_key(member.user), number)
        return _made(self._with(number, member), numbers)

    def admit(self, numbers: Iterable[int], until_ms: int) -> Members:
        """With these members inside until then; :class:`KeyError` if one is not there."""
        blocks = self._blocks
        for index, some in groupby(numbers, lambda number: number // WIDTH):
            changed = with_ends(blocks.get(index) or EMPTY, list(some), until_ms)
            blocks = blocks.set(index, changed)
        return _made(blocks, self._numbers)

    def remove(self, member: Member) -> Members:
        """Without this member."""
        numbers = self._numbers.delete(user_key(member.user))
        return _made(self._with(member.number, None), numbers)

    def _with(self, number: int, member: Member | None) -> PersistentArray[Block]:
        index = number // WIDTH
        block = with_member(self._blocks.get(index) or EMPTY, number, member)
        return self._blocks.set(index, None if member is None and is_empty(block) else block)

    def pages(self) -> dict[int, Page]:
        """All members in pages, by number. A page is the same object in all versions in which
        nothing in it is different."""
        return self._blocks.leaves()

    def with_page(self, number: int, page: Page) -> Members:
        """With a page of which there is nothing yet. These members cannot be used any more, which
        makes it quick."""
        users = chain.from_iterable(keys(block, first) for first, block in blocks_of(number, page))
        numbers = self._numbers.taken_over(users)
        return _made(self._blocks.with_leaf(number, page), numbers)

    def pieces(self) -> list[Any]:
        """All there is, in parts that are freed quickly."""
        return [*self.pages().values(), *self._numbers.pieces()]


def blocks_of(number: int, page: Page) -> Iterator[tuple[int, Block]]:
    """The blocks of the page of this number, each with its first number."""
    for index, block in enumerate(page, number * LEAF_KEYS):
        if block is not None:
            yield index * WIDTH, block


def ends_in(number: int, page: Page) -> list[tuple[int, int]]:
    """``(until_ms, number)`` of those in a page who are inside, ascending."""
    return sorted(end for first, block in blocks_of(number, page) for end in ends(block, first))


def joined_in(page: Page) -> Iterator[int]:
    """When each number of a page was given; 0 for one that nobody has."""
    return chain.from_iterable(joined_ms(block or EMPTY) for block in page)


def _made(blocks: PersistentArray[Block], numbers: PersistentMap[bytes | str, int]) -> Members:
    made = Members.__new__(Members)
    made._blocks = blocks
    made._numbers = numbers
    return made
