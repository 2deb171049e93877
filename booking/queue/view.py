"""Where a token stands, answered from memory: no owner is asked and no database.

The queue's owner moves a watermark; a place in the line is the distance to it, less those in
between who left. Who is inside is a number in a dictionary with the end of its time.
"""

import random
from array import array
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, islice, pairwise
from math import ceil
from typing import assert_never

import msgspec

from booking.calls import IssueTimes, QueueToken, TokenError
from booking.queue.domain.events import (
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
from booking.queue.domain.line import (
    Line,
    Outlook,
    Place,
    gathers_from,
    next_waiting,
    numbers_at,
    placed,
)
from booking.queue.domain.lots import Lots, draw
from booking.queue.domain.number_set import NumberSet
from booking.queue.forecast import Forecast, Recently
from booking.seats.view import Stock

POLL_NEAR_MS = 1_000
POLL_PER_PLACE_MS = 10
POLL_FAR_MS = 30_000
"""A poll each second at the front, one in 30 s from place 2,900 on: 100,000 waiting users are then
3,400 polls a second. Never more than half of what somebody may be silent, so that one lost poll
costs nobody the place."""

POLL_INSIDE_MS = 10_000
POLL_JITTER = 0.2
"""Spread of the hint, so that those told the same do not come back together."""

POLL_DELAY_MS = 1_000
"""How long an answer and the next request may travel."""

MINUTE_MS = 60_000

RESOLUTION_MS = 100
"""Times are kept in tenths of a second since the book was begun, four bytes a number, rounded up:
enough for thirteen years."""

STALLED_AFTER_MS = 15_000
"""An owner that has not looked for so long (stopped, starved, asleep) has not heard either: it
begins anew. Three times the time between two looks."""

_OVER = 2**32 - 1
"""In place of a time: this number has ended. A sign that comes all the same makes it be looked at
once more."""

_CHUNK = 4_096
"""Numbers looked at together, and let go of together when they have ended."""

REPORTED_TOGETHER_MAX = 20_000
"""Numbers of one report: some milliseconds, for whoever makes it and for the owner."""

_REPORT = msgspec.msgpack.Decoder(list[int])


class QueueStatus(msgspec.Struct, frozen=True, tag=True):
    """Where a token stands in its queue."""

    token: str
    user: str
    number: int
    active: bool
    position: int
    """1 for the next to be admitted; 0 when active."""
    ahead: int
    eta_s: int
    eta_known: bool
    poll_after_ms: int
    expires_ms: int
    """End of the active time; 0 while waiting."""
    opens_ms: int = 0
    """While waiting for a scheduled opening: when it is, and the places are drawn."""
    seats_left: int | None = None
    """While waiting: free seats of all dates behind the queue whose sale is not over."""
    seats_held: int | None = None
    """Seats of those dates that are held but not yet paid for."""


class PresenceBook:
    """When the holders of one queue's numbers last gave a sign at this instance.

    Every instance notes who polls, listens or books at it. The queue's owner gathers the notes of
    all and knows who has been silent for too long. Memory only: an owner that has just begun knows
    nobody, so everybody counts as seen then. Every inaccuracy here is in favour of the user.
    """

    def __init__(self, begun_ms: int) -> None:
        self._begun_ms = begun_ms
        self._fresh: set[int] = set()
        """Seen here since the last report. Bounded by the numbers of the queue."""
        self._stamps = array("I")
        """Time of the last sign by number, from ``_first`` on. Only the owner has any."""
        self._first = 1
        self._looked_ms = 0
        self._since_ms = 0

    # -- at every instance ------------------------------------------------------------------------

    def seen(self, number: int, now_ms: int) -> None:
        """The holder of this number has given a sign."""
        self._fresh.add(number)
        stamps, at = self._stamps, number - self._first
        if 0 <= at < len(stamps):
            stamps[at] = self._stamp(now_ms)

    def report(self) -> bytes:
        """Who was seen here since the last report, for :meth:`merge` at the owner. About a byte
        for each number; empty for nobody. Of very many only some, see :attr:`unreported`."""
        numbers = sorted(islice(self._fresh, REPORTED_TOGETHER_MAX))
        self._fresh.difference_update(numbers)
        if not numbers:
            return b""
        return msgspec.msgpack.encode([after - before for before, after in pairwise([0, *numbers])])

    @property
    def unreported(self) -> bool:
        """Whether there is more to report."""
        return bool(self._fresh)

    # -- at the owner -----------------------------------------------------------------------------

    def merge(self, report: bytes, now_ms: int) -> None:
        """Take in what another instance saw; :class:`ValueError` for what is no report."""
        if not report:
            return
        try:
            steps = _REPORT.decode(report)
        except msgspec.DecodeError as error:
            raise ValueError(f"not a presence report: {error}") from error
        stamp, stamps, first = self._stamp(now_ms), self._stamps, self._first
        count = len(stamps)
        for number in accumulate(steps):
            if 0 <= number - first < count:
                stamps[number - first] = stamp

    def forgive(self, now_ms: int) -> None:
        """Signs may have been missed until now: everybody counts as seen."""
        self._since_ms = now_ms

    def silent(
        self,
        now_ms: int,
        idle_ms: int,
        last_number: int,
        awaited_since: Callable[[int], int | None],
    ) -> Iterator[list[int]]:
        """Numbers that have given no sign for longer than ``idle_ms``, ascending and some at a
        time, so that others may work in between.

        ``awaited_since`` says of a number since when a sign is due: 0 for one that waits, the time
        of its admission for one inside, ``None`` for one that has ended. One inside counts only
        while there was none since its admission: then its user does not know of it. O(numbers not
        ended), some 5 ms for 100,000 in all.
        """
        if now_ms - self._looked_ms > STALLED_AFTER_MS:
            self.forgive(now_ms)
        self._looked_ms = now_ms
        missing = last_number - self._first + 1 - len(self._stamps)
        if missing > 0:
            self._stamps.extend(array("I", [self._stamp(now_ms)]) * missing)
        self._fresh.clear()  # the owner reports to nobody
        if now_ms - self._since_ms <= idle_ms:
            return
        limit = (now_ms - idle_ms - self._begun_ms) // RESOLUTION_MS
        for begin in range(0, len(self._stamps), _CHUNK):
            silent = []
            for number in self._quiet(begin, limit):
                due_ms = awaited_since(number)
                if due_ms is None:
                    self._stamps[number - self._first] = _OVER
                elif due_ms == 0 or (
                    due_ms <= now_ms - idle_ms and self._heard_ms(number) < due_ms
                ):
                    silent.append(number)
            yield silent
        self._trim()

    def _quiet(self, begin: int, limit: int) -> list[int]:
        """Numbers of one chunk with a stamp below the limit. Most have none, which one ``min``
        tells."""
        chunk = self._stamps[begin : begin + _CHUNK]
        if min(chunk) >= limit:
            return []
        first = self._first + begin
        return [first + at for at, stamp in enumerate(chunk) if stamp < limit]

    def _heard_ms(self, number: int) -> int:
        stamped_ms = self._begun_ms + self._stamps[number - self._first] * RESOLUTION_MS
        return max(stamped_ms, self._since_ms)

    def _stamp(self, now_ms: int) -> int:
        return max(0, -(-(now_ms - self._begun_ms) // RESOLUTION_MS))

    def _trim(self) -> None:
        """Let go of the first numbers, all of which have ended."""
        over, stamps = 0, self._stamps
        while over + _CHUNK <= len(stamps) and min(stamps[over : over + _CHUNK]) == _OVER:
            over += _CHUNK
        if over:
            del stamps[:over]
            self._first += over


class QueueView:
    """One queue as this instance knows it."""

    def __init__(
        self,
        name: str,
        default: Policy,
        *,
        now_ms: Callable[[], int],
        idle_ms: int = 60_000,
        draw: Callable[[], float] = random.random,
        stock: Callable[[str, int], Stock | None] = lambda queue, now_ms: None,
    ) -> None:
        """``default`` are the rules as long as no operator made others; ``idle_ms`` is how long
        somebody may be silent; ``stock`` says what is left for those who wait."""
        self.name = name
        self.version = 0
        """Grows with every change of what is told of any token."""
        self.policy = default
        """The rules in force."""
        self.last_number = 0
        self.watermark = 0
        self.last_draw: Lots | None = None
        """The draw made last, if it was seen or its people still wait."""
        self.presence = PresenceBook(now_ms())
        self._default = default
        self._now_ms = now_ms
        self._draw = draw
        self._stock = stock
        poll_max_ms = int((idle_ms / 2 - POLL_DELAY_MS) / (1 + POLL_JITTER / 2))
        self._poll_far_ms = max(POLL_NEAR_MS, min(POLL_FAR_MS, poll_max_ms))
        self._left = NumberSet()
        """Places beyond the watermark that were given up."""
        self._active: dict[int, tuple[int, int]] = {}
        """Number inside, to the end and the begin of its time."""
        self._issued = IssueTimes()
        self._gathering_from = 0
        self._draws: tuple[Lots, ...] = ()
        self._forecast = Forecast()
        self._forecast.rules_changed(default)
        self._admitted = Recently(MINUTE_MS)
        self._gone = Recently(MINUTE_MS)

    # -- keeping ----------------------------------------------------------------------------------

    def reset(self, line: Line) -> None:
        """Start again from the owner's state. What was told of waiting times stands, and a begin
        that is not known is taken for yet to come."""
        self.version += 1
        self.last_number = line.last_number
        self.watermark = line.watermark
        self._left = line.left
        self._active = {number: (until, until) for until, number in line.active}
        self._gathering_from = line.gathering_from
        self._draws = line.draws
        self._issued.reset(line)
        if line.draws:
            self.last_draw = line.draws[-1]
        self._rule(line.policy or self._default)

    def apply(self, events: Sequence[QueueEvent]) -> None:
        """Take in events that are in the journal, in their order."""
        self.version += 1
        for event in events:
            match event:
                case Joined():
                    self._give(event)
                case Admitted():
                    self._admit(event)
                case Entered():
                    self._give(event)
                    self._admit(event.admitted)
                case Left():
                    self._leave((event.number,))
                case WentSilent():
                    self._leave(event.numbers)
                case TokenUsed():
                    self._active.pop(event.number, None)
                case TokensExpired():
                    for number in event.numbers:
                        self._active.pop(number, None)
                case PolicyChanged():
                    self._change(event)
                case Drawn():
                    self._take_draw(event)
                case _ as never:
                    assert_never(never)

    def _give(self, event: Joined | Entered) -> None:
        self.last_number = event.number
        self._issued.add(event.number, event.at_ms)
        if self._issued.long:
            self._issued.trim(self._lowest())

    def _lowest(self) -> int:
        """No number below it waits or is inside. O(numbers inside)."""
        lowest = min((lots.first for lots in self._draws), default=self.watermark + 1)
        return min(self.watermark + 1, lowest, min(self._active, default=lowest))

    def _admit(self, event: Admitted) -> None:
        places = next_waiting(self.watermark, self._left, event.count)
        time = (event.until_ms, event.at_ms)
        for number in numbers_at(self._draws, places) if self._draws else places:
            self._active[number] = time
        self._left = self._left.without_below(event.last + 1)
        self.watermark = event.last
        self._draws = tuple(lots for lots in self._draws if lots.last > event.last)
        self._admitted.add(event.at_ms, event.count)
        limit = self.policy.max_active
        full = limit > 0 and len(self._active) >= limit
        self._forecast.admitted(
            self.policy, event.at_ms, event.count, self.waiting, full, self.last_number
        )

    def _leave(self, numbers: Sequence[int]) -> None:
        self._gone.add(self._now_ms(), len(numbers))
        given_up = [
            placed(self._draws, number)
            for number in numbers
            if self._active.pop(number, None) is None
        ]
        self._left = self._left.with_all(given_up)

    def _change(self, event: PolicyChanged) -> None:
        self._gathering_from = gathers_from(
            self.policy, event.policy, self._gathering_from, self.last_number
        )
        self._rule(event.policy)

    def _rule(self, policy: Policy) -> None:
        if policy != self.policy:
            self.policy = policy
            self._forecast.rules_changed(policy)

    def _take_draw(self, event: Drawn) -> None:
        self._gathering_from = 0
        if event.last < event.first:
            return
        lots = self.last_draw = draw(event.seed, event.first, event.last)
        self._draws = (*self._draws, lots)
        self._left = lots.moved(self._left)

    def draw_ahead(self, seed: str) -> Iterator[None]:
        """Work the draw that is due out before it is made with this seed, piece by piece."""
        first, last = self._gathering_from, self.last_number
        while last >= first and self._issued.given_ms(last) >= self.policy.opens_ms:
            last -= 1
        if first <= last:
            yield from draw(seed, first, last).work()

    def use_up(self, number: int) -> None:
        """A payment has used the number's token up: here it opens nothing from now on, though the
        owner has yet to say so."""
        self._active.pop(number, None)
        self.version += 1

    # -- answering --------------------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """How many wait."""
        return self.last_number - self.watermark - len(self._left)

    @property
    def active(self) -> int:
        """How many are inside."""
        return len(self._active)

    @property
    def admitted_last_minute(self) -> int:
        """How many came in within the last minute."""
        return self._admitted.total(self._now_ms())

    @property
    def left_last_minute(self) -> int:
        """How many gave up or went silent within the last minute."""
        return self._gone.total(self._now_ms())

    @property
    def draw_due_ms(self) -> int:
        """When the draw that is yet to be made is due; 0 if none is."""
        return self.policy.opens_ms if self._gathering_from else 0

    def is_active(self, token: QueueToken, now_ms: int) -> bool:
        """Whether the token's holder is inside."""
        time = self._active.get(token.number)
        return time is not None and time[0] > now_ms and self.knows(token)

    def knows(self, token: QueueToken) -> bool:
        """Whether the token's number is the one that was given to its holder."""
        return self._issued.given_ms(token.number) == token.issued_ms

    def note_sign(self, token: QueueToken, now_ms: int) -> None:
        """The token's holder has given a sign; also one that this view has not heard of yet."""
        if token.number > self.last_number or self.knows(token):
            self.presence.seen(token.number, now_ms)

    def awaited_since(self, number: int) -> int | None:
        """Since when a sign of this number is due, as
        :meth:`PresenceBook.silent` asks: 0 for one that waits, the begin of
        its time for one inside, ``None`` for one that has ended."""
        time = self._active.get(number)
        if time is not None:
            return time[1]
        place = placed(self._draws, number)
        return None if place <= self.watermark or self._left_at(place)[1] else 0

    def status(self, token: QueueToken, text: str, now_ms: int) -> QueueStatus:
        """Where the token stands; :class:`TokenError` if it has ended or was never given."""
        number = token.number
        if number > self.last_number:
            raise TokenError("token_invalid")
        if not self.knows(token):
            raise TokenError("token_expired")
        time = self._active.get(number)
        if time is not None and time[0] > now_ms:
            return self._inside(token.user, number, time[0], text, self._spread())
        place = placed(self._draws, number) if self._draws else number
        if time is not None or place <= self.watermark:
            raise TokenError("token_expired")
        gone, has_left = self._left_at(place)
        if has_left:
            raise TokenError("token_expired")
        ahead = place - self.watermark - 1 - gone
        if 0 < self._gathering_from <= number:
            ahead = self.waiting - 1
        return self._waiting(token.user, number, ahead, text, self.outlook(number, now_ms))

    def status_of(self, place: Place, text: str, now_ms: int) -> QueueStatus:
        """The status from the owner's own answer."""
        outlook = place.outlook or self.outlook(place.number, now_ms)
        if place.until_ms:
            return self._inside(place.user, place.number, place.until_ms, text, outlook.poll)
        return self._waiting(place.user, place.number, place.ahead, text, outlook)

    def outlook(self, number: int, now_ms: int) -> Outlook:
        """What is to be told of this number's place, if it waits."""
        rate = 0.0
        if not (self._gathering_from or self.policy.mode == "paused"):
            rate = self._forecast.rate(number, now_ms, self.policy)
        stock = self._stock(self.name, now_ms) or ()
        return Outlook(rate, self.draw_due_ms, self._spread(), *stock)

    def _left_at(self, place: int) -> tuple[int, bool]:
        """How many places before this one were given up, and whether this one was."""
        return (self._left.count_below(place), place in self._left) if self._left else (0, False)

    def _inside(
        self, user: str, number: int, until_ms: int, text: str, spread: float
    ) -> QueueStatus:
        poll_ms = int(min(POLL_INSIDE_MS, self._poll_far_ms) * spread)
        return QueueStatus(text, user, number, True, 0, 0, 0, True, poll_ms, until_ms)

    def _waiting(
        self, user: str, number: int, ahead: int, text: str, outlook: Outlook
    ) -> QueueStatus:
        rate, stock = outlook.rate, (outlook.seats_left, outlook.seats_held)
        eta_s = ceil((ahead + 1) / rate) if rate else 0
        base_ms = min(POLL_NEAR_MS + ahead * POLL_PER_PLACE_MS, self._poll_far_ms)
        told = False, ahead + 1, ahead, eta_s, rate > 0, int(base_ms * outlook.poll), 0
        return QueueStatus(text, user, number, *told, outlook.draw_ms, *stock)

    def _spread(self) -> float:
        return 1 - POLL_JITTER / 2 + POLL_JITTER * self._draw()
