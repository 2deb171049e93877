"""How fast a queue admits: never more than so many in any sliding interval, and evenly within it.

Two rules hold at the same time:

- *window*: the admissions of the last interval, remembered, are never more than the rate;
- *pace*: each admission moves an ideal time on by the interval over the rate, and nobody comes in
  before it. Whoever is late for it (a timer, a slow moment) may catch up a little, not more.
  This is the generic cell rate algorithm of ATM networks (ITU-T I.371) in microseconds.

A rate of 0 means that there is none. After a silence the even steps begin anew: nobody may come in
for the time when nobody waited.
"""

import msgspec

REMEMBERED_MS = 60_000
"""Admissions are remembered for a minute, or for the interval in force if that is longer, so that
a rate set while the queue runs knows what was before."""

CATCH_UP_US = 250_000
"""A quarter of a second may be made up for: many times what a timer is late on a busy machine."""

WAKE_STEP_MS = 25
"""A fast rate admits on a grid of 40 moments a second, some at a time: each time is a row in the
journal. A timer that is late moves a step into the next second now and then, which is 2.5 % of a
second's count."""

ENTRIES_MAX = 2_400
"""Entries an interval is remembered by, as many as a minute has steps. Admissions within one step
are one entry that counts as made at the last of them, which errs on the side of too few."""

FUTURE_MAX_MS = 1_000
"""An admission later than now by more was made by a clock that was wrong: it is forgotten, or
nobody would be let in until that time has come."""

_UNPACED_STEP_MS = 1_000
"""Without a rate a second is one entry: a step of somebody who comes in at once is no grid."""

_CHUNK_MAX = 64
"""Entries that an admission copies: near the square root of :data:`ENTRIES_MAX`."""

Entry = tuple[int, int]
"""``(at_ms, count)``."""


class Pace(msgspec.Struct, frozen=True, gc=False):
    """The admissions of the last interval, and the ideal time of the next."""

    recent: tuple[tuple[Entry, ...], ...] = ()
    """Entries by time, in chunks, at least those of the last interval."""
    count: int = 0
    """The sum over ``recent``."""
    rate: int = 0
    """The rate in force at the last admission; 0 for none."""
    interval_ms: int = REMEMBERED_MS
    """The interval in force at the last admission."""
    paced_us: int = 0
    """With a rate: the ideal time of the next admission."""
    last_ms: int = 0
    """The last admission; 0 before the first."""

    def entries(self) -> list[Entry]:
        """What is remembered, by time."""
        return [entry for chunk in self.recent for entry in chunk]


def pace_from(
    entries: list[Entry], rate: int, interval_ms: int, paced_us: int, last_ms: int
) -> Pace:
    """The pace that remembers these entries."""
    chunks = tuple(
        tuple(entries[at : at + _CHUNK_MAX]) for at in range(0, len(entries), _CHUNK_MAX)
    )
    return Pace(chunks, sum(n for _, n in entries), rate, interval_ms, paced_us, last_ms)


def permitted(pace: Pace, rate: int, interval_ms: int, now_ms: int) -> int | None:
    """How many may be admitted at ``now_ms``; ``None`` for as many as there is room for."""
    if rate == 0:
        return None
    pace = _believed(pace, now_ms)
    spacing_us = _spacing_us(rate, interval_ms)
    if now_ms < _step_ends_ms(pace, spacing_us):
        return 0
    now_us = now_ms * 1000
    by_pace = (now_us - _start_us(pace, rate, interval_ms, now_us)) // spacing_us + 1
    by_window = rate - (pace.count - _older(pace, now_ms - interval_ms))
    return max(0, min(by_pace, by_window))


