"""Where a token stands, answered from memory: no owner is asked and no database.

The queue's owner moves a watermark; a place in the line is the distance to it, less those in
between who left. Who is inside is a number in a dictionary with the end of its time.
"""

from __future__ import annotations

import random
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Sequence
from math import ceil
from typing import assert_never

from booking.api import QueueToken, Standing, TokenError
from booking.domain.queue import (
    Admitted,
    Joined,
    Left,
    Line,
    Place,
    QueueEvent,
    TokensExpired,
    TokenUsed,
)

RATE_WINDOW_MS = 120_000
"""Admissions of the last two minutes say how fast the line moves: long enough to smooth single
departures, short enough to follow a changed limit."""

RATE_BASIS_MS = 10_000
"""With less than this to look back on there is no basis for an estimate."""

POLL_NEAR_MS = 1_000
POLL_PER_PLACE_MS = 10
POLL_FAR_MS = 30_000
"""A poll each second at the front, one in 30 s from place 2,900 on: 100,000 waiting users are then
3,400 polls a second, and nobody looks absent to a limit of 60 s."""

POLL_INSIDE_MS = 10_000
POLL_JITTER = 0.2
"""Spread of the hint, so that those told the same do not come back together."""


class QueueView:
    """One queue as this instance knows it."""

    def __init__(self, name: str, draw: Callable[[], float] = random.random) -> None:
        self.name = name
        self.version = 0
        """Grows with every change of what is told of any token."""
        self._draw = draw
        self._last_number = 0
        self._watermark = 0
        self._left: list[int] = []
        """Numbers beyond the watermark that left, ascending."""
        self._active: dict[int, int] = {}
        """Number inside, to the end of its time."""
        self._admissions: deque[tuple[int, int]] = deque()
        """``(at_ms, count)`` of the last two minutes."""
        self._admitted = 0
        """The sum of those counts."""

    # -- keeping ----------------------------------------------------------------------------------

    def reset(self, line: Line) -> None:
        """Start again from the owner's state."""
        self.version += 1
        self._last_number = line.last_number
        self._watermark = line.watermark
        self._left = sorted(line.left_numbers())
        self._active = dict(line.active_numbers())

    def apply(self, events: Sequence[QueueEvent]) -> None:
        """Take in events that are in the journal, in their order."""
        self.version += 1
        for event in events:
            match event:
                case Joined():
                    self._last_number = event.number
                case Admitted():
                    self._admit(event)
                case Left():
                    if self._active.pop(event.number, None) is None:
                        insort(self._left, event.number)
                case TokenUsed():
                    self._active.pop(event.number, None)
                case TokensExpired():
                    for number in event.numbers:
                        self._active.pop(number, None)
                case _ as never:
                    assert_never(never)

    def _admit(self, event: Admitted) -> None:
        passed = bisect_left(self._left, event.last + 1)
        skipped = set(self._left[:passed])
        for number in range(event.first, event.last + 1):
            if number not in skipped:
                self._active[number] = event.until_ms
        del self._left[:passed]
        self._watermark = event.last
        self._admissions.append((event.at_ms, event.count))
        self._admitted += event.count
        self._forget_admissions(event.at_ms - RATE_WINDOW_MS)

    def _forget_admissions(self, before_ms: int) -> None:
        while self._admissions and self._admissions[0][0] < before_ms:
            self._admitted -= self._admissions.popleft()[1]

    # -- answering --------------------------------------------------------------------------------

    @property
    def last_number(self) -> int:
        """The last one that was given, as far as is known here."""
        return self._last_number

    @property
    def waiting(self) -> int:
        return self._last_number - self._watermark - len(self._left)

    @property
    def active(self) -> int:
        return len(self._active)

    def is_active(self, token: QueueToken, now_ms: int) -> bool:
        return self._active.get(token.number, 0) > now_ms

    def standing(self, token: QueueToken, text: str, now_ms: int) -> Standing:
        """Where the token stands; :class:`TokenError` if it has ended or was never given."""
        number = token.number
        if number > self._last_number:
            raise TokenError("token_invalid")
        if number <= self._watermark:
            until_ms = self._active.get(number, 0)
            if until_ms <= now_ms:
                raise TokenError("token_expired")
            return self._inside(token.user, number, until_ms, text)
        gone = bisect_left(self._left, number)
        if gone < len(self._left) and self._left[gone] == number:
            raise TokenError("token_expired")
        return self._waiting(token.user, number, number - self._watermark - 1 - gone, text, now_ms)

    def standing_of(self, place: Place, text: str, now_ms: int) -> Standing:
        """The same from the owner's own answer to a join."""
        if place.until_ms:
            return self._inside(place.user, place.number, place.until_ms, text)
        return self._waiting(place.user, place.number, place.ahead, text, now_ms)

    def _inside(self, user: str, number: int, until_ms: int, text: str) -> Standing:
        poll_ms = self._jittered(POLL_INSIDE_MS)
        return Standing(text, user, number, True, 0, 0, 0, True, poll_ms, until_ms)

    def _waiting(self, user: str, number: int, ahead: int, text: str, now_ms: int) -> Standing:
        eta_s = self._eta_s(ahead, now_ms)
        poll_ms = self._jittered(min(POLL_NEAR_MS + ahead * POLL_PER_PLACE_MS, POLL_FAR_MS))
        return Standing(
            text, user, number, False, ahead + 1, ahead, eta_s or 0, eta_s is not None, poll_ms, 0
        )

    def _eta_s(self, ahead: int, now_ms: int) -> int | None:
        """Seconds until this place is admitted at the rate of the last minutes, if there is one."""
        self._forget_admissions(now_ms - RATE_WINDOW_MS)
        if not self._admitted:
            return None
        looked_back_ms = now_ms - self._admissions[0][0]
        if looked_back_ms < RATE_BASIS_MS:
            return None
        return ceil((ahead + 1) * looked_back_ms / self._admitted / 1000)

    def _jittered(self, base_ms: int) -> int:
        return int(base_ms * (1 - POLL_JITTER / 2 + POLL_JITTER * self._draw()))
