"""The schedule of an open loop."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from bench.load import Kind, arrivals


def test_even_arrivals_have_equal_gaps_and_start_at_once() -> None:
    assert list(arrivals(4, 1, "even", random.Random(1))) == [0.0, 0.25, 0.5, 0.75]


@pytest.mark.parametrize("kind", ["even", "poisson"])
def test_arrivals_rise_and_stay_below_the_end(kind: Kind) -> None:
    offsets = list(arrivals(1_000, 3, kind, random.Random(1)))
    assert all(earlier < later for earlier, later in pairwise(offsets))
    assert offsets[0] >= 0
    assert offsets[-1] < 3


def test_poisson_arrivals_are_those_of_independent_users() -> None:
    offsets = list(arrivals(1_000, 20, "poisson", random.Random(5)))
    assert 19_500 < len(offsets) < 20_500  # 20,000 with a standard deviation of 141
    gaps = [later - earlier for earlier, later in pairwise(offsets)]
    mean = sum(gaps) / len(gaps)
    variance = sum((gap - mean) ** 2 for gap in gaps) / len(gaps)
    assert variance == pytest.approx(mean**2, rel=0.1)


def test_the_same_seed_gives_the_same_schedule() -> None:
    one, other = (list(arrivals(500, 2, "poisson", random.Random(3))) for _ in range(2))
    assert one == other


@pytest.mark.parametrize(("rate", "seconds"), [(0, 1), (-1, 1), (1, 0)])
def test_a_rate_or_length_that_is_not_positive_is_an_error(rate: float, seconds: float) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        list(arrivals(rate, seconds, "even", random.Random(1)))
