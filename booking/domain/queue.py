"""The waiting queue: first in, first out by number; at most N inside; each for a limited time.

A number is given once and never again. Admission moves a *watermark*: every number up to it that
has not left is, or was, inside. So one event admits many, and a place in the line is
``number - watermark - those in between who left``.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, takewhile
from typing import assert_never

import msgspec
from msgspec.structs import replace

from booking.domain.decision import Accepted, BrokenInvariantError, Code, Rejected
from booking.domain.number_set import NumberSet
from booking.domain.pacing import Pace, admitted, next_permitted_ms, paced_after, permitted
from booking.domain.persistent_map import PersistentMap, PersistentSorted

# -- policy ----------------------------------------------------------------------------------------


class Policy(msgspec.Struct, frozen=True):
    """The rules in force. Passed in with every command; a change applies to what comes after."""

    max_active: int
    """How many may be inside at once."""
    admit_per_minute: int
    """How many may be admitted in any sliding minute, released evenly; 0 means no such limit."""
    active_ms: int
    """How long one may stay inside."""
    max_waiting: int = 1_000_000


# -- commands --------------------------------------------------------------------------------------


class Join(msgspec.Struct, frozen=True, tag=True):
    """Line up. ``attempt`` names the try: repeated, it answers the same place instead of
    ``already_queued`` (empty: never the same)."""

    user: str
    attempt: str = ""


class Leave(msgspec.Struct, frozen=True, tag=True):
    """Give up the place or the active slot."""

    user: str
    number: int


class UseToken(msgspec.Struct, frozen=True, tag=True):
    """The user has paid: the active slot ends. Idempotent."""

    user: str
    number: int


class Look(msgspec.Struct, frozen=True, tag=True):
    """Where does this place stand? Asked by instances that only have a view."""

    user: str
    number: int


class Admit(msgspec.Struct, frozen=True, tag=True):
    """Time has passed: end what is over, admit who may come in."""


QueueCommand = Join | Leave | UseToken | Look | Admit

# -- events ----------------------------------------------------------------------------------------


class Joined(msgspec.Struct, frozen=True, tag=True):
    user: str
    number: int
    at_ms: int
    attempt: str = ""


class Admitted(msgspec.Struct, frozen=True, tag=True):
    """Numbers from ``first`` through ``last`` that have not left came in together: ``count`` of
    them, until ``until_ms``."""

    first: int
    last: int
    count: int
    at_ms: int
    until_ms: int
    rate: int = 0
    """``admit_per_minute`` in force; 0 for none."""
    paced_us: int = 0
    """With a rate: the ideal time of the next admission, in microseconds since the epoch."""


class Left(msgspec.Struct, frozen=True, tag=True):
    """A place or an active slot was given up."""

    user: str
    number: int


class TokenUsed(msgspec.Struct, frozen=True, tag=True):
    user: str
    number: int


class TokensExpired(msgspec.Struct, frozen=True, tag=True):
    """The active time of these numbers was over."""

    numbers: tuple[int, ...]


QueueEvent = Joined | Admitted | Left | TokenUsed | TokensExpired

# -- replies ---------------------------------------------------------------------------------------


class Place(msgspec.Struct, frozen=True, tag=True):
    """Where a user stands. ``until_ms`` is 0 while waiting."""

    user: str
    number: int
    joined_ms: int
    ahead: int
    until_ms: int


class TokenEnded(msgspec.Struct, frozen=True, tag=True):
    number: int


class AdmissionsDone(msgspec.Struct, frozen=True, tag=True):
    """Nothing to say."""


QueueReply = Place | TokenEnded | AdmissionsDone | Rejected

# -- state -----------------------------------------------------------------------------------------

EXPIRED_TOGETHER_MAX = 500
ADMITTED_TOGETHER_MAX = 500
"""One decision ends and admits at most so many, some 5 ms of work, and the timer comes back at
once for the rest: a limit raised by 100,000 must not hold up everybody else's commands."""


