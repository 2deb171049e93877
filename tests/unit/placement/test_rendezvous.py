"""Rendezvous hashing: minimal movement, shares by weight, the same in every process."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.placement import planner
from actors.placement.planner import draw, first_choice, score
from tests.support.placements import brief

SHARDS = range(256)
GOLDEN_DRAW = 0.6773128725557761
GOLDEN_CHOICES = "bcacbcbbaccccbbb"

weights = st.dictionaries(
    st.text(min_size=1, max_size=12),
    st.floats(0.01, 100, allow_nan=False),
    min_size=2,
    max_size=9,
)


def ranked(shard: int, some: Mapping[str, float]) -> list[str]:
    """From the shard's first choice to its last; equal scores by name."""
    return sorted(some, key=lambda name: (-score(shard, name, some[name]), name))


@brief
@given(weights)
def test_a_joining_instance_moves_nothing_between_the_others(after: dict[str, float]) -> None:
    newcomer = next(iter(after))
    before = {name: weight for name, weight in after.items() if name != newcomer}
    for shard in SHARDS:
        now = first_choice(shard, after)
        assert now in (newcomer, first_choice(shard, before))


@brief
@given(weights)
def test_a_leaving_instance_gives_its_own_to_their_second_choice(before: dict[str, float]) -> None:
    leaver = next(iter(before))
    rest = {name: weight for name, weight in before.items() if name != leaver}
    for shard in SHARDS:
        order = ranked(shard, before)
        kept = order[1] if order[0] == leaver else order[0]
        assert first_choice(shard, rest) == kept


@brief
@given(weights, st.floats(1.01, 10))
def test_a_higher_weight_only_attracts(before: dict[str, float], factor: float) -> None:
    chosen = next(iter(before))
    after = before | {chosen: before[chosen] * factor}
    for shard in SHARDS:
        assert first_choice(shard, after) in (chosen, first_choice(shard, before))


@brief
@given(weights)
def test_the_order_of_the_instances_does_not_matter(some: dict[str, float]) -> None:
    turned = dict(reversed(some.items()))
    chosen = [first_choice(shard, some) for shard in SHARDS]
    assert chosen == [first_choice(shard, turned) for shard in SHARDS]
    assert chosen == [ranked(shard, some)[0] for shard in SHARDS]


def test_shards_are_shared_in_proportion_to_the_weights() -> None:
    some = {"small": 1.0, "middle": 2.0, "large": 5.0}
    drawn = 40_000
    chosen = [first_choice(shard, some) for shard in range(drawn)]
    for name, weight in some.items():
        expected = drawn * weight / 8
        deviation = math.sqrt(expected * (1 - weight / 8))
        assert abs(chosen.count(name) - expected) < 4 * deviation


def test_every_process_of_every_version_draws_the_same_numbers() -> None:
    """Known values: a change of the hash would move shards on an upgrade."""
    assert draw(0, "a") == GOLDEN_DRAW
    assert [first_choice(s, {"a": 1, "b": 1, "c": 2}) for s in range(16)] == list(GOLDEN_CHOICES)


@pytest.mark.parametrize("bits", [0, 1, 2**63, 2**64 - 1, -1, -(2**63)])
def test_no_hash_gives_a_score_that_is_not_a_number(
    bits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planner, "stable_hash", lambda text: bits)
    assert 0 < draw(1, "a") < 1
    found = score.__wrapped__(1, "a", 1.0)
    assert found > 0
    assert math.isfinite(found)
