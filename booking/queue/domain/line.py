"""The state of a waiting queue, and how each event changes it.

A number is given once and never again. Admission moves a *watermark*: every place up to it that
has not been given up is, or was, inside. So one event admits many, and how many are ahead is
``place - watermark - those in between who left``. A place is the number itself, but for those who
came before a scheduled opening: theirs is drawn.
"""

from collections.abc import Sequence
from typing import assert_never

import msgspec
from msgspec.structs import replace

from booking.domain.decision import BrokenInvariantError
from booking.domain.persistent import PersistentSorted
from booking.queue.domain.blocks import Member
from booking.queue.domain.events import (
    SETTINGS,
    Admitted,
    Drawn,
    Entered,
    Joined,
    Left,
    Policy,
    PolicyChanged,
    QueueEvent,
    TokensExpired,
    TokenUsed,
    WentSilent,
)
from booking.queue.domain.lots import Lots, draw
from booking.queue.domain.members import Members
from booking.queue.domain.number_set import NumberSet
from booking.queue.domain.pacing import Pace, admitted

_DEFAULT_INTERVAL_MS = 60_000
"""The interval in journals from before rules were written into them."""


class Outlook(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What an instance makes of a place in the line: it comes with the command to line up and goes
    back with the place. So the stored answer is all of it, and a repeat is told the same to the
    letter."""

    rate: float
    """Admissions a second to reckon with; 0 for no basis."""
    draw_ms: int
    """When the draw that is yet to be made is due; 0 if none is."""
    poll: float
    """The next poll's share of its usual time."""
    seats_left: int | None = None
    seats_held: int | None = None


class Place(msgspec.Struct, frozen=True, gc=False, tag=True, omit_defaults=True):
    """Where a user stands. ``until_ms`` is 0 while waiting."""

    user: str
    number: int
    joined_ms: int
    ahead: int
    until_ms: int
    outlook: Outlook | None = None
    """Of the command that it answers."""


class Line(msgspec.Struct, frozen=True, gc=False):
    """The queue. No command or event costs more for a longer line, but for a logarithm; only the
    draw goes over all who take part."""

    last_number: int = 0
    """The number given last; the first is 1."""
    watermark: int = 0
    """Every place up to here has been admitted or given up."""
    members: Members = msgspec.field(default_factory=Members)
    """Those who wait and those who are inside."""
    left: NumberSet = msgspec.field(default_factory=NumberSet)
    """Places beyond the watermark that have been given up."""
    active: PersistentSorted = msgspec.field(default_factory=PersistentSorted)
    """``(until_ms, number)`` of those inside."""
    pace: Pace = Pace()
    policy: Policy | None = None
    """The rules last put into force; ``None`` before any."""
    ruled_by: str = SETTINGS
    gathering_from: int = 0
    """The first number of the draw that is yet to be made; 0 if none is."""
    draws: tuple[Lots, ...] = ()
    """Draws that have places beyond the watermark."""

    @property
    def waiting(self) -> int:
        """How many wait."""
        return self.last_number - self.watermark - len(self.left)

    def place(self, number: int) -> int:
        """The place of a number; before its draw, the number."""
        return placed(self.draws, number)


def placed(draws: Sequence[Lots], number: int) -> int:
    """The place of a number, given the draws that may be about it."""
    for lots in draws:
        if number in lots:
            return lots.place(number)
    return number


def gathers_from(old: Policy | None, new: Policy, from_number: int, last_number: int) -> int:
    """:attr:`Line.gathering_from` after a change of rules: who waits already when an opening is
    scheduled keeps the order, ahead of the draw; moving it changes nobody's part in it."""
    if new.opens_ms == (old.opens_ms if old is not None else 0):
        return from_number
    if new.opens_ms == 0:
        return 0
    return from_number or last_number + 1


def policy_in_force(line: Line, default: Policy) -> Policy:
    """The rules an operator made, else those of the settings."""
    if line.policy is None or line.ruled_by == SETTINGS:
        return default
    return line.policy


def place_of(line: Line, user: str) -> Place | None:
    """Where the user stands, or ``None`` if neither waiting nor inside. Exact; O(1) for the last
    in the line, else O(places beyond the watermark / 4096). Before a draw everybody else may be
    ahead."""
    member = line.members.get(user)
    if member is None:
        return None
    ahead = 0 if member.until_ms else _ahead(line, member.number)
    return Place(user, member.number, member.joined_ms, ahead, member.until_ms)


def _ahead(line: Line, number: int) -> int:
    if 0 < line.gathering_from <= number or (number == line.last_number and not line.draws):
        return line.waiting - 1
    place = line.place(number)
    return place - line.watermark - 1 - line.left.count_below(place)


def next_waiting(watermark: int, left: NumberSet, count: int) -> Sequence[int]:
    """The next ``count`` places in the line."""
    if not left:
        return range(watermark + 1, watermark + 1 + count)
    places: list[int] = []
    place = watermark
    for _ in range(count):
        place = left.next_absent(place + 1)
        places.append(place)
    return places


# -- evolve ----------------------------------------------------------------------------------------


def evolve_queue(line: Line, event: QueueEvent) -> Line:
    """The line after ``event``; :class:`BrokenInvariantError` if it cannot follow this state."""
    match event:
        case Joined():
            return _joined(line, event)
        case Admitted():
            return _admitted(line, event)
        case Entered():
            return _entered(line, event)
        case Left(user, number):
            return _without(line, (number,), event, user)
        case WentSilent(numbers):
            return _without(line, numbers, event)
        case TokenUsed(user, number):
            _check_active(line, (number,), event)
            return _without(line, (number,), event, user)
        case TokensExpired(numbers):
            _check_active(line, numbers, event)
            return _without(line, numbers, event)
        case PolicyChanged(policy, who):
            first = gathers_from(line.policy, policy, line.gathering_from, line.last_number)
            return replace(line, policy=policy, ruled_by=who, gathering_from=first)
        case Drawn():
            return _drawn(line, event)
        case _:
            assert_never(event)


def _joined(line: Line, event: Joined) -> Line:
    # Written out: with the next one the event that comes tens of thousands of times a second.
    return Line(
        event.number,
        line.watermark,
        _with_newcomer(line, event, 0),
        line.left,
        line.active,
        line.pace,
        line.policy,
        line.ruled_by,
        line.gathering_from,
        line.draws,
    )


def _with_newcomer(line: Line, event: Joined | Entered, until_ms: int) -> Members:
    number = event.number
    member = Member(event.user, number, event.at_ms, event.attempt, until_ms)
    if number == line.last_number + 1:
        members = line.members.add(member)
        if len(members) > len(line.members):
            return members
    raise BrokenInvariantError(f"{event} after number {line.last_number}")


def _entered(line: Line, event: Entered) -> Line:
    if line.waiting:
        raise BrokenInvariantError(f"{event} while {line.waiting} wait")
    number, at_ms, until_ms = event.number, event.at_ms, event.until_ms
    interval_ms = _interval_ms(line)
    return Line(
        number,
        number,
        _with_newcomer(line, event, until_ms),
        line.left.without_below(number),
        line.active.add((until_ms, number)),
        admitted(line.pace, at_ms, 1, event.rate, interval_ms, event.paced_us),
        line.policy,
        line.ruled_by,
        line.gathering_from,
    )


def _admitted(line: Line, event: Admitted) -> Line:
    enough = event.count <= line.waiting
    places = next_waiting(line.watermark, line.left, event.count) if enough else []
    if not places or (places[0], places[-1]) != (event.first, event.last):
        raise BrokenInvariantError(f"{event} with the watermark at {line.watermark}")
    until_ms = event.until_ms
    numbers = sorted(numbers_at(line.draws, places)) if line.draws else places
    interval_ms = _interval_ms(line)
    return replace(
        line,
        watermark=event.last,
        members=line.members.admit(numbers, until_ms),
        left=line.left.without_below(event.last + 1),
        active=line.active.extended([(until_ms, number) for number in numbers]),
        pace=admitted(line.pace, event.at_ms, event.count, event.rate, interval_ms, event.paced_us),
        draws=tuple(lots for lots in line.draws if lots.last > event.last),
    )


def _interval_ms(line: Line) -> int:
    return line.policy.interval_ms if line.policy else _DEFAULT_INTERVAL_MS


def numbers_at(draws: Sequence[Lots], places: Sequence[int]) -> list[int]:
    """The numbers that have these places, in their order."""
    numbers = []
    for place in places:
        lots = next((lots for lots in draws if place in lots), None)
        numbers.append(place if lots is None else lots.number(place))
    return numbers


def _without(
    line: Line, numbers: Sequence[int], event: QueueEvent, named: str | None = None
) -> Line:
    """The line without these numbers, which have to be ``named``'s if somebody is."""
    members, active = line.members, line.active
    given_up = []
    for number in numbers:
        member = members.at(number)
        if member is None or named not in (None, member.user):
            whose = "nobody" if member is None else member.user
            raise BrokenInvariantError(f"{event}, but {number} is {whose}'s")
        members = members.remove(member)
        if member.until_ms:
            active = active.discard((member.until_ms, number))
        else:
            given_up.append(line.place(number))
    left = line.left.with_all(given_up) if given_up else line.left
    return replace(line, members=members, active=active, left=left)


def _check_active(line: Line, numbers: Sequence[int], event: QueueEvent) -> None:
    for number in numbers:
        member = line.members.at(number)
        if member is None or not member.until_ms:
            raise BrokenInvariantError(f"{event}, but number {number} is not inside")


def _drawn(line: Line, event: Drawn) -> Line:
    first, last = event.first, event.last
    if first != line.gathering_from or not first - 1 <= last <= line.last_number:
        raise BrokenInvariantError(f"{event}, but the draw begins at {line.gathering_from}")
    if last < first:
        return replace(line, gathering_from=0)
    lots = draw(event.seed, first, last)
    left = lots.moved(line.left)
    return replace(line, gathering_from=0, draws=(*line.draws, lots), left=left)
