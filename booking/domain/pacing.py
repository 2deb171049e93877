"""How fast a queue admits: never more than so many in any sliding minute, and evenly within it.

Two rules hold at the same time:

- *window*: the admissions of the last 60 s, remembered one by one, are never more than the rate;
- *pace*: each admission moves an ideal time on by a minute over the rate, and nobody comes in
  before it. Whoever is late for it (a timer, a slow moment) may catch up a little, not more.
  This is the generic cell rate algorithm of ATM networks (ITU-T I.371) in microseconds.
"""

from __future__ import annotations

import msgspec

WINDOW_MS = 60_000

CATCH_UP_US = 250_000
"""A quarter of a second may be made up for: many times what a timer is late on a busy machine, and
at 6,000 a minute a burst of 26."""

WAKE_STEP_MS = 100
"""The timer comes at most ten times a second for a fast rate and admits some at a time: each time
is a row in the journal. Less than :data:`CATCH_UP_US`, so nobody is lost by it."""

_UNPACED_STEP_MS = 1_000
_ENTRIES_MAX = 600
"""Admissions are remembered one by one up to a rate of so many; a faster rate is remembered by
tenths of a second, and none at all by seconds, so that a rate set later knows the last minute. An
admission then counts as made at the end of its step, which errs on the side of too few."""


class Pace(msgspec.Struct, frozen=True):
    """What has to be known of the past."""

    recent: tuple[tuple[int, int], ...] = ()
    """``(at_ms, count)`` by time, at least those of the last minute."""
    count: int = 0
    """The sum over ``recent``."""
    rate: int = 0
    """The rate in force at the last admission; 0 for none."""
    paced_us: int = 0
    """With a rate: the ideal time of the next admission."""
    last_ms: int = 0
    """The last admission; 0 before the first."""


def permitted(pace: Pace, rate: int, now_ms: int) -> int | None:
    """How many may be admitted at ``now_ms``; ``None`` for as many as there is room for."""
    if rate == 0:
        return None
    now_us = now_ms * 1000
    by_pace = (now_us - _start_us(pace, rate, now_us)) // _spacing_us(rate) + 1
    by_window = rate - (pace.count - _older(pace, now_ms - WINDOW_MS))
    return max(0, min(by_pace, by_window))


def next_permitted_ms(pace: Pace, rate: int) -> int:
    """When a timer should admit somebody: the first millisecond at which it may or, with a fast
    rate, :data:`WAKE_STEP_MS` after the last admission; 0 if any time will do."""
    if rate == 0:
        return 0
    by_pace_ms = -(-_ideal_us(pace, rate) // 1000)
    if _spacing_us(rate) < WAKE_STEP_MS * 1000:
        by_pace_ms = max(by_pace_ms, pace.last_ms + WAKE_STEP_MS)
    excess = pace.count - rate + 1
    if excess <= 0:
        return by_pace_ms
    for at_ms, count in pace.recent:
        excess -= count
        if excess <= 0:
            return max(by_pace_ms, at_ms + WINDOW_MS)
    raise AssertionError("a rate is positive, so some admissions have to fall out of the window")


def paced_after(pace: Pace, rate: int, now_ms: int, count: int) -> int:
    """The ideal time of the next admission, in us, once ``count`` have been admitted now."""
    if rate == 0:
        return 0
    return _start_us(pace, rate, now_ms * 1000) + count * _spacing_us(rate)


def admitted(pace: Pace, at_ms: int, count: int, rate: int, paced_us: int) -> Pace:
    """The pace after an admission, without what has fallen out of the window."""
    recent, total, gone = pace.recent, pace.count, 0
    while gone < len(recent) and recent[gone][0] <= at_ms - WINDOW_MS:
        total -= recent[gone][1]
        gone += 1
    step_ms = _step_ms(rate)
    key_ms = at_ms if step_ms == 1 else (at_ms // step_ms + 1) * step_ms
    last_ms, last_count = recent[-1] if gone < len(recent) else (0, 0)
    if key_ms > last_ms:
        recent = (*recent[gone:], (key_ms, count))
    else:
        recent = (*recent[gone:-1], (last_ms, last_count + count))
    return Pace(recent, total + count, rate, paced_us, at_ms)


def _step_ms(rate: int) -> int:
    if rate == 0:
        return _UNPACED_STEP_MS
    return 1 if rate <= _ENTRIES_MAX else WINDOW_MS // _ENTRIES_MAX


def _spacing_us(rate: int) -> int:
    return -(-WINDOW_MS * 1000 // rate)


def _ideal_us(pace: Pace, rate: int) -> int:
    """A rate that has just been set starts its even steps at the last admission."""
    if pace.rate == rate:
        return pace.paced_us
    return pace.last_ms * 1000 + _spacing_us(rate) if pace.last_ms else 0


def _start_us(pace: Pace, rate: int, now_us: int) -> int:
    """The ideal time that counts now: a little late it stands, so that lateness does not add up;
    after a longer silence as many steps may be made up for as fit into the time for it."""
    ideal_us = _ideal_us(pace, rate)
    if ideal_us >= now_us - CATCH_UP_US:
        return ideal_us
    spacing_us = _spacing_us(rate)
    return now_us - CATCH_UP_US // spacing_us * spacing_us


def _older(pace: Pace, limit_ms: int) -> int:
    """How many of the remembered admissions are not after ``limit_ms``."""
    older = 0
    for at_ms, count in pace.recent:
        if at_ms > limit_ms:
            break
        older += count
    return older