def next_permitted_ms(pace: Pace, rate: int, interval_ms: int) -> int:
    """The first millisecond at which a timer may admit somebody; 0 if any time will do."""
    if rate == 0:
        return 0
    ideal_ms = -(-_ideal_us(pace, rate, interval_ms) // 1000)
    at_ms = max(ideal_ms, _step_ends_ms(pace, _spacing_us(rate, interval_ms)))
    excess = pace.count - rate + 1
    if excess <= 0:
        return at_ms
    for chunk in pace.recent:
        for entry_ms, count in chunk:
            excess -= count
            if excess <= 0:
                return max(at_ms, entry_ms + interval_ms)
    raise AssertionError("a rate is positive, so some admissions have to fall out of the window")


def paced_after(pace: Pace, rate: int, interval_ms: int, now_ms: int, count: int) -> int:
    """The ideal time of the next admission, in us, once ``count`` have been admitted now."""
    if rate == 0:
        return 0
    pace = _believed(pace, now_ms)
    start_us = _start_us(pace, rate, interval_ms, now_ms * 1000)
    return start_us + count * _spacing_us(rate, interval_ms)


def admitted(
    pace: Pace, at_ms: int, count: int, rate: int, interval_ms: int, paced_us: int
) -> Pace:
    """The pace after an admission, without what nobody has to know any more."""
    pace = _believed(pace, at_ms)
    chunks, total = pace.recent, pace.count
    limit_ms = at_ms - max(interval_ms, REMEMBERED_MS)
    while chunks and chunks[0][0][0] <= limit_ms:
        gone = 0
        for entry_ms, entry_count in chunks[0]:
            if entry_ms > limit_ms:
                break
            gone += 1
            total -= entry_count
        rest = chunks[0][gone:]
        chunks = (rest, *chunks[1:]) if rest else chunks[1:]
    chunks = _appended(chunks, at_ms, count, _step_ms(rate, interval_ms))
    return Pace(chunks, total + count, rate, interval_ms, paced_us, at_ms)


def _believed(pace: Pace, now_ms: int) -> Pace:
    """The pace, or none if it is from the future."""
    return pace if pace.last_ms <= now_ms + FUTURE_MAX_MS else Pace()


def _appended(
    chunks: tuple[tuple[Entry, ...], ...], at_ms: int, count: int, step_ms: int
) -> tuple[tuple[Entry, ...], ...]:
    if not chunks:
        return (((at_ms, count),),)
    last = chunks[-1]
    last_ms, last_count = last[-1]
    if last_ms // step_ms == at_ms // step_ms:
        return (*chunks[:-1], (*last[:-1], (at_ms, last_count + count)))
    if len(last) < _CHUNK_MAX:
        return (*chunks[:-1], (*last, (at_ms, count)))
    return (*chunks, ((at_ms, count),))


def _step_ms(rate: int, interval_ms: int) -> int:
    if rate == 0:
        return _UNPACED_STEP_MS
    return max(1, interval_ms // ENTRIES_MAX)


def _step_ends_ms(pace: Pace, spacing_us: int) -> int:
    """The first moment after the last admission that is on the grid of a fast rate; 0 for a slow
    one, which has no grid."""
    if spacing_us >= WAKE_STEP_MS * 1000:
        return 0
    return (pace.last_ms // WAKE_STEP_MS + 1) * WAKE_STEP_MS


def _spacing_us(rate: int, interval_ms: int) -> int:
    return -(-interval_ms * 1000 // rate)


def _ideal_us(pace: Pace, rate: int, interval_ms: int) -> int:
    """A rate that has just been set starts its even steps at the last admission."""
    if pace.rate == rate and pace.interval_ms == interval_ms:
        return pace.paced_us
    return pace.last_ms * 1000 + _spacing_us(rate, interval_ms) if pace.last_ms else 0


def _start_us(pace: Pace, rate: int, interval_ms: int, now_us: int) -> int:
    """The ideal time that counts now: a little late it stands, so that lateness does not add up;
    after a longer silence the steps begin now."""
    ideal_us = _ideal_us(pace, rate, interval_ms)
    return ideal_us if ideal_us >= now_us - CATCH_UP_US else now_us


def _older(pace: Pace, limit_ms: int) -> int:
    """How many of the remembered admissions are not after ``limit_ms``."""
    older = 0
    for chunk in pace.recent:
        for at_ms, count in chunk:
            if at_ms > limit_ms:
                return older
            older += count
    return older
