"""The waiting queue: what happens on each command. The one door to everything of it.

First in, first out by place; at most so many inside, and so many in any interval; each for a
limited time. The events are in :mod:`booking.queue.domain.events`, the state and how they change it
in :mod:`booking.queue.domain.line`.
"""

from itertools import islice, takewhile
from typing import assert_never

import msgspec
from msgspec.structs import replace

from booking.domain.decision import Code, Rejected
from booking.queue.domain.blocks import Member
from booking.queue.domain.events import (
    SETTINGS,
    Admitted,
    Drawn,
    Entered,
    Joined,
    Left,
    Mode,
    Policy,
    PolicyChanged,
    QueueEvent,
    TokensExpired,
    TokenUsed,
    WentSilent,
)
from booking.queue.domain.line import (
    Line,
    Outlook,
    Place,
    evolve_queue,
    next_waiting,
    place_of,
    policy_in_force,
)
from booking.queue.domain.pacing import next_permitted_ms, paced_after, permitted

EXPIRED_TOGETHER_MAX = 500
ADMITTED_TOGETHER_MAX = 500
"""One decision ends and admits at most so many, some milliseconds of work, and the timer comes
back at once for the rest: a limit raised by 100,000 must not hold up everybody else's commands."""

# -- commands --------------------------------------------------------------------------------------


class Join(msgspec.Struct, frozen=True, tag=True, gc=False, omit_defaults=True):
    """Line up. ``attempt`` names the try: repeated, it answers the same place instead of
    ``already_queued`` (empty: never the same). So does a place from before ``renewed_ms``, whose
    token a restore from a backup has ended."""

    user: str
    attempt: str = ""
    renewed_ms: int = 0
    outlook: Outlook | None = None
    key_id: bytes = b""
    """The user's key for the call, which the account has to know; empty: it has not."""
    key_fingerprint: bytes = b""


