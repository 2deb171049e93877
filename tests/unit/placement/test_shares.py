"""Fair shares: proportional, above what is kept, and rounded without moving anything."""

from __future__ import annotations

import math
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from actors.placement.assignment import fair_shares, shares_of
from tests.support.placements import brief

Case = tuple[int, dict[str, int], dict[str, float], dict[str, int]]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    names = [f"i{number}" for number in range(draw(st.integers(1, 9)))]
    kept = {name: draw(st.integers(0, 40)) for name in names}
    total = sum(kept.values()) + draw(st.integers(0, 256))
    weights = {name: draw(st.sampled_from([1.0, 1.0, 0.1, 2.0, 3.7])) for name in names}
    current = {name: kept[name] + draw(st.integers(0, 60)) for name in names}
    return total, kept, weights, current


@brief
@given(cases())
def test_fair_shares_add_up_and_the_level_is_the_same_above_what_is_kept(case: Case) -> None:
    total, kept, weights, _ = case
    fair = fair_shares(total, kept, weights)
    assert sum(fair.values()) == total
    levels = {fair[n] / Fraction(weights[n]) for n in fair if fair[n] > kept[n]}
    assert len(levels) <= 1
    for name, share in fair.items():
        assert share >= kept[name]
        if share == kept[name] and levels:
            assert share / Fraction(weights[name]) >= min(levels)


@brief
@given(cases(), st.floats(0, 0.9))
def test_quotas_add_up_and_are_whole_neighbours_of_the_share(case: Case, slack: float) -> None:
    total, kept, weights, current = case
    fair = fair_shares(total, kept, weights)
    shares = shares_of(total, kept, current, weights, slack)
    assert sum(share.quota for share in shares.values()) == total
    for name, share in shares.items():
        assert share.quota in (math.floor(fair[name]), math.ceil(fair[name]))
        assert share.low <= share.quota <= share.high
        assert share.high <= max(
            Fraction(math.ceil(fair[name])), fair[name] * (1 + Fraction(slack))
        )
        assert share.low >= min(
            Fraction(math.floor(fair[name])), fair[name] * (1 - Fraction(slack))
        )


def test_whoever_has_the_odd_shard_keeps_it() -> None:
    nothing = {"a": 0, "b": 0, "c": 0}
    weights = dict.fromkeys(nothing, 1.0)
    for rich in nothing:
        current = dict.fromkeys(nothing, 85) | {rich: 86}
        shares = shares_of(256, nothing, current, weights)
        assert {n: s.quota for n, s in shares.items()} == current


def test_what_one_must_keep_is_missing_for_all_others_alike() -> None:
    kept = {"a": 100, "b": 0, "c": 0, "d": 0}
    fair = fair_shares(256, kept, dict.fromkeys(kept, 1.0))
    assert [float(share) for share in fair.values()] == [100, 52, 52, 52]
