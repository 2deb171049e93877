from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from booking.queue.domain.pacing import (
    ENTRIES_MAX,
    WAKE_STEP_MS,
    Pace,
    admitted,
    next_permitted_ms,
    pace_from,
    paced_after,
    permitted,
)
from tests.support.scenario import T0

MINUTE_MS = 60_000


class Gate:
    """Somebody always waits: whoever may come in comes in."""

    def __init__(self) -> None:
        self.pace = Pace()
        self.admissions: list[int] = []

    def open(
        self, rate: int, now_ms: int, at_most: int = 10**6, interval_ms: int = MINUTE_MS
    ) -> int:
        by_rate = permitted(self.pace, rate, interval_ms, now_ms)
        count = at_most if by_rate is None else min(by_rate, at_most)
        if count:
            paced_us = paced_after(self.pace, rate, interval_ms, now_ms, count)
            self.pace = admitted(self.pace, now_ms, count, rate, interval_ms, paced_us)
            self.admissions += [now_ms] * count
        return count

    def in_the_last(self, interval_ms: int, now_ms: int) -> int:
        return sum(at_ms > now_ms - interval_ms for at_ms in self.admissions)

    def run(self, rate: int, begin_ms: int, end_ms: int, late: list[int], interval_ms: int) -> None:
        """Woken at the times asked for, later by each of ``late`` in turn."""
        now, turn = begin_ms, 0
        while now < end_ms:
            self.open(rate, now, interval_ms=interval_ms)
            turn += 1
            wake = next_permitted_ms(self.pace, rate, interval_ms)
            now = max(wake, now) + late[turn % len(late)]


def most_in_any(interval_ms: int, times: list[int]) -> int:
    """The most of these in a sliding interval, counted the plain way."""
    most = first = 0
    for at, time in enumerate(times):
        while times[first] <= time - interval_ms:
            first += 1
        most = max(most, at - first + 1)
    return most


def test_twenty_thousand_a_minute_come_in_evenly_and_exactly() -> None:
    gate = Gate()
    gate.run(20_000, T0, T0 + 3 * MINUTE_MS, [0], MINUTE_MS)
    by_second = Counter(at_ms // 1000 for at_ms in gate.admissions)
    assert set(by_second) == {T0 // 1000 + second for second in range(180)}
    assert all(abs(count - 20_000 / 60) <= 0.05 * 20_000 / 60 for count in by_second.values())
    by_minute = Counter(at_ms // MINUTE_MS for at_ms in gate.admissions)
    assert all(abs(count - 20_000) <= 20 for count in by_minute.values())
    assert most_in_any(MINUTE_MS, gate.admissions) <= 20_000


def test_a_timer_that_is_late_by_some_milliseconds_changes_little() -> None:
    gate = Gate()
    gate.run(20_000, T0, T0 + 3 * MINUTE_MS, [0, 1, 3, 0, 2, 8, 1], MINUTE_MS)
    by_second = Counter(at_ms // 1000 for at_ms in gate.admissions)
    assert all(abs(count - 20_000 / 60) <= 0.05 * 20_000 / 60 for count in by_second.values())
    assert len(gate.admissions) >= 3 * 20_000 * 0.998
    assert most_in_any(MINUTE_MS, gate.admissions) <= 20_000


@pytest.mark.parametrize("interval_ms", [1_000, 10_000, 3_600_000])
@pytest.mark.parametrize("rate", [1, 7, 600, 15_000])
def test_a_rate_is_used_up_in_any_interval_and_never_passed(rate: int, interval_ms: int) -> None:
    gate = Gate()
    gate.run(rate, T0, T0 + 3 * interval_ms, [0], interval_ms)
    assert 0.99 * rate <= most_in_any(interval_ms, gate.admissions) <= rate
    assert len(gate.admissions) >= 3 * rate * 0.98
    assert len(gate.pace.entries()) <= 2 * ENTRIES_MAX + 1


def test_a_fast_rate_asks_for_the_grid() -> None:
    gate = Gate()
    gate.open(20_000, T0 + 3)
    assert next_permitted_ms(gate.pace, 20_000, MINUTE_MS) == T0 + WAKE_STEP_MS
    assert gate.open(20_000, T0 + WAKE_STEP_MS - 1) == 0
    assert gate.open(20_000, T0 + WAKE_STEP_MS + 40) > 1
    assert next_permitted_ms(gate.pace, 20_000, MINUTE_MS) == T0 + 3 * WAKE_STEP_MS


def test_a_late_timer_does_not_slow_the_line_down() -> None:
    gate = Gate()
    for step in range(61):
        gate.open(60, T0 + 1000 * step + step % 240)
    assert len(gate.admissions) == 61


def test_a_moment_later_than_that_is_lost() -> None:
    gate = Gate()
    gate.open(60, T0)
    assert gate.open(60, T0 + 1251) == 1
    assert next_permitted_ms(gate.pace, 60, MINUTE_MS) == T0 + 2251


def test_without_a_rate_anybody_may_come_at_any_time() -> None:
    gate = Gate()
    assert permitted(gate.pace, 0, MINUTE_MS, T0) is None
    assert next_permitted_ms(gate.pace, 0, MINUTE_MS) == 0


def test_without_a_rate_a_minute_is_remembered_in_few_entries() -> None:
    gate = Gate()
    for now in range(T0, T0 + 3 * MINUTE_MS, 20):
        gate.open(0, now, at_most=1)
    assert len(gate.pace.entries()) <= 61
    assert gate.pace.count >= gate.in_the_last(MINUTE_MS, now)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([0, 0, 1, 3, 60, 400, 20_000]),
            st.integers(0, 20_000),
            st.integers(1, 90),
            st.sampled_from([MINUTE_MS, MINUTE_MS, 1_000, 20_000]),
        ),
        max_size=60,
    )
)
def test_however_rates_change_the_one_in_force_holds_for_the_last_interval(
    steps: list[tuple[int, int, int, int]],
) -> None:
    gate, now = Gate(), T0
    for rate, step_ms, at_most, interval_ms in steps:
        now += step_ms
        wake = next_permitted_ms(gate.pace, rate, interval_ms)
        count = gate.open(rate, now, at_most, interval_ms)
        if rate and count:
            assert gate.in_the_last(interval_ms, now) <= rate
        assert (wake <= now) == bool(count)
        entries = gate.pace.entries()
        assert gate.pace.count == sum(count for _, count in entries)
        assert all(before < after for (before, _), (after, _) in pairwise(entries))
        again = pace_from(
            entries, gate.pace.rate, gate.pace.interval_ms, gate.pace.paced_us, gate.pace.last_ms
        )
        assert (again.entries(), again.count) == (entries, gate.pace.count)


@pytest.mark.parametrize("rate", [60, 20_000])
@pytest.mark.parametrize("lead_ms", [5_000, 3_600_000, 24 * 3_600_000])
def test_admissions_from_the_future_hold_nobody_up(rate: int, lead_ms: int) -> None:
    """given a queue that admitted under a clock that was ahead, when time is right again, then it
    admits as if nothing had been, and never more than the rate from then on."""
    gate = Gate()
    gate.run(rate, T0 + lead_ms, T0 + lead_ms + 2_000, [0], MINUTE_MS)
    gate.admissions.clear()
    assert gate.open(rate, T0) == 1
    gate.run(rate, T0, T0 + 2 * MINUTE_MS, [0], MINUTE_MS)
    assert most_in_any(MINUTE_MS, gate.admissions) <= rate


def test_admissions_a_little_ahead_still_count() -> None:
    gate = Gate()
    gate.open(60, T0 + 900)
    assert gate.open(60, T0) == 0
