import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from booking.domain.pacing import (
    WINDOW_MS,
    Pace,
    admitted,
    next_permitted_ms,
    paced_after,
    permitted,
)
from tests.support.scenario import T0


class Gate:
    """Somebody always waits: whoever may come in comes in."""

    def __init__(self) -> None:
        self.pace = Pace()
        self.admissions: list[int] = []

    def open(self, rate: int, now_ms: int, at_most: int = 10**6) -> int:
        by_rate = permitted(self.pace, rate, now_ms)
        count = at_most if by_rate is None else min(by_rate, at_most)
        if count:
            paced_us = paced_after(self.pace, rate, now_ms, count)
            self.pace = admitted(self.pace, now_ms, count, rate, paced_us)
            self.admissions += [now_ms] * count
        return count

    def in_the_last_minute(self, now_ms: int) -> int:
        return sum(at_ms > now_ms - WINDOW_MS for at_ms in self.admissions)


@pytest.mark.parametrize("rate", [1, 59, 60, 600, 1500])
def test_a_rate_is_used_up_but_never_passed_after_a_silence(rate):
    """The burst that a silence earns is taken back within the same minute."""
    gate = Gate()
    gate.open(rate, T0 - 10 * WINDOW_MS)
    now, most = T0, 0
    while now < T0 + 2 * WINDOW_MS:
        gate.open(rate, now)
        most = max(most, gate.in_the_last_minute(now))
        now = next_permitted_ms(gate.pace, rate)
    assert 0.99 * rate <= most <= rate


def test_a_late_timer_does_not_slow_the_line_down():
    gate = Gate()
    for step in range(61):
        gate.open(60, T0 + 1000 * step + step % 240)
    assert len(gate.admissions) == 61


def test_a_moment_later_than_that_is_lost():
    gate = Gate()
    gate.open(60, T0)
    assert gate.open(60, T0 + 1251) == 1
    assert next_permitted_ms(gate.pace, 60) == T0 + 2251


def test_without_a_rate_anybody_may_come_at_any_time():
    gate = Gate()
    assert permitted(gate.pace, 0, T0) is None
    assert next_permitted_ms(gate.pace, 0) == 0


def test_without_a_rate_a_minute_is_remembered_in_few_entries():
    gate = Gate()
    for now in range(T0, T0 + 3 * WINDOW_MS, 20):
        gate.open(0, now, at_most=1)
    assert len(gate.pace.recent) < 61 * 7
    assert gate.pace.count >= gate.in_the_last_minute(now)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([0, 0, 1, 3, 60, 400]), st.integers(0, 20_000), st.integers(1, 9)
        ),
        max_size=60,
    )
)
def test_however_rates_change_the_one_in_force_holds_for_the_last_minute(steps):
    gate, now = Gate(), T0
    for rate, step_ms, at_most in steps:
        now += step_ms
        wake = next_permitted_ms(gate.pace, rate)
        count = gate.open(rate, now, at_most)
        if rate and count:
            assert gate.in_the_last_minute(now) <= rate
        if wake <= now:
            assert count
        assert gate.pace.count == sum(count for _, count in gate.pace.recent)
