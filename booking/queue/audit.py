"""Waiting queues: I5 over one shard, from the events alone.

Order, limit, rate, draws and rules are recomputed here without the code that decides. Journals of
before rules were written into them have no limit and no rate to check until the first rules come.
"""

from __future__ import annotations

from array import array
from collections import defaultdict, deque
from hashlib import shake_256
from typing import Any, Literal

import msgspec

from booking.audit.events import Readers, read
from booking.audit.report import Findings

GAP_MAX = 1_000_000
"""A number further than this beyond the last one is taken for damage and not followed: the book
keeps eight bytes for each number."""

REMEMBERED_MS = 60_000
"""A rate that an operator sets holds at once for what was admitted within the last minute, and for
longer intervals from that moment on."""

ASPECTS = {
    "order": "numbers given once, ascending; admitted in order among those still there",
    "limit": "never more inside than the limit in force",
    "rate": "never more admitted in any interval than the rate in force",
    "draw": "places of an opening are those of its seed, of all who came before it",
    "rules": "nobody admitted in a pause or before an opening",
}


FUTURE_MAX_MS = 1_000
"""By how much the time of a shard may fall from one row to the next: ``SKEW_MAX_MS``."""


class _Policy(msgspec.Struct, frozen=True, gc=False):
    max_active: int
    admit_per_interval: int
    active_ms: int
    max_waiting: int
    interval_ms: int
    mode: Literal["open", "paused", "queue_all"]
    opens_ms: int


class _SlidingWindow:
    """Counts of the last ``interval_ms``, and what is kept beyond for a longer one to come."""

    def __init__(self, interval_ms: int, kept_ms: int) -> None:
        self.total = 0
        """Within ``interval_ms`` of the last entry, its beginning left out."""
        self._interval_ms = interval_ms
        self._kept_ms = kept_ms
        self._within: deque[tuple[int, int]] = deque()
        self._beyond: deque[tuple[int, int]] = deque()

    def add(self, at_ms: int, count: int) -> None:
        """So many at ``at_ms``. A last entry that is later by more than clocks differ was made by
        one that was wrong: what it counts with is unknown, and counting begins anew."""
        if self._within and self._within[-1][0] > at_ms + FUTURE_MAX_MS:
            self._within.clear()
            self._beyond.clear()
            self.total = 0
        self._within.append((at_ms, count))
        self.total += count
        while self._within[0][0] <= at_ms - self._interval_ms:
            entry = self._within.popleft()
            self.total -= entry[1]
            self._beyond.append(entry)
        while self._beyond and self._beyond[0][0] <= at_ms - self._kept_ms:
            self._beyond.popleft()

    def resized(self, interval_ms: int) -> _SlidingWindow:
        """The same entries, counted over another interval."""
        resized = _SlidingWindow(interval_ms, self._kept_ms)
        for at_ms, count in (*self._beyond, *self._within):
            resized.add(at_ms, count)
        return resized


class QueueFacts:
    """What the journal says of one queue."""

    def __init__(self) -> None:
        self.last = self.watermark = 0
        self.users = array("q", [0])
        """By number: hash of the user it was given to; 0 when not given, or ended."""
        self.joined_ms = array("q", [0])
        self.inside = self.most_inside = 0
        self.admitted = self.left = self.silent = self.used = self.expired = 0
        self.policy: _Policy | None = None
        self.changes: list[Any] = []
        """As many as an operator makes."""
        self.gathering = 0
        """The first number of the draw to come; 0 without one."""
        self.draws: list[Any] = []
        self.drawn: list[tuple[int, int, dict[int, int], dict[int, int]]] = []
        """First and last, number to place and place to number, of draws not admitted yet."""
        self.window = _SlidingWindow(REMEMBERED_MS, REMEMBERED_MS)
        self.most_in_interval = 0

    def place(self, number: int) -> int:
        """The number's place in the order of admission, drawn or as given."""
        for first, last, places, _ in self.drawn:
            if first <= number <= last:
                return places[number]
        return number

    def number(self, place: int) -> int:
        """The number at a place."""
        for first, last, _, numbers in self.drawn:
            if first <= place <= last:
                return numbers[place]
        return place

    def waiting(self, first: int, last: int) -> int:
        """How many wait, or waited until the admission looked at, at these places."""
        if not self.drawn:
            return sum(map(bool, self.users[first : last + 1]))
        return sum(bool(self.users[self.number(place)]) for place in range(first, last + 1))


