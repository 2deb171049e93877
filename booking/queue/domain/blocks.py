"""Members with 32 numbers in a row, packed into one object of 48 bytes each.

A million small objects take long to make, to free and to look through for garbage, and each of them
takes more memory than what is in it. So members stay packed, in memory as in a snapshot, and one is
unpacked when somebody asks for it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from functools import lru_cache

import msgspec

WIDTH = 32
"""Numbers of one block."""


class Member(msgspec.Struct, frozen=True, gc=False):
    """Somebody who waits or is inside."""

    user: str
    number: int
    joined_ms: int
    attempt: str
    until_ms: int = 0
    """The end of the time inside; 0 while waiting."""


Block = bytes | tuple[Member | None, ...]
"""By column: users, attempts, times of joining, ends of the time inside (:data:`_NOBODY` for a
number that nobody has). Or as they are: in the last block, until all its numbers are given, and
where a user or an attempt is not of the usual form."""

_ID = 16
_TIME = struct.Struct("<q")
_IDS, _TIMES = struct.Struct(f"{_ID}s" * WIDTH), struct.Struct(f"<{WIDTH}q")
_ATTEMPTS = _IDS.size
_JOINED = 2 * _IDS.size
_ENDS = _JOINED + _TIMES.size
_NOBODY = -1
_NO_ID = bytes(_ID)

_NO_MEMBER = Member("00000000-0000-0000-0000-000000000000", 0, 0, "", _NOBODY)

EMPTY: Block = bytes(_ENDS) + _TIMES.pack(*[_NOBODY] * WIDTH)
"""Nobody has any of these numbers."""


@lru_cache(maxsize=1_024)
def user_key(user: str) -> bytes | str:
    """What a user is found by: 16 bytes for a UUID in its usual form, or the user."""
    try:
        key = bytes.fromhex(user.replace("-", ""))
    except ValueError:
        return user
    return key if len(key) == _ID and _user(key) == user else user


def _user(key: bytes) -> str:
    digits = key.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _attempt_key(attempt: str) -> bytes | None:
    if not attempt:
        return _NO_ID
    try:
        key = bytes.fromhex(attempt)
    except ValueError:
        return None
    return key if len(key) == _ID and key != _NO_ID and key.hex() == attempt else None


def member_of(block: Block, number: int) -> Member | None:
    """Who has this number, if anybody does."""
    place = number % WIDTH
    if isinstance(block, tuple):
        return block[place]
    [until_ms] = _TIME.unpack_from(block, _ENDS + place * _TIME.size)
    if until_ms == _NOBODY:
        return None
    at = place * _ID
    attempt = block[_ATTEMPTS + at : _ATTEMPTS + at + _ID]
    return Member(
        _user(block[at : at + _ID]),
        number,
        _TIME.unpack_from(block, _JOINED + place * _TIME.size)[0],
        attempt.hex() if attempt != _NO_ID else "",
        until_ms,
    )


def with_member(block: Block, number: int, member: Member | None) -> Block:
    """The block with this member at the number, or nobody."""
    place = number % WIDTH
    if isinstance(block, tuple) or member is not None:
        members = unpacked(block, number - place)
        members = (*members[:place], member, *members[place + 1 :])
        return members if place < WIDTH - 1 else _packed(members)
    packed = bytearray(block)
    packed[place * _ID : (place + 1) * _ID] = _NO_ID
    packed[_ATTEMPTS + place * _ID : _ATTEMPTS + (place + 1) * _ID] = _NO_ID
    _TIME.pack_into(packed, _JOINED + place * _TIME.size, 0)
    _TIME.pack_into(packed, _ENDS + place * _TIME.size, _NOBODY)
    return bytes(packed)


def _packed(members: tuple[Member | None, ...]) -> Block:
    """These members by column, or as they are if they cannot be packed."""
    users, attempts, times, ends_ms = list[bytes](), list[bytes](), list[int](), list[int]()
    for each in members:
        member = _NO_MEMBER if each is None else each
        user, attempt = user_key(member.user), _attempt_key(member.attempt)
        if isinstance(user, str) or attempt is None:
            return members
        users.append(user)
        attempts.append(attempt)
        times.append(member.joined_ms)
        ends_ms.append(member.until_ms)
    columns = _IDS.pack(*users), _IDS.pack(*attempts), _TIMES.pack(*times), _TIMES.pack(*ends_ms)
    return b"".join(columns)


def with_ends(block: Block, numbers: Sequence[int], until_ms: int) -> Block:
    """The block with these members inside until then; :class:`KeyError` if one is not there."""
    packed = bytearray(block) if isinstance(block, bytes) else None
    for number in numbers:
        member = member_of(block, number)
        if member is None:
            raise KeyError(number)
        if packed is None:
            inside = Member(member.user, number, member.joined_ms, member.attempt, until_ms)
            block = with_member(block, number, inside)
        else:
            _TIME.pack_into(packed, _ENDS + number % WIDTH * _TIME.size, until_ms)
    return block if packed is None else bytes(packed)


def is_empty(block: Block) -> bool:
    """Whether nobody has any of its numbers."""
    return block == EMPTY or (isinstance(block, tuple) and not any(block))


def unpacked(block: Block, first: int) -> tuple[Member | None, ...]:
    """All members of a block that begins with this number."""
    if isinstance(block, tuple):
        return block
    if block is EMPTY:
        return (None,) * WIDTH
    return tuple(member_of(block, number) for number in range(first, first + WIDTH))


def joined_ms(block: Block) -> Sequence[int]:
    """When each of the numbers was given; 0 for one that nobody has."""
    if isinstance(block, tuple):
        return [0 if member is None else member.joined_ms for member in block]
    times: Sequence[int] = _TIMES.unpack_from(block, _JOINED)
    return times


def keys(block: Block, first: int) -> Iterator[tuple[bytes | str, int]]:
    """What each user of a block is found by, with the number."""
    if isinstance(block, tuple):
        return ((user_key(member.user), member.number) for member in block if member is not None)
    pairs = zip(_IDS.unpack_from(block), range(first, first + WIDTH), strict=True)
    ends = _TIMES.unpack_from(block, _ENDS)
    if _NOBODY not in ends:
        return pairs
    return (pair for pair, end in zip(pairs, ends, strict=True) if end != _NOBODY)


def ends(block: Block, first: int) -> list[tuple[int, int]]:
    """``(until_ms, number)`` of those of a block who are inside."""
    if isinstance(block, tuple):
        return [(m.until_ms, m.number) for m in block if m is not None and m.until_ms]
    times = _TIMES.unpack_from(block, _ENDS)
    if not any(times):
        return []
    return [(end, number) for number, end in enumerate(times, first) if end > 0]
