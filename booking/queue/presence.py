"""Who is still there: when each number of a queue was last heard of.

Every instance notes who polls, listens or books at it. The queue's owner gathers the notes of all
and knows who has been silent for too long. Memory only: an owner that has just begun knows nobody,
so everybody counts as seen at that moment. Every inaccuracy here is in favour of the user.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from itertools import accumulate, pairwise

import msgspec

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


class PresenceBook:
    """When the holders of one queue's numbers last gave a sign at this instance."""

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
        for each number; empty for nobody."""
        numbers = sorted(self._fresh)
        self._fresh.clear()
        if not numbers:
            return b""
        return msgspec.msgpack.encode([after - before for before, after in pairwise([0, *numbers])])

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
    ) -> list[int]:
        """Numbers that have given no sign for longer than ``idle_ms``, ascending.

        ``awaited_since`` says of a number since when a sign is due: 0 for one that waits, the time
        of its admission for one inside, ``None`` for one that has ended. One inside counts only
        while there was none since its admission: then its user does not know of it. O(numbers not
        ended), some 5 ms for 100,000.
        """
        if now_ms - self._looked_ms > STALLED_AFTER_MS:
            self.forgive(now_ms)
        self._looked_ms = now_ms
        missing = last_number - self._first + 1 - len(self._stamps)
        if missing > 0:
            self._stamps.extend(array("I", [self._stamp(now_ms)]) * missing)
        self._fresh.clear()  # the owner reports to nobody
        if now_ms - self._since_ms <= idle_ms:
            return []
        limit = (now_ms - idle_ms - self._begun_ms) // RESOLUTION_MS
        silent = []
        for number in self._quiet(limit):
            due_ms = awaited_since(number)
            if due_ms is None:
                self._stamps[number - self._first] = _OVER
            elif due_ms == 0 or (due_ms <= now_ms - idle_ms and self._heard_ms(number) < due_ms):
                silent.append(number)
        self._trim()
        return silent

    def _quiet(self, limit: int) -> list[int]:
        """Numbers with a stamp below the limit. Most chunks have none, which one ``min`` tells."""
        stamps, quiet = self._stamps, list[int]()
        for begin in range(0, len(stamps), _CHUNK):
            chunk = stamps[begin : begin + _CHUNK]
            if min(chunk) < limit:
                first = self._first + begin
                quiet += [first + at for at, stamp in enumerate(chunk) if stamp < limit]
        return quiet

    def _heard_ms(self, number: int) -> int:
        stamped_ms = self._begun_ms + self._stamps[number - self._first] * RESOLUTION_MS
        return max(stamped_ms, self._since_ms)

    def _stamp(self, now_ms: int) -> int:
        return max(0, -(-(now_ms - self._begun_ms) // RESOLUTION_MS))

    def _trim(self) -> None:
        """Let go of the first numbers, all of which have ended."""
        over = 0
        for stamp in self._stamps:
            if stamp != _OVER:
                break
            over += 1
        if over >= _CHUNK:
            del self._stamps[:over]
            self._first += over


_REPORT = msgspec.msgpack.Decoder(list[int])
