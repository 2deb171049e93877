"""Hundreds of short stories of crashes and outages, each repeatable by its seed.

``SIMULATION_SEED=17 pytest tests/simulation`` runs one of them again.
"""

from __future__ import annotations

import os

import pytest

from tests.support.simulation import Simulation
from tests.support.virtual_time import run

SEEDS = 200
"""Together about ten seconds."""
SEEDS_SLOW = 3_000


def seeds(first: int, count: int) -> range | list[int]:
    """All, or the one that the environment names."""
    named = os.environ.get("SIMULATION_SEED")
    return range(first, first + count) if named is None else [int(named)]


async def tell(seed: int) -> None:
    await Simulation(seed).run()


@pytest.mark.parametrize("seed", seeds(0, SEEDS))
def test_nothing_acknowledged_is_lost_and_the_books_agree(seed: int) -> None:
    run(tell(seed))


@pytest.mark.slow
@pytest.mark.timeout(1_200)
def test_nothing_is_lost_in_thousands_of_stories() -> None:
    for seed in seeds(SEEDS, SEEDS_SLOW):
        try:
            run(tell(seed))
        except BaseException as error:
            error.add_note(f"SIMULATION_SEED={seed}")
            raise
