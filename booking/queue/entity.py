"""The waiting queue as an actor. Its timer admits and ends what the rules say is due."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate, pairwise
from operator import attrgetter
from typing import Literal

import msgspec

from actors.address import Address
from actors.behaviour import Behaviour, Decision, TimerFired, Turn
from booking.domain.decision import Rejected
from booking.domain.persistent import PersistentSorted
from booking.domain.persistent_map import PersistentMap
from booking.entities import QUEUE, Codec
from booking.queue.domain.events import Policy, QueueEvent
from booking.queue.domain.line import Line, Member, evolve_queue
from booking.queue.domain.lots import draw
from booking.queue.domain.number_set import NumberSet
from booking.queue.domain.pacing import pace_from
from booking.queue.domain.queue import (
    Admit,
    QueueCommand,
    QueueReply,
    decide_queue,
    queue_next_wake,
)


class QueueBehaviour(Codec, Behaviour):
    """Addressed as :func:`booking.entities.queue_address`. ``policy`` gives the rules of
    the settings, in force as long as no operator made others."""

    kind = QUEUE

    def __init__(self, policy: Callable[[], Policy]) -> None:
        Codec.__init__(
            self, states=LineSnapshot, events=QueueEvent, commands=QueueCommand, replies=QueueReply
        )
        self._policy = policy

    def initial(self, address: Address) -> Line:
        """An empty line."""
        return Line()

    def decide(self, turn: Turn) -> Decision:
        """See :func:`booking.queue.domain.queue.decide_queue`."""
        command = Admit() if isinstance(turn.command, TimerFired) else turn.command
        decided = decide_queue(turn.state, command, self._policy(), turn.now_ms)
        events = [(turn.address, event) for event in decided.events]
        # The account stores refusals. Here only what was done is told to a repeat with its key.
        final = not isinstance(decided.reply, Rejected)
        return Decision(decided.reply, events, states={turn.address: decided.line}, final=final)

    def evolve(self, state: Line, event: QueueEvent) -> Line:
        """See :func:`booking.queue.domain.line.evolve_queue`."""
        return evolve_queue(state, event)

    def next_timer_ms(self, state: Line) -> int | None:
        """When somebody's time ends, or somebody may come in."""
        return queue_next_wake(state, self._policy())

    def encode_state(self, state: Line) -> bytes:
        """A snapshot of the line, kept by columns."""
        return super().encode_state(line_to_snapshot(state))

    def decode_state(self, data: bytes) -> Line | None:
        """The line of a snapshot, or ``None`` if it has another shape."""
        snapshot = super().decode_state(data)
        return None if snapshot is None else line_from_snapshot(snapshot)


# -- snapshots -------------------------------------------------------------------------------------


class LineSnapshot(msgspec.Struct, frozen=True, array_like=True):
    """A line as plain data, kept by columns: 100,000 users are five lists of strings and integers,
    which are encoded many times faster than 100,000 records. Numbers and times grow along the line,
    so what is kept of them is how much."""

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
    members = sorted(line.members.values(), key=attrgetter("number"))
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


def _steps(numbers: list[int]) -> list[int]:
    return [after - before for before, after in pairwise([0, *numbers])]
