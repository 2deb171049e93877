"""Short stories of a whole cluster under faults, each repeatable by its seed.

``SIMULATION_SEED=17 pytest tests/simulation/test_cluster_under_faults.py`` runs one of them again.
"""

from __future__ import annotations

import os

import pytest

from tests.support.cluster_story import ClusterStory
from tests.support.standstill import StoppableLoop
from tests.support.virtual_time import run

SEEDS = 20
"""Together about twenty seconds."""
SEEDS_SLOW = 2_000


def seeds(first: int, count: int) -> range | list[int]:
    """All, or the one that the environment names."""
    named = os.environ.get("SIMULATION_SEED")
    return range(first, first + count) if named is None else [int(named)]


def tell(seed: int) -> None:
    story = ClusterStory(seed)
    try:
        run(story.run(), StoppableLoop)
    except BaseException as error:
        error.add_note(f"SIMULATION_SEED={seed}")
        for at_s, what in story.log:
            error.add_note(f"{at_s:8.3f} s  {what}")
        raise


@pytest.mark.parametrize("seed", seeds(0, SEEDS))
def test_ownership_is_never_double_and_everything_heals(seed: int) -> None:
    tell(seed)


@pytest.mark.slow
@pytest.mark.timeout(7_200)
def test_everything_heals_in_thousands_of_stories() -> None:
    for seed in seeds(SEEDS, SEEDS_SLOW):
        tell(seed)