class Leave(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Give up the place or the active slot."""

    user: str
    number: int


class UseToken(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The user has paid: the active slot ends. Idempotent."""

    user: str
    number: int


class GetPlace(msgspec.Struct, frozen=True, gc=False, tag="Look"):
    """Ask where a number stands, for instances that only have a view."""

    user: str
    number: int


class Admit(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Time has passed: end what is over, admit who may come in."""


class DropSilent(msgspec.Struct, frozen=True, gc=False, tag=True):
    """These numbers have given no sign for too long; those that have ended are passed over."""

    numbers: tuple[int, ...]


class DrawPlaces(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Make the draw of the opening that is due. Without one it does nothing: a draw is made once.
    ``seed`` has to be something that nobody could know or choose before the opening."""

    seed: str


class ChangePolicy(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Change rules; ``None`` leaves one as it is. The fields are those of :class:`Policy`."""

    who: str
    mode: Mode | None = None
    max_active: int | None = None
    admit_per_interval: int | None = None
    interval_ms: int | None = None
    active_ms: int | None = None
    max_waiting: int | None = None
    opens_ms: int | None = None


QueueCommand = Join | Leave | UseToken | GetPlace | Admit | DropSilent | DrawPlaces | ChangePolicy

# -- replies ---------------------------------------------------------------------------------------


class TokenEnded(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The number has ended, now or earlier."""

    number: int


class AdmissionsDone(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Nothing to say."""


class RulesSet(msgspec.Struct, frozen=True, gc=False, tag=True):
    """These rules are in force."""

    policy: Policy


class RulesRefused(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The rules contradict each other; nothing has changed. ``detail`` is for the operator."""

    detail: str


QueueReply = Place | TokenEnded | AdmissionsDone | RulesSet | RulesRefused | Rejected

# -- time ------------------------------------------------------------------------------------------


def queue_next_wake(line: Line, default: Policy) -> int | None:
    """When :class:`Admit` has something to do next, in ms since the epoch: somebody's time is
    over, or somebody may come in. ``None`` for never, a time in the past for at once."""
    first_end = line.active.first()
    end_ms = first_end[0] if first_end is not None else None
    policy = policy_in_force(line, default)
    if not line.waiting or _room(line, policy) <= 0:
        return end_ms
    next_ms = next_permitted_ms(line.pace, policy.admit_per_interval, policy.interval_ms)
    return next_ms if end_ms is None else min(end_ms, next_ms)


def _room(line: Line, policy: Policy) -> int:
    """How many may come in at once, the rate apart."""
    if policy.mode == "paused" or line.gathering_from:
        return 0
    if policy.max_active == 0:
        return ADMITTED_TOGETHER_MAX
    return policy.max_active - len(line.active)


# -- decide ----------------------------------------------------------------------------------------


class QueueDecision(msgspec.Struct, frozen=True, gc=False):
    """What becomes true, the reply, and the line after it: what :func:`evolve_queue` gives for the
    events, which deciding has worked out already."""

    events: tuple[QueueEvent, ...]
    reply: QueueReply
    line: Line


class _Draft:
    """A decision while it is made: the events so far and the line after them."""

    def __init__(self, line: Line, policy: Policy, now_ms: int) -> None:
        self.line = line
        self.policy = policy
        self.now_ms = now_ms
        self.events: list[QueueEvent] = []

    def add(self, event: QueueEvent) -> None:
        self.line = evolve_queue(self.line, event)
        self.events.append(event)


def decide_queue(line: Line, command: QueueCommand, default: Policy, now_ms: int) -> QueueDecision:
    """What happens on ``command`` at ``now_ms``. Whatever the command and its reply, those whose
    time is over end first, and whoever may come in comes in. ``default`` are the rules of the
    settings, in force as long as no operator made others."""
    policy = policy_in_force(line, default)
    draft = _Draft(line, policy, now_ms)
    if line.policy != policy:
        draft.add(PolicyChanged(policy, SETTINGS, now_ms))
    _expire(draft)
    _admit(draft)
    reply: QueueReply
    match command:
        case Join():
            reply = _join(draft, command)
        case Leave(user, number):
            reply = _end(draft, user, number, Left(user, number))
        case UseToken(user, number):
            reply = _end(draft, user, number, TokenUsed(user, number))
        case GetPlace(user, number):
            reply = _get_place(draft, user, number)
        case Admit():
            reply = AdmissionsDone()
        case DropSilent(numbers):
            reply = _drop(draft, numbers)
        case DrawPlaces(seed):
            reply = _draw(draft, seed)
        case ChangePolicy():
            reply = _change(draft, command)
        case _:
            assert_never(command)
    return QueueDecision(tuple(draft.events), reply, draft.line)


def _expire(draft: _Draft) -> None:
    first = draft.line.active.first()
    if first is None or first[0] > draft.now_ms:
        return
    over = takewhile(lambda end: end[0] <= draft.now_ms, draft.line.active)
    draft.add(TokensExpired(tuple(number for _, number in islice(over, EXPIRED_TOGETHER_MAX))))


def _admit(draft: _Draft) -> bool:
    """Admit as many as wait, as there is room for, and as the rate lets in; whether anybody."""
    waiting = draft.line.waiting
    count = _admissible(draft, waiting) if waiting else 0
    if count == 0:
        return False
    places = next_waiting(draft.line.watermark, draft.line.left, count)
    policy = draft.policy
    draft.add(
        Admitted(
            first=places[0],
            last=places[-1],
            count=count,
            at_ms=draft.now_ms,
            until_ms=draft.now_ms + policy.active_ms,
            rate=policy.admit_per_interval,
            paced_us=_paced_after(draft, count),
        )
    )
    return True


def _admissible(draft: _Draft, wanted: int) -> int:
    """How many of so many may come in now."""
    line, policy = draft.line, draft.policy
    count = min(wanted, _room(line, policy), ADMITTED_TOGETHER_MAX)
    if count <= 0:
        return 0
    by_rate = permitted(line.pace, policy.admit_per_interval, policy.interval_ms, draft.now_ms)
    return count if by_rate is None else min(count, by_rate)


def _paced_after(draft: _Draft, count: int) -> int:
    policy = draft.policy
    rate, interval_ms = policy.admit_per_interval, policy.interval_ms
    return paced_after(draft.line.pace, rate, interval_ms, draft.now_ms, count)


def _current(draft: _Draft, user: str) -> Member | None:
    """The user's place, unless its time is over: then it ends now, also if more were over at
    once than one decision ends."""
    member = draft.line.members.get(user)
    if member is not None and 0 < member.until_ms <= draft.now_ms:
        draft.add(TokensExpired((member.number,)))
        return None
    return member


def _join(draft: _Draft, command: Join) -> Place | Rejected:
    """Line up, or why not. A repeat of the same attempt changes nothing."""
    user, attempt, now_ms = command.user, command.attempt, draft.now_ms
    member = _current(draft, user)
    if member is not None:
        repeated = command.attempt and command.attempt == member.attempt
        if repeated or member.joined_ms < command.renewed_ms:
            return replace(_present(draft.line, user), outlook=command.outlook)
        return Rejected(Code.ALREADY_QUEUED, "You are in this queue already and keep your place.")
    waiting = draft.line.waiting
    if waiting >= draft.policy.max_waiting:
        return Rejected(Code.QUEUE_FULL, "The queue is full; try again later.")
    number, is_open = draft.line.last_number + 1, draft.policy.mode == "open"
    if is_open and not waiting and _admissible(draft, 1):
        until_ms, rate = now_ms + draft.policy.active_ms, draft.policy.admit_per_interval
        paced_us = _paced_after(draft, 1)
        draft.add(Entered(user, number, now_ms, until_ms, attempt, rate, paced_us))
        return Place(user, number, now_ms, 0, until_ms, command.outlook)
    draft.add(Joined(user, number, now_ms, attempt))
    _conclude_empty_draw(draft)
    if is_open and _admit(draft):
        return replace(_present(draft.line, user), outlook=command.outlook)
    return Place(user, number, now_ms, waiting, 0, command.outlook)


def _end(draft: _Draft, user: str, number: int, event: Left | TokenUsed) -> TokenEnded | Rejected:
    """End the user's place or active slot. Whose an ended number was is not remembered: whoever
    names it is told that it has ended, which is true and changes nothing."""
    member = _current(draft, user)
    if member is not None and member.number == number:
        # A place in the line cannot be used up, only given up.
        draft.add(event if member.until_ms else Left(user, number))
        _admit(draft)
        return TokenEnded(number)
    return _ended(draft.line, number)


def _ended(line: Line, number: int) -> TokenEnded | Rejected:
    if not 1 <= number <= line.last_number or line.members.at(number) is not None:
        return Rejected(Code.NOT_QUEUED, "This is not your place in this queue.")
    return TokenEnded(number)


def _get_place(draft: _Draft, user: str, number: int) -> Place | TokenEnded | Rejected:
    member = _current(draft, user)
    if member is not None and member.number == number:
        return _present(draft.line, user)
    return _ended(draft.line, number)


def _drop(draft: _Draft, numbers: tuple[int, ...]) -> AdmissionsDone:
    members = draft.line.members
    silent = tuple(number for number in sorted(set(numbers)) if members.at(number) is not None)
    if silent:
        draft.add(WentSilent(silent, draft.now_ms))
        _admit(draft)
    return AdmissionsDone()


def _draw(draft: _Draft, seed: str) -> AdmissionsDone:
    line = draft.line
    first = line.gathering_from
    if first and draft.now_ms >= draft.policy.opens_ms:
        last = _last_before(line, first, draft.policy.opens_ms)
        draft.add(Drawn(seed if last >= first else "", first, last, draft.now_ms))
        _admit(draft)
    return AdmissionsDone()


def _last_before(line: Line, first: int, opens_ms: int) -> int:
    """The last number from ``first`` on that was given before the opening. Those who came since,
    while the seed was drawn, are passed one by one: a tick's worth of arrivals."""
    number = line.last_number
    while number >= first:
        member = line.members.at(number)
        if member is not None and member.joined_ms < opens_ms:
            break
        number -= 1
    return number


def _conclude_empty_draw(draft: _Draft) -> None:
    """An opening that nobody waited for needs no seed: the first who comes after it comes in."""
    line, opens_ms = draft.line, draft.policy.opens_ms
    if line.gathering_from and line.gathering_from == line.last_number and draft.now_ms >= opens_ms:
        draft.add(Drawn("", line.last_number, line.last_number - 1, draft.now_ms))


def _change(draft: _Draft, command: ChangePolicy) -> RulesSet | RulesRefused:
    wanted = {
        name: value
        for name in Policy.__struct_fields__
        if (value := getattr(command, name)) is not None
    }
    old, new = draft.policy, replace(draft.policy, **wanted)
    problem = _contradiction(old, new, len(draft.line.draws), draft.now_ms)
    if command.who == SETTINGS:
        problem = f"{SETTINGS!r} cannot be an operator's name"
    if problem is not None:
        return RulesRefused(problem)
    if new != old:
        draft.add(PolicyChanged(new, command.who, draft.now_ms))
        draft.policy = new
        _admit(draft)
    return RulesSet(new)


def _present(line: Line, user: str) -> Place:
    place = place_of(line, user)
    assert place is not None, user
    return place


# -- which rules a queue can have ------------------------------------------------------------------

MAX_ACTIVE_MAX = 1_000_000
ADMIT_PER_INTERVAL_MAX = 1_000_000
ADMIT_PER_S_MAX = 20_000
"""What the grid of admissions lets through: 500 in each of 40 moments a second."""
INTERVAL_S_MAX = 3_600
ACTIVE_S_MAX = 86_400
MAX_WAITING_MAX = 10_000_000
"""Five gigabytes of waiting users, at under 500 bytes each."""
OPENS_MS_MAX = 32_503_680_000_000
"""The year 3000, as in the catalogue: a slipped digit is an error, not a date."""
DRAWS_MAX = 8
"""Draws whose people still wait. Each place in the line is looked up in all of them."""


def _contradiction(old: Policy, new: Policy, draws: int, now_ms: int) -> str | None:
    """Why ``new`` cannot be put into force after ``old`` in a queue with so many draws whose
    people still wait, in words for the operator; ``None`` if it can."""
    return _out_of_range(new) or _impossible(new) or _opening(old, new, draws, now_ms)


def _out_of_range(policy: Policy) -> str | None:
    limits = (
        ("maxActive", policy.max_active, 0, MAX_ACTIVE_MAX),
        ("admitPerInterval", policy.admit_per_interval, 0, ADMIT_PER_INTERVAL_MAX),
        ("intervalS", policy.interval_ms / 1000, 1, INTERVAL_S_MAX),
        ("activeS", policy.active_ms / 1000, 1, ACTIVE_S_MAX),
        ("maxWaiting", policy.max_waiting, 0, MAX_WAITING_MAX),
    )
    for name, value, low, high in limits:
        if not low <= value <= high:
            return f"{name} has to be from {low} to {high}"
    return None


def _impossible(policy: Policy) -> str | None:
    if policy.admit_per_interval * 1000 > ADMIT_PER_S_MAX * policy.interval_ms:
        return f"admitPerInterval and intervalS are more than {ADMIT_PER_S_MAX} a second"
    if policy.mode == "queue_all" and policy.admit_per_interval == 0:
        return "queue_all lets people in by the rate alone: set admitPerInterval, or use paused"
    return None


def _opening(old: Policy, new: Policy, draws: int, now_ms: int) -> str | None:
    if new.opens_ms in (0, old.opens_ms):
        return None
    if not now_ms < new.opens_ms < OPENS_MS_MAX:
        return "opensAt has to be in the future"
    if draws >= DRAWS_MAX:
        return f"people of {draws} earlier draws still wait: let them in first"
    return None
