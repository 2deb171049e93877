"""The waiting queue as an actor. Its timer admits and ends what the rules say is due."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, chain, pairwise
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from actors.address import Address
from actors.behaviour import Ask, Behaviour, CommandKey, Decision, TimerFired, Turn
from booking.accounts.domain.account import NoteOutcome, OutcomeNoted
from booking.domain.persistent import LEAF_KEYS, PersistentSorted
from booking.entities import QUEUE, Codec, account_address
from booking.queue.domain.blocks import EMPTY, WIDTH, Block, Member, with_member
from booking.queue.domain.events import Drawn, Policy, QueueEvent
from booking.queue.domain.line import Line, evolve_queue
from booking.queue.domain.lots import draw
from booking.queue.domain.members import Members, Page, ends_in
from booking.queue.domain.number_set import NumberSet
from booking.queue.domain.pacing import pace_from
from booking.queue.domain.queue import (
    Admit,
    Join,
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
        beside = None
        if isinstance(command, Join) and command.key_id:
            key = CommandKey(command.key_id, command.key_fingerprint)
            note = NoteOutcome(b"", beside=True)
            beside = Ask(account_address(command.user), note, key, OutcomeNoted)
        return Decision(decided.reply, events, states={turn.address: decided.line}, beside=beside)

    def evolve(self, state: Line, event: QueueEvent) -> Line:
        """See :func:`booking.queue.domain.line.evolve_queue`."""
        return evolve_queue(state, event)

    def groundwork(self, basis: Line | QueueEvent) -> Iterator[None] | None:
        """Of a draw: its places."""
        if isinstance(basis, Line):
            return chain.from_iterable(lots.count() for lots in basis.draws)
        if not isinstance(basis, Drawn) or basis.last < basis.first:
            return None
        lots = draw(basis.seed, basis.first, basis.last)
        return None if lots.done else lots.work()

    def next_timer_ms(self, state: Line) -> int | None:
        """When somebody's time ends, or somebody may come in."""
        return queue_next_wake(state, self._policy())

    def encode_state(self, state: Line) -> bytes:
        """The line without its members."""
        return super().encode_state(line_to_snapshot(state))

    def decode_state(self, data: bytes) -> Line | None:
        """A line to which the pages with its members are still to be added, or all of the line from
        a snapshot of the release before; ``None`` if it has another shape, or is of that release
        and so large that decoding it in one piece would hold up everybody."""
        if len(data) > WHOLE_BYTES_MAX and b"line-2" in data[:12]:
            return None
        snapshot = super().decode_state(data)
        return None if snapshot is None else line_from_snapshot(snapshot)

    def pages(self, state: Line) -> Mapping[int, Page]:
        """The members, some numbers in a row to a page."""
        return state.members.pages()

    def encode_page(self, page: Page) -> bytes:
        """Some members, packed as they are in memory."""
        return super().encode_state([_stored(block) for block in page])

    def with_page(self, state: Line, number: int, data: bytes) -> Line | None:
        """The line with some of its members more."""
        page = page_from(data)
        return replace(
            state,
            members=state.members.with_page(number, page),
            active=state.active.extended(ends_in(number, page)),
        )

    def pieces(self, state: Line) -> Iterable[Any]:
        """All members, and what finds them by user."""
        return state.members.pieces()


# -- snapshots -------------------------------------------------------------------------------------


WHOLE_BYTES_MAX = 1024 * 1024
"""Of a line that was stored with all its members in one piece: some 15,000 of them, 30 ms."""


class MemberColumns(msgspec.Struct, frozen=True, array_like=True):
    """Members of any form as plain data, by columns. Numbers and times grow along the line, so what
    is kept of them is how much."""

    users: list[str]
    """By number, as the others."""
    number_steps: list[int]
    """From 0 to the first number, and on to each next one."""
    joined_steps: list[int]
    """The same of the times of joining, in ms."""
    attempts: list[str]
    ends: list[int]
    """The end of the time inside, or 0."""


_COLUMNS = msgspec.msgpack.Decoder(MemberColumns)
_COLUMNS_BEGIN = msgspec.msgpack.encode([None] * len(MemberColumns.__struct_fields__))[:1]
"""What a page of the release before begins with, which was columns as a whole."""
_BLOCKS: msgspec.msgpack.Decoder[list[bytes | MemberColumns | None]]
_BLOCKS = msgspec.msgpack.Decoder(list[bytes | MemberColumns | None])


def page_from(data: bytes) -> Page:
    """A page that was stored."""
    if data[:1] != _COLUMNS_BEGIN:
        return tuple(map(_read, _BLOCKS.decode(data)))
    page: list[Block | None] = [None] * LEAF_KEYS
    for member in columns_to_members(_COLUMNS.decode(data)):
        at = member.number // WIDTH % LEAF_KEYS
        page[at] = with_member(page[at] or EMPTY, member.number, member)
    return tuple(page)


def _stored(block: Block | None) -> bytes | MemberColumns | None:
    if not isinstance(block, tuple):
        return block
    members = [member for member in block if member is not None]
    return MemberColumns(
        users=[member.user for member in members],
        number_steps=_steps([member.number for member in members]),
        joined_steps=_steps([member.joined_ms for member in members]),
        attempts=[member.attempt for member in members],
        ends=[member.until_ms for member in members],
    )


def _read(stored: bytes | MemberColumns | None) -> Block | None:
    if not isinstance(stored, MemberColumns):
        return stored
    block = EMPTY
    for member in columns_to_members(stored):
        block = with_member(block, member.number, member)
    return block


def columns_to_members(columns: MemberColumns) -> list[Member]:
    """The members that were taken down, by number."""
    numbers, times = accumulate(columns.number_steps), accumulate(columns.joined_steps)
    return list(map(Member, columns.users, numbers, times, columns.attempts, columns.ends))


class LineSnapshot(msgspec.Struct, frozen=True, array_like=True):
    """A line as plain data, but for the members, which are in pages beside it."""

    shape: Literal["line-2", "line-3", "line-4"]
    """With the members, with pages of columns, or with packed ones; the release before reads only
    its own. A snapshot of another shape is not read, and the journal is replayed."""
    last_number: int
    watermark: int
    users: list[str]
    """As in :class:`MemberColumns`, and the next three; empty for members in pages, as
    ``active``."""
    number_steps: list[int]
    joined_steps: list[int]
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
    """Everything :func:`line_from_snapshot` needs, without the members."""
    pace = line.pace
    return LineSnapshot(
        shape="line-4",
        last_number=line.last_number,
        watermark=line.watermark,
        users=[],
        number_steps=[],
        joined_steps=[],
        attempts=[],
        active=[],
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
    ends = {number: until_ms for until_ms, number in snapshot.active}
    numbers = list(accumulate(snapshot.number_steps))
    columns = MemberColumns(
        snapshot.users,
        snapshot.number_steps,
        snapshot.joined_steps,
        snapshot.attempts,
        [ends.get(number, 0) for number in numbers],
    )
    members = Members()
    for member in columns_to_members(columns):
        members = members.add(member)
    return Line(
        last_number=snapshot.last_number,
        watermark=snapshot.watermark,
        members=members,
        left=NumberSet((index, int.from_bytes(bits, "big")) for index, bits in snapshot.left),
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


def _steps(numbers: Sequence[int]) -> list[int]:
    return [after - before for before, after in pairwise([0, *numbers])]
