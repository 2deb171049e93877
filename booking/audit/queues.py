"""Waiting queues: the simple part of I5 (order and uniqueness) over one shard.

How many may be inside is a policy that changes while the service runs and is not in the journal,
so the limit itself is not checked here.
"""

from __future__ import annotations

from array import array

from booking.audit import events as e
from booking.audit.report import Findings

GAP_MAX = 1_000_000
"""A number further than this beyond the last one is taken for damage and not followed: the book
keeps eight bytes for each number."""


class _Queue:
    __slots__ = ("last", "users", "watermark")

    def __init__(self) -> None:
        self.last = self.watermark = 0
        self.users = array("q", [0])
        """By number: hash of the user it was given to; 0 when not given, or ended."""


class QueueBook:
    """The queues of one shard."""

    def __init__(self, shard: int, found: Findings) -> None:
        self._shard, self._found = shard, found
        self._queues: dict[str, _Queue] = {}

    def joined(self, entity: str, event: e.Joined, seq: int, at_ms: int) -> None:
        queue = self._queue(entity)
        self._found.checked["I5"] += 1
        if not queue.last < event.number <= queue.last + GAP_MAX:
            message = f"number {event.number} given after number {queue.last}"
            self._wrong(message, seq, entity)
            return
        queue.users.extend([0] * (event.number - queue.last - 1))
        queue.users.append(_mark(event.user))
        queue.last = event.number

    def admitted(self, entity: str, event: e.Admitted, seq: int, at_ms: int) -> None:
        queue = self._queue(entity)
        if not queue.watermark < event.first <= event.last <= queue.last:
            message = (
                f"admitted {event.first} to {event.last}, when {queue.watermark} were admitted"
                f" and {queue.last} given"
            )
            self._wrong(message, seq, entity)
            return
        if any(queue.users[queue.watermark + 1 : event.first]):
            message = f"admitted from {event.first}, but a lower number still waits"
            self._wrong(message, seq, entity)
        count = sum(map(bool, queue.users[event.first : event.last + 1]))
        if count != event.count:
            message = f"{event.count} admitted of {event.first} to {event.last}, {count} waited"
            self._wrong(message, seq, entity)
        if event.until_ms <= event.at_ms:
            self._wrong("admitted for no time at all", seq, entity)
        queue.watermark = event.last

    def left(self, entity: str, event: e.Left, seq: int, at_ms: int) -> None:
        self._end(entity, event.number, event.user, seq, "left")

    def used(self, entity: str, event: e.TokenUsed, seq: int, at_ms: int) -> None:
        self._end(entity, event.number, event.user, seq, "used")

    def expired(self, entity: str, event: e.TokensExpired, seq: int, at_ms: int) -> None:
        watermark = self._queue(entity).watermark
        for number in event.numbers:
            if number > watermark:
                self._wrong(f"number {number} expired before it was admitted", seq, entity)
            self._end(entity, number, None, seq, "expired")

    def close(self) -> None:
        """All rows of the shard have been seen. Who still waits or is inside may."""

    def _end(self, entity: str, number: int, user: str | None, seq: int, how: str) -> None:
        """A number ends once, and for the user who got it."""
        queue = self._queue(entity)
        mark = queue.users[number] if 0 < number <= queue.last else 0
        if not mark:
            self._wrong(f"number {number} {how}, but it is not open", seq, entity)
            return
        if user is not None and mark != _mark(user):
            self._wrong(f"number {number} {how} for {user}, who has another", seq, entity)
        queue.users[number] = 0

    def _queue(self, entity: str) -> _Queue:
        queue = self._queues.get(entity)
        if queue is None:
            queue = self._queues[entity] = _Queue()
        return queue

    def _wrong(self, message: str, seq: int, entity: str) -> None:
        self._found.report("I5", message, self._shard, seq, entity)


def _mark(user: str) -> int:
    return hash(user) or 1
