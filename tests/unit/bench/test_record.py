"""Percentiles, and which latencies count."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.record import Recorder, Side, latencies, percentile


def test_percentiles_of_one_to_a_hundred_are_their_ranks() -> None:
    ordered = [float(n) for n in range(1, 101)]
    assert [percentile(ordered, share) for share in (0, 0.5, 0.95, 0.99, 1)] == [1, 50, 95, 99, 100]


def test_a_single_value_is_every_percentile() -> None:
    assert {percentile([7.0], share) for share in (0, 0.5, 0.99, 1)} == {7.0}


@pytest.mark.parametrize("share", [-0.01, 1.01])
def test_a_share_outside_0_to_1_is_an_error(share: float) -> None:
    with pytest.raises(ValueError, match="a share of"):
        percentile([1.0], share)


@given(
    st.lists(st.floats(0, 1e6), min_size=1, max_size=200), st.sampled_from([0.01, 0.5, 0.95, 0.99])
)
def test_a_percentile_is_the_smallest_value_that_covers_enough(
    values: list[float], share: float
) -> None:
    ordered = sorted(values)
    found = percentile(ordered, share)
    assert sum(value <= found for value in ordered) >= share * len(ordered)
    smaller = [value for value in ordered if value < found]
    assert len(smaller) < share * len(ordered)


def test_latencies_are_told_in_milliseconds_and_any_order() -> None:
    found = latencies([0.004, 0.001, 0.002])
    assert (found.count, found.p50_ms, found.p99_ms, found.max_ms) == (3, 2.0, 4.0, 4.0)


def test_nothing_recorded_is_all_zero() -> None:
    found = latencies([])
    assert (found.count, found.p50_ms, found.max_ms) == (0, 0.0, 0.0)


def test_a_closed_loop_counts_what_ends_in_the_window() -> None:
    recorder = Recorder(start=10.0, end=20.0)
    for began, now in [(9.0, 9.9), (9.0, 10.0), (15.0, 16.0), (19.0, 20.0)]:
        recorder.request("ask", 200, began, now)
        recorder.unit(began, now)
    assert list(recorder.units) == [1.0, 1.0]
    assert recorder.steps["ask"].statuses == {200: 2}
    assert recorder.last == 16.0
    assert recorder.answered == 4


def test_an_open_loop_counts_by_when_a_unit_begins() -> None:
    recorder = Recorder(start=10.0, end=20.0, by_begin=True)
    for began, now in [(9.0, 10.5), (10.0, 11.0), (19.0, 25.0), (20.0, 20.5)]:
        recorder.unit(began, now)
    assert list(recorder.units) == [1.0, 6.0]


def test_failures_count_whenever_they_happen() -> None:
    recorder = Recorder(start=10.0, end=20.0)
    recorder.failed("ask:500")
    side = Side("service")
    side.add(recorder, 10.0)
    side.add(recorder, 10.0)
    assert side.failures == {"ask:500": 2}


def test_a_side_adds_up_its_slices() -> None:
    side = Side("service")
    for count in (10, 30):
        recorder = Recorder(start=0.0, end=2.0)
        for _ in range(count):
            recorder.request("ask", 200, 0.5, 1.0)
            recorder.unit(0.5, 1.0)
        side.add(recorder, 2.0)
    assert (len(side.units), side.requests, side.seconds) == (40, 40, 4.0)
    assert side.rates == [5.0, 15.0]