class Member(msgspec.Struct, frozen=True, gc=False):
    """Somebody who waits or is inside. ``until_ms`` is 0 while waiting."""

    number: int
    joined_ms: int
    attempt: str
    until_ms: int = 0


class Line(msgspec.Struct, frozen=True):
    """The queue. No command or event costs more for a longer line, but for a logarithm."""

    last_number: int = 0
    """The number given last; the first is 1."""
    watermark: int = 0
    """Every number up to here has been admitted or has left."""
    members: PersistentMap[str, Member] = msgspec.field(default_factory=PersistentMap)
    """By user: those who wait and those who are inside."""
    users: PersistentMap[int, str] = msgspec.field(default_factory=PersistentMap)
    """The same by number."""
    left: NumberSet = msgspec.field(default_factory=NumberSet)
    """Numbers beyond the watermark that have left."""
    active: PersistentSorted = msgspec.field(default_factory=PersistentSorted)
    """``(until_ms, number)`` of those inside."""
    pace: Pace = Pace()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return self.last_number - self.watermark - len(self.left)

    def left_numbers(self) -> Iterator[int]:
        """Numbers beyond the watermark that have left, ascending."""
        return iter(self.left)

    def active_numbers(self) -> Iterator[tuple[int, int]]:
        """Number and end of everybody inside, by the end of their time."""
        return ((number, until_ms) for until_ms, number in self.active)


def place_of(line: Line, user: str) -> Place | None:
    """Where the user stands, or ``None`` if neither waiting nor inside. Exact; O(1) for the last
    in the line, else O(numbers beyond the watermark / 4096)."""
    member = line.members.get(user)
    if member is None:
        return None
    ahead = 0
    if member.number == line.last_number and member.until_ms == 0:
        ahead = line.waiting - 1
    elif member.until_ms == 0:
        ahead = member.number - line.watermark - 1 - line.left.count_below(member.number)
    return Place(user, member.number, member.joined_ms, ahead, member.until_ms)


def queue_next_wake(line: Line, policy: Policy) -> int | None:
    """When :class:`Admit` has something to do next, in ms since the epoch: somebody's time is
    over, or somebody may come in. ``None`` for never, a time in the past for at once."""
    wakes = []
    first_end = line.active.first()
    if first_end is not None:
        wakes.append(first_end[0])
    if line.waiting and len(line.active) < policy.max_active:
        wakes.append(next_permitted_ms(line.pace, policy.admit_per_minute))
    return min(wakes, default=None)


# -- decide ----------------------------------------------------------------------------------------


