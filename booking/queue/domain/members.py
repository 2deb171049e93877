"""Those who wait in a queue and those who are inside, by number and by user."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from booking.domain.persistent import PAGE_KEYS, PersistentArray, page_items, page_of
from booking.domain.persistent_map import PersistentMap

Page = Sequence[Sequence["Member | None"]]
"""The members with :data:`~booking.domain.persistent.PAGE_KEYS` numbers in a row."""


class Member(msgspec.Struct, frozen=True, gc=False):
    """Somebody who waits or is inside."""

    user: str
    number: int
    joined_ms: int
    attempt: str
    until_ms: int = 0
    """The end of the time inside; 0 while waiting."""


class Members:
    """An immutable set of members. A change costs the same however many there are, and nothing here
    is done to all of them at once: some 350 bytes for each, in pages."""

    __slots__ = ("_by_number", "_numbers")

    def __init__(self) -> None:
        self._by_number: PersistentArray[Member] = PersistentArray()
        self._numbers: PersistentMap[str, int] = PersistentMap()
        """By user."""

    def __len__(self) -> int:
        return len(self._numbers)

    def __contains__(self, user: str) -> bool:
        return user in self._numbers

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Members):
            return NotImplemented
        return self._by_number == other._by_number

    __hash__ = None  # type: ignore[assignment]  # equal by content, so no more hashable than a set

    def __repr__(self) -> str:
        return f"Members({list(self)!r})"

    def __iter__(self) -> Iterator[Member]:
        """By number."""
        return (member for _, member in self._by_number.items())

    def get(self, user: str) -> Member | None:
        """The user's place, if there is one."""
        number = self._numbers.get(user)
        return None if number is None else self._by_number.get(number)

    def at(self, number: int) -> Member | None:
        """Who has this number, if anybody does."""
        return self._by_number.get(number)

    def add(self, member: Member) -> Members:
        """With a new member."""
        return _made(
            self._by_number.set(member.number, member),
            self._numbers.set(member.user, member.number),
        )

    def admit(self, numbers: Iterable[int], until_ms: int) -> Members:
        """With these members inside until then; :class:`KeyError` if one is not there."""
        by_number = self._by_number
        for number in numbers:
            member = by_number.get(number)
            if member is None:
                raise KeyError(number)
            inside = Member(member.user, number, member.joined_ms, member.attempt, until_ms)
            by_number = by_number.set(number, inside)
        return _made(by_number, self._numbers)

    def remove(self, member: Member) -> Members:
        """Without this member."""
        return _made(self._by_number.set(member.number, None), self._numbers.delete(member.user))

    def pages(self) -> dict[int, Page]:
        """All members in pages, by number. A page is the same object in all versions in which
        nothing in it is different."""
        return self._by_number.pages()

    def with_page(self, number: int, some: Sequence[Member]) -> Members:
        """With a page of which there is nothing yet. These members cannot be used any more, which
        makes it quick."""
        by_place = {member.number % PAGE_KEYS: member for member in some}
        numbers = self._numbers.taken_over((member.user, member.number) for member in some)
        return _made(self._by_number.with_page(number, page_of(by_place)), numbers)

    def pieces(self) -> list[Any]:
        """All there is, in parts that are freed quickly."""
        return [*self.pages().values(), *self._numbers.pieces()]


def members_in(page: Page) -> list[Member]:
    """The members of one page, by number."""
    return [member for _, member in page_items(0, page)]


def _made(by_number: PersistentArray[Member], numbers: PersistentMap[str, int]) -> Members:
    made = Members.__new__(Members)
    made._by_number = by_number
    made._numbers = numbers
    return made