class QueueBook:
    """The queues of one shard, or only one queue."""

    def __init__(self, found: Findings, check: str = "") -> None:
        """With ``check`` all is reported under it, else under each of :data:`ASPECTS`."""
        self._found, self._check = found, check
        self.queues: defaultdict[str, QueueFacts] = defaultdict(QueueFacts)

    def readers(self) -> Readers:
        """For queues."""
        numbers = {"numbers": tuple[int, ...]}
        return dict(
            (
                read("Joined", self._join, "user", "number"),
                read("Admitted", self._admit, "", "first last count at_ms until_ms"),
                read("Entered", self._enter, "user", "number at_ms until_ms"),
                read("Left", self._leave, "user", "number"),
                read("WentSilent", self._go_silent, **numbers),
                read("TokenUsed", self._use, "user", "number"),
                read("TokensExpired", self._expire, **numbers),
                read("PolicyChanged", self._rule, policy=_Policy, who=str, at_ms=int),
                read("Drawn", self._draw, "seed", "first last at_ms"),
            )
        )

    def adopt(self, other: QueueBook, entity: str) -> None:
        """Go on with a queue as another book knows it."""
        if queue := other.queues.get(entity):
            self.queues[entity] = queue

    def forget(self, entity: str) -> None:
        """Drop a queue."""
        self.queues.pop(entity, None)

    def _report(self, aspect: str, message: str) -> None:
        if self._check:
            self._found.report(self._check, f"{aspect}: {message}")
        else:
            self._found.report(aspect, message)

    def _join(self, entity: str, event: Any, at_ms: int) -> None:
        queue = self.queues[entity]
        self._found.checked[self._check or "order"] += 1
        if not queue.last < event.number <= queue.last + GAP_MAX:
            self._report("order", f"number {event.number} given after number {queue.last}")
            return
        missing = event.number - queue.last - 1
        queue.users.extend([0] * missing)
        queue.users.append(_mark(event.user))
        queue.joined_ms.extend([at_ms] * (missing + 1))
        queue.last = event.number

    def _leave(self, entity: str, event: Any, at_ms: int) -> None:
        self.queues[entity].left += 1
        self._end(entity, event.number, event.user, "left")

    def _go_silent(self, entity: str, event: Any, at_ms: int) -> None:
        self.queues[entity].silent += len(event.numbers)
        for number in event.numbers:
            self._end(entity, number, None, "went silent")

    def _use(self, entity: str, event: Any, at_ms: int) -> None:
        queue = self.queues[entity]
        queue.used += 1
        if 0 < event.number <= queue.last and queue.place(event.number) > queue.watermark:
            self._report("order", f"number {event.number} used before admitted")
        self._end(entity, event.number, event.user, "used")

    def _expire(self, entity: str, event: Any, at_ms: int) -> None:
        queue = self.queues[entity]
        queue.expired += len(event.numbers)
        for number in event.numbers:
            if queue.place(number) > queue.watermark:
                self._report("order", f"number {number} expired before it was admitted")
            self._end(entity, number, None, "expired")

    def _end(self, entity: str, number: int, user: str | None, how: str) -> None:
        """A number ends once, and for the user who got it."""
        queue = self.queues[entity]
        mark = queue.users[number] if 0 < number <= queue.last else 0
        if not mark:
            self._report("order", f"number {number} {how}, but it is not open")
            return
        if user is not None and mark != _mark(user):
            self._report("order", f"number {number} {how} for {user}, who has another")
        queue.users[number] = 0
        if queue.place(number) <= queue.watermark:
            queue.inside -= 1

    def _admit(self, entity: str, event: Any, at_ms: int) -> None:
        queue = self.queues[entity]
        count = self._let_in(queue, event.first, event.last, event)
        if count is not None and count != event.count:
            told = f"{event.count} admitted of {event.first} to {event.last}"
            self._report("order", f"{told}, {count} waited")

    def _enter(self, entity: str, event: Any, at_ms: int) -> None:
        """Who came in without waiting: both at once."""
        self._join(entity, event, at_ms)
        self._let_in(self.queues[entity], event.number, event.number, event)

    def _let_in(self, queue: QueueFacts, first: int, last: int, event: Any) -> int | None:
        """Admit these places; returns how many waited there, ``None`` if that cannot be."""
        if not queue.watermark < first <= last <= queue.last:
            order = f"when {queue.watermark} were admitted and {queue.last} given"
            self._report("order", f"admitted {first} to {last}, {order}")
            return None
        if queue.waiting(queue.watermark + 1, first - 1):
            self._report("order", f"admitted from {first}, but a lower place still waits")
        count = queue.waiting(first, last)
        if event.until_ms <= event.at_ms:
            self._report("order", "admitted for no time at all")
        queue.watermark = last
        queue.drawn = [drawn for drawn in queue.drawn if drawn[1] > last]
        queue.admitted += count
        queue.inside += count
        queue.most_inside = max(queue.most_inside, queue.inside)
        queue.window.add(event.at_ms, count)
        self._check_rules(queue)
        return count

    def _check_rules(self, queue: QueueFacts) -> None:
        queue.most_in_interval = max(queue.most_in_interval, queue.window.total)
        if queue.gathering:
            self._report("rules", "admitted before the opening")
        policy = queue.policy
        if policy is None:
            return
        if policy.mode == "paused":
            self._report("rules", "admitted in a pause")
        if 0 < policy.max_active < queue.inside:
            self._report("limit", f"{queue.inside} inside, the limit is {policy.max_active}")
        if 0 < policy.admit_per_interval < queue.window.total:
            message = (
                f"{queue.window.total} admitted in {policy.interval_ms} ms,"
                f" the rate is {policy.admit_per_interval}"
            )
            self._report("rate", message)

    def _rule(self, entity: str, event: Any, at_ms: int) -> None:
        queue = self.queues[entity]
        old, new = queue.policy, event.policy
        queue.policy = new
        queue.changes.append(event)
        if new.opens_ms != (old.opens_ms if old is not None else 0):
            queue.gathering = (queue.gathering or queue.last + 1) if new.opens_ms else 0
        if old is None or old.interval_ms != new.interval_ms:
            known_ms = max(REMEMBERED_MS, old.interval_ms if old is not None else 0)
            if new.interval_ms <= known_ms:
                queue.window = queue.window.resized(new.interval_ms)
            else:
                queue.window = _SlidingWindow(new.interval_ms, REMEMBERED_MS)

    def _draw(self, entity: str, event: Any, at_ms: int) -> None:
        queue = self.queues[entity]
        first, last = event.first, event.last
        opens_ms = queue.policy.opens_ms if queue.policy is not None else 0
        if not queue.gathering or first != queue.gathering or not first - 1 <= last <= queue.last:
            message = f"drawn from {first} to {last}, when numbers gathered from {queue.gathering}"
            self._report("draw", message)
            return
        queue.gathering = 0
        queue.draws.append(event)
        if event.at_ms < opens_ms:
            self._report("draw", f"drawn {opens_ms - event.at_ms} ms too early")
        if last >= first and queue.joined_ms[last] >= opens_ms:
            self._report("draw", f"number {last} came after the opening")
        for number in range(last + 1, queue.last + 1):
            if queue.joined_ms[number] >= opens_ms:
                break
            if queue.users[number]:
                self._report("draw", f"number {number} came before the opening and is left out")
        if last >= first:
            queue.drawn.append((first, last, *_places(event)))


def _places(event: Any) -> tuple[dict[int, int], dict[int, int]]:
    """The draw once more, as ``docs/explanation/queue.md`` says: ascending by eight bytes of
    SHAKE-256 over the seed, and by number."""
    numbers = range(event.first, event.last + 1)
    stream = shake_256(event.seed.encode()).digest(8 * len(numbers))
    tickets = sorted((stream[8 * k : 8 * k + 8], number) for k, number in enumerate(numbers))
    by_place = {place: number for place, (_, number) in enumerate(tickets, event.first)}
    return {number: place for place, number in by_place.items()}, by_place


def _mark(user: str) -> int:
    return hash(user) or 1