class _Draft:
    """A decision while it is made: the events so far and the line after them."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.events: list[QueueEvent] = []

    def add(self, event: QueueEvent) -> None:
        self.line = evolve_queue(self.line, event)
        self.events.append(event)


def decide_queue(
    line: Line, command: QueueCommand, policy: Policy, now_ms: int
) -> Accepted[QueueEvent, QueueReply]:
    """What happens on ``command`` at ``now_ms``. Whatever the command and its reply, those whose
    time is over end first, and whoever may come in comes in."""
    draft = _Draft(line)
    _expire(draft, now_ms)
    _admit(draft, policy, now_ms)
    reply: QueueReply
    match command:
        case Join(user):
            refusal = _join(draft, command, policy, now_ms)
            _admit(draft, policy, now_ms)
            reply = refusal or _present(draft.line, user)
        case Leave(user, number):
            reply = _end(draft, user, number, Left(user, number), now_ms)
            _admit(draft, policy, now_ms)
        case UseToken(user, number):
            reply = _end(draft, user, number, TokenUsed(user, number), now_ms)
            _admit(draft, policy, now_ms)
        case Look(user, number):
            reply = _look(draft, user, number, now_ms)
        case Admit():
            reply = AdmissionsDone()
        case _:
            assert_never(command)
    return Accepted(tuple(draft.events), reply, draft.line)


def _expire(draft: _Draft, now_ms: int) -> None:
    first = draft.line.active.first()
    if first is None or first[0] > now_ms:
        return
    over = takewhile(lambda end: end[0] <= now_ms, draft.line.active)
    numbers = tuple(number for _, number in islice(over, EXPIRED_TOGETHER_MAX))
    draft.add(TokensExpired(numbers))


def _admit(draft: _Draft, policy: Policy, now_ms: int) -> None:
    """Admit as many as wait, as there is room for, and as the rate lets in."""
    line, rate = draft.line, policy.admit_per_minute
    count = min(line.waiting, policy.max_active - len(line.active), ADMITTED_TOGETHER_MAX)
    if count <= 0:
        return
    by_rate = permitted(line.pace, rate, now_ms)
    count = count if by_rate is None else min(count, by_rate)
    if count == 0:
        return
    numbers = _next_waiting(line, count)
    draft.add(
        Admitted(
            first=numbers[0],
            last=numbers[-1],
            count=count,
            at_ms=now_ms,
            until_ms=now_ms + policy.active_ms,
            rate=rate,
            paced_us=paced_after(line.pace, rate, now_ms, count),
        )
    )


def _next_waiting(line: Line, count: int) -> list[int]:
    """The next ``count`` numbers in the line."""
    if not line.left:
        return list(range(line.watermark + 1, line.watermark + 1 + count))
    numbers: list[int] = []
    number = line.watermark
    for _ in range(count):
        number = line.left.next_absent(number + 1)
        numbers.append(number)
    return numbers


def _current(draft: _Draft, user: str, now_ms: int) -> Member | None:
    """The user's place, unless its time is over: then it ends now, also if more were over at
    once than one decision ends."""
    member = draft.line.members.get(user)
    if member is not None and 0 < member.until_ms <= now_ms:
        draft.add(TokensExpired((member.number,)))
        return None
    return member


def _join(draft: _Draft, command: Join, policy: Policy, now_ms: int) -> Rejected | None:
    """Line up, or why not. A repeat of the same attempt changes nothing."""
    member = _current(draft, command.user, now_ms)
    if member is not None:
        if command.attempt and command.attempt == member.attempt:
            return None
        return Rejected(Code.ALREADY_QUEUED, "You are in this queue already and keep your place.")
    if draft.line.waiting >= policy.max_waiting:
        return Rejected(Code.QUEUE_FULL, "The queue is full; try again later.")
    draft.add(Joined(command.user, draft.line.last_number + 1, now_ms, command.attempt))
    return None


def _end(
    draft: _Draft, user: str, number: int, event: Left | TokenUsed, now_ms: int
) -> TokenEnded | Rejected:
    """End the user's place or active slot. Whose an ended number was is not remembered: whoever
    names it is told that it has ended, which is true and changes nothing."""
    member = _current(draft, user, now_ms)
    if member is not None and member.number == number:
        # A place in the line cannot be used up, only given up.
        draft.add(event if member.until_ms else Left(user, number))
        return TokenEnded(number)
    if number in draft.line.users or not 1 <= number <= draft.line.last_number:
        return Rejected(Code.NOT_QUEUED, "This is not your place in this queue.")
    return TokenEnded(number)


def _look(draft: _Draft, user: str, number: int, now_ms: int) -> Place | TokenEnded | Rejected:
    member = _current(draft, user, now_ms)
    if member is not None and member.number == number:
        return _present(draft.line, user)
    if number in draft.line.users or not 1 <= number <= draft.line.last_number:
        return Rejected(Code.NOT_QUEUED, "This is not your place in this queue.")
    return TokenEnded(number)


def _present(line: Line, user: str) -> Place:
    place = place_of(line, user)
    assert place is not None, user
    return place


# -- evolve ----------------------------------------------------------------------------------------


def evolve_queue(line: Line, event: QueueEvent) -> Line:
    """The line after ``event``; :class:`BrokenInvariantError` if it cannot follow this state."""
    match event:
        case Joined(user, number, at_ms, attempt):
            if number != line.last_number + 1 or user in line.members:
                raise BrokenInvariantError(f"{event} after number {line.last_number}")
            return replace(
                line,
                last_number=number,
                members=line.members.set(user, Member(number, at_ms, attempt)),
                users=line.users.set(number, user),
            )
        case Admitted():
            return _admitted(line, event)
        case Left(user, number):
            rest, member = _without(line, number, event, user)
            if member.until_ms == 0:
                return replace(rest, left=rest.left.add(number))
            return rest
        case TokenUsed(user, number):
            rest, member = _without(line, number, event, user)
            _check_active(member, event)
            return rest
        case TokensExpired(numbers):
            for number in numbers:
                line, member = _without(line, number, event)
                _check_active(member, event)
            return line
        case _:
            assert_never(event)


def _admitted(line: Line, event: Admitted) -> Line:
    numbers = _next_waiting(line, event.count) if event.count <= line.waiting else []
    if not numbers or (numbers[0], numbers[-1]) != (event.first, event.last):
        raise BrokenInvariantError(f"{event} with the watermark at {line.watermark}")
    members, active = line.members, line.active
    for number in numbers:
        user = line.users[number]
        members = members.set(user, replace(members[user], until_ms=event.until_ms))
        active = active.add((event.until_ms, number))
    return replace(
        line,
        watermark=event.last,
        members=members,
        left=line.left.without_below(event.last + 1),
        active=active,
        pace=admitted(line.pace, event.at_ms, event.count, event.rate, event.paced_us),
    )


def _without(
    line: Line, number: int, event: QueueEvent, named: str | None = None
) -> tuple[Line, Member]:
    """The line without this number, which has to be ``named``'s, and what it had."""
    user = line.users.get(number)
    if user is None or named not in (None, user):
        raise BrokenInvariantError(f"{event}, but {number} is {user}'s")
    member = line.members[user]
    active = line.active
    if member.until_ms:
        active = active.discard((member.until_ms, number))
    rest = replace(
        line, members=line.members.delete(user), users=line.users.delete(number), active=active
    )
    return rest, member


