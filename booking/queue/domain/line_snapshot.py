"""A line as plain data, for the journal's snapshots.

Kept by columns: 100,000 users are five lists of strings and integers, which are encoded many times
faster than 100,000 records. Numbers and times grow along the line, so what is kept of them is how
much.
"""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import Literal

import msgspec

from booking.domain.persistent_map import PersistentMap, PersistentSorted
from booking.queue.domain.events import Policy
from booking.queue.domain.line import Line, Member
from booking.queue.domain.lots import draw
from booking.queue.domain.number_set import NumberSet
from booking.queue.domain.pacing import pace_from


class LineSnapshot(msgspec.Struct, frozen=True, array_like=True):
    """A line as plain data."""

    shape: Literal["line-2"]
    """A snapshot of another shape is not read, and the journal is replayed."""
    last_number: int
    watermark: int
    users: list[str]
    """By number, as the next three."""
    number_steps: list[int]
    """From 0 to the first number, and on to each next one."""
    joined_steps: list[int]
    """The same of the times of joining, in ms."""
    attempts: list[str]
    active: list[tuple[int, int]]
    """``(until_ms, number)``, ascending."""
    left: list[tuple[int, bytes]]
    """Chunk index and its bits, big-endian."""
    recent: list[tuple[int, int]]
    rate: int
    interval_ms: int
    paced_us: int
    last_ms: int
    policy: Policy | None
    ruled_by: str
    gathering_from: int
    draws: list[tuple[str, int, int]]
    """Seed, first, last."""


def line_to_snapshot(line: Line) -> LineSnapshot:
    """Everything :func:`line_from_snapshot` needs. O(members)."""
    members = sorted(line.members.values(), key=_number)
    pace = line.pace
    return LineSnapshot(
        shape="line-2",
        last_number=line.last_number,
        watermark=line.watermark,
        users=[member.user for member in members],
        number_steps=_steps([member.number for member in members]),
        joined_steps=_steps([member.joined_ms for member in members]),
        attempts=[member.attempt for member in members],
        active=list(line.active),
        left=[
            (index, bits.to_bytes((bits.bit_length() + 7) // 8, "big"))
            for index, bits in line.left.chunks()
        ],
        recent=pace.entries(),
        rate=pace.rate,
        interval_ms=pace.interval_ms,
        paced_us=pace.paced_us,
        last_ms=pace.last_ms,
        policy=line.policy,
        ruled_by=line.ruled_by,
        gathering_from=line.gathering_from,
        draws=[(lots.seed, lots.first, lots.last) for lots in line.draws],
    )


def line_from_snapshot(snapshot: LineSnapshot) -> Line:
    """The line that was taken down."""
    members = list(
        map(
            Member,
            snapshot.users,
            accumulate(snapshot.number_steps),
            accumulate(snapshot.joined_steps),
            snapshot.attempts,
        )
    )
    return Line(
        last_number=snapshot.last_number,
        watermark=snapshot.watermark,
        members=PersistentMap.from_items((member.user, member) for member in members),
        numbers=PersistentMap.from_items((member.number, member) for member in members),
        left=NumberSet((index, int.from_bytes(bits, "big")) for index, bits in snapshot.left),
        ends=PersistentMap.from_items((number, until_ms) for until_ms, number in snapshot.active),
        active=PersistentSorted.from_items(snapshot.active),
        pace=pace_from(
            snapshot.recent,
            snapshot.rate,
            snapshot.interval_ms,
            snapshot.paced_us,
            snapshot.last_ms,
        ),
        policy=snapshot.policy,
        ruled_by=snapshot.ruled_by,
        gathering_from=snapshot.gathering_from,
        draws=tuple(draw(*drawn) for drawn in snapshot.draws),
    )


def _number(member: Member) -> int:
    return member.number


def _steps(numbers: list[int]) -> list[int]:
    return [after - before for before, after in pairwise([0, *numbers])]
