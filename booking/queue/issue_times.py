"""When each number of a queue was given, as one instance knows it.

A number is not enough to know a place by: after a restore, or a fail-over that lost rows, it is
given a second time. Number and time together are given once.
"""

from __future__ import annotations

from array import array

from booking.queue.domain.line import Line
from booking.queue.domain.members import Page, members_in

READ_AT_ONCE = 4
"""Pages of a line that are read while the caller waits: some milliseconds."""
READ_A_CALL = 1
"""Of a longer line, with each later call: in a line of 1,000,000 those are thousands a second."""
TRIM_MIN = 4_096


class IssueTimes:
    """Times of issue by number, at eight bytes for each since the first that has not ended."""

    def __init__(self) -> None:
        self._first = 1
        self._times = array("q")
        self._unread: list[Page] = []
        self._trim_at = TRIM_MIN

    def reset(self, line: Line, first: int) -> None:
        """Begin anew from a line whose lowest number is not below ``first``."""
        self._first = first
        self._times = array("q", bytes(8 * (line.last_number + 1 - first)))
        self._unread = list(line.members.pages().values())
        self._read(READ_AT_ONCE)

    def _read(self, count: int) -> None:
        times, first = self._times, self._first
        for page in self._unread[-count:]:
            for member in members_in(page):
                if member.number >= first:
                    times[member.number - first] = member.joined_ms
        del self._unread[-count:]

    def add(self, number: int, at_ms: int) -> None:
        """The next number was given."""
        assert number == self._first + len(self._times), number
        self._times.append(at_ms)
        if self._unread:
            self._read(READ_A_CALL)

    def match(self, number: int, issued_ms: int) -> bool:
        """Whether the number was given then. False for one that had ended before this instance
        knew of it; until a long line is read, true for what may be."""
        if self._unread:
            self._read(READ_A_CALL)
        at = number - self._first
        given_ms = self._times[at] if 0 <= at < len(self._times) else 0
        return given_ms == issued_ms or (given_ms == 0 and bool(self._unread))

    @property
    def long(self) -> bool:
        """Whether it has grown so far that it is worth a look at how much can be forgotten."""
        return len(self._times) > self._trim_at

    def trim(self, first: int) -> None:
        """Forget numbers below ``first``, all of which have ended."""
        if first > self._first:
            del self._times[: first - self._first]
            self._first = first
        self._trim_at = TRIM_MIN + 2 * len(self._times)
