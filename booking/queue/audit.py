"""Waiting queues: I5 over one shard, from the events alone.

Order, limit, rate, draws and rules are recomputed here without the code that decides. Journals of
before rules were written into them have no limit and no rate to check until the first rules come.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from hashlib import shake_256

from booking.audit import events as e
from booking.audit.sliding import Sliding

GAP_MAX = 1_000_000
"""A number further than this beyond the last one is taken for damage and not followed: the book
keeps eight bytes for each number."""

REMEMBERED_MS = 60_000
"""A rate that an operator sets holds at once for what was admitted within the last minute, and for
longer intervals from that moment on."""

Report = Callable[[str, str, int, str], None]
"""Takes one of :data:`ASPECTS`, what is wrong, seq and entity."""

ASPECTS = {
    "order": "numbers given once, ascending; admitted in order among those still there",
    "limit": "never more inside than the limit in force",
    "rate": "never more admitted in any interval than the rate in force",
    "draw": "places of an opening are those of its seed, of all who came before it",
    "rules": "nobody admitted in a pause or before an opening",
}


class QueueFacts:
    """What the journal says of one queue."""

    def __init__(self) -> None:
        self.last = self.watermark = 0
        self.users = array("q", [0])
        """By number: hash of the user it was given to; 0 when not given, or ended."""
        self.joined_ms = array("q", [0])
        self.inside = self.most_inside = 0
        self.admitted = self.left = self.silent = self.used = self.expired = 0
        self.policy: e.Policy | None = None
        self.changes: list[e.PolicyChanged] = []
        """As many as an operator makes."""
        self.gathering = 0
        """The first number of the draw to come; 0 without one."""
        self.draws: list[e.Drawn] = []
        self.drawn: list[tuple[int, int, dict[int, int], dict[int, int]]] = []
        """First and last, number to place and place to number, of draws not admitted yet."""
        self.window = Sliding(REMEMBERED_MS, REMEMBERED_MS)
        self.most_in_interval = 0

    def place(self, number: int) -> int:
        for first, last, places, _ in self.drawn:
            if first <= number <= last:
                return places[number]
        return number

    def number(self, place: int) -> int:
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

    def __init__(self, report: Report, count: Callable[[], None]) -> None:
        """``count`` is called for each number."""
        self._report = report
        self._count = count
        self.queues: dict[str, QueueFacts] = {}

    # -- numbers ----------------------------------------------------------------------------------

    def joined(self, entity: str, event: e.Joined, seq: int, at_ms: int) -> None:
        queue = self._queue(entity)
        self._count()
        if not queue.last < event.number <= queue.last + GAP_MAX:
            message = f"number {event.number} given after number {queue.last}"
            self._report("order", message, seq, entity)
            return
        missing = event.number - queue.last - 1
        queue.users.extend([0] * missing)
        queue.users.append(_mark(event.user))
        queue.joined_ms.extend([at_ms] * (missing + 1))
        queue.last = event.number

    def left(self, entity: str, event: e.Left, seq: int, at_ms: int) -> None:
        self._queue(entity).left += 1
        self._end(entity, event.number, event.user, seq, "left")

    def silent(self, entity: str, event: e.WentSilent, seq: int, at_ms: int) -> None:
        self._queue(entity).silent += len(event.numbers)
        for number in event.numbers:
            self._end(entity, number, None, seq, "went silent")

    def used(self, entity: str, event: e.TokenUsed, seq: int, at_ms: int) -> None:
        queue = self._queue(entity)
        queue.used += 1
        if 0 < event.number <= queue.last and queue.place(event.number) > queue.watermark:
            self._report("order", f"number {event.number} used before admitted", seq, entity)
        self._end(entity, event.number, event.user, seq, "used")

    def expired(self, entity: str, event: e.TokensExpired, seq: int, at_ms: int) -> None:
        queue = self._queue(entity)
        queue.expired += len(event.numbers)
        for number in event.numbers:
            if queue.place(number) > queue.watermark:
                message = f"number {number} expired before it was admitted"
                self._report("order", message, seq, entity)
            self._end(entity, number, None, seq, "expired")

    def _end(self, entity: str, number: int, user: str | None, seq: int, how: str) -> None:
        """A number ends once, and for the user who got it."""
        queue = self._queue(entity)
        mark = queue.users[number] if 0 < number <= queue.last else 0
        if not mark:
            self._report("order", f"number {number} {how}, but it is not open", seq, entity)
            return
        if user is not None and mark != _mark(user):
            message = f"number {number} {how} for {user}, who has another"
            self._report("order", message, seq, entity)
        queue.users[number] = 0
        if queue.place(number) <= queue.watermark:
            queue.inside -= 1

    # -- admissions -------------------------------------------------------------------------------

    def admitted(self, entity: str, event: e.Admitted, seq: int, at_ms: int) -> None:
        queue = self._queue(entity)
        if not queue.watermark < event.first <= event.last <= queue.last:
            message = (
                f"admitted {event.first} to {event.last}, when {queue.watermark} were admitted"
                f" and {queue.last} given"
            )
            self._report("order", message, seq, entity)
            return
        if queue.waiting(queue.watermark + 1, event.first - 1):
            message = f"admitted from {event.first}, but a lower place still waits"
            self._report("order", message, seq, entity)
        count = queue.waiting(event.first, event.last)
        if count != event.count:
            message = f"{event.count} admitted of {event.first} to {event.last}, {count} waited"
            self._report("order", message, seq, entity)
        if event.until_ms <= event.at_ms:
            self._report("order", "admitted for no time at all", seq, entity)
        queue.watermark = event.last
        queue.drawn = [drawn for drawn in queue.drawn if drawn[1] > event.last]
        queue.admitted += count
        queue.inside += count
        queue.most_inside = max(queue.most_inside, queue.inside)
        queue.window.add(event.at_ms, count)
        self._check_rules(entity, queue, event, seq)

    def entered(self, entity: str, event: e.Entered, seq: int, at_ms: int) -> None:
        """Who came in without waiting: both at once."""
        number = event.number
        self.joined(entity, e.Joined(event.user, number), seq, at_ms)
        admitted = e.Admitted(number, number, 1, event.at_ms, event.until_ms)
        self.admitted(entity, admitted, seq, at_ms)

    def _check_rules(self, entity: str, queue: QueueFacts, event: e.Admitted, seq: int) -> None:
        queue.most_in_interval = max(queue.most_in_interval, queue.window.total)
        if queue.gathering:
            self._report("rules", "admitted before the opening", seq, entity)
        policy = queue.policy
        if policy is None:
            return
        if policy.mode == "paused":
            self._report("rules", "admitted in a pause", seq, entity)
        if 0 < policy.max_active < queue.inside:
            message = f"{queue.inside} inside, the limit is {policy.max_active}"
            self._report("limit", message, seq, entity)
        if 0 < policy.admit_per_interval < queue.window.total:
            message = (
                f"{queue.window.total} admitted in {policy.interval_ms} ms,"
                f" the rate is {policy.admit_per_interval}"
            )
            self._report("rate", message, seq, entity)

    # -- rules and draws --------------------------------------------------------------------------

    def ruled(self, entity: str, event: e.PolicyChanged, seq: int, at_ms: int) -> None:
        queue = self._queue(entity)
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
                queue.window = Sliding(new.interval_ms, REMEMBERED_MS)

    def drawn(self, entity: str, event: e.Drawn, seq: int, at_ms: int) -> None:
        queue = self._queue(entity)
        first, last = event.first, event.last
        opens_ms = queue.policy.opens_ms if queue.policy is not None else 0
        if not queue.gathering or first != queue.gathering or not first - 1 <= last <= queue.last:
            message = f"drawn from {first} to {last}, when numbers gathered from {queue.gathering}"
            self._report("draw", message, seq, entity)
            return
        queue.gathering = 0
        queue.draws.append(event)
        if event.at_ms < opens_ms:
            self._report("draw", f"drawn {opens_ms - event.at_ms} ms too early", seq, entity)
        if last >= first and queue.joined_ms[last] >= opens_ms:
            self._report("draw", f"number {last} came after the opening", seq, entity)
        for number in range(last + 1, queue.last + 1):
            if queue.joined_ms[number] >= opens_ms:
                break
            if queue.users[number]:
                message = f"number {number} came before the opening and is left out"
                self._report("draw", message, seq, entity)
        if last >= first:
            queue.drawn.append((first, last, *_places(event)))

    def close(self) -> None:
        """All rows have been seen. Who still waits or is inside may."""

    def _queue(self, entity: str) -> QueueFacts:
        queue = self.queues.get(entity)
        if queue is None:
            queue = self.queues[entity] = QueueFacts()
        return queue


def _places(event: e.Drawn) -> tuple[dict[int, int], dict[int, int]]:
    """The draw once more, as ``docs/explanation/queue.md`` says: ascending by eight bytes of
    SHAKE-256 over the seed, and by number."""
    numbers = range(event.first, event.last + 1)
    stream = shake_256(event.seed.encode()).digest(8 * len(numbers))
    tickets = sorted((stream[8 * k : 8 * k + 8], number) for k, number in enumerate(numbers))
    by_place = {place: number for place, (_, number) in enumerate(tickets, event.first)}
    return {number: place for place, number in by_place.items()}, by_place


def _mark(user: str) -> int:
    return hash(user) or 1