def _check_active(member: Member, event: QueueEvent) -> None:
    if member.until_ms == 0:
        raise BrokenInvariantError(f"{event}, but number {member.number} still waits")


# -- snapshots -------------------------------------------------------------------------------------


class LineSnapshot(msgspec.Struct, frozen=True, array_like=True):
    """A line as plain data."""

    last_number: int
    watermark: int
    members: list[tuple[str, int, int, str, int]]
    """User, number, joined_ms, attempt, until_ms; by number."""
    left: list[tuple[int, bytes]]
    """Chunk index and its bits, big-endian."""
    recent: list[tuple[int, int]]
    rate: int
    paced_us: int
    last_ms: int


def line_to_snapshot(line: Line) -> LineSnapshot:
    """Everything :func:`line_from_snapshot` needs. O(members)."""
    members = [
        (user, member.number, member.joined_ms, member.attempt, member.until_ms)
        for user, member in line.members.items()
    ]
    members.sort(key=lambda row: row[1])
    left = [
        (index, bits.to_bytes((bits.bit_length() + 7) // 8, "big"))
        for index, bits in line.left.chunks()
    ]
    pace = line.pace
    return LineSnapshot(
        line.last_number,
        line.watermark,
        members,
        left,
        list(pace.recent),
        pace.rate,
        pace.paced_us,
        pace.last_ms,
    )


def line_from_snapshot(snapshot: LineSnapshot) -> Line:
    """The line that was taken down."""
    rows = snapshot.members
    return Line(
        last_number=snapshot.last_number,
        watermark=snapshot.watermark,
        members=PersistentMap.from_items(
            (user, Member(number, joined_ms, attempt, until_ms))
            for user, number, joined_ms, attempt, until_ms in rows
        ),
        users=PersistentMap.from_items((row[1], row[0]) for row in rows),
        left=NumberSet((index, int.from_bytes(bits, "big")) for index, bits in snapshot.left),
        active=PersistentSorted.from_items((row[4], row[1]) for row in rows if row[4]),
        pace=Pace(
            tuple(snapshot.recent),
            sum(count for _, count in snapshot.recent),
            snapshot.rate,
            snapshot.paced_us,
            snapshot.last_ms,
        ),
    )
