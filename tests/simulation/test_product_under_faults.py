"""Hundreds of runs of the whole service under faults, each repeatable by its seed.

``python -m tests.simulation --seed 17 --shrink`` tells one of them: see
``docs/how-to/run-the-simulation.md``.
"""

from __future__ import annotations

import logging
from collections import Counter

import pytest

from tests.simulation.__main__ import faults_held, summary
from tests.simulation.faults import CALLED_OFF, KINDS
from tests.simulation.plan import make_plan
from tests.simulation.shrink import shrunk
from tests.simulation.story import Told, run
from tests.support.forms import slow
from tests.support.told import Tell

SEEDS = 300
BLOCKS = 3
"""As many as processes that run tests (``tests/support/lanes.py``)."""
SEEDS_SLOW = 10_000
RUNNABLE = sorted(KINDS.keys() - CALLED_OFF.keys())


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """What instances log of their troubles is not what fails a run."""
    for name in ("actors", "booking"):
        caplog.set_level(logging.CRITICAL + 1, logger=name)


def explained(told: Told) -> str:
    """A failing run for people, made smaller."""
    small = shrunk(told)
    return f"\n{small.timeline.text()}\n{summary(small)}"


def hold(seeds: range, tell: Tell) -> None:
    held, answers = Counter[str](), 0
    for seed in seeds:
        told = run(make_plan(seed, RUNNABLE))
        if told.violation is not None:
            pytest.fail(explained(told), pytrace=False)
        held += told.held
        answers += told.answers
    tell(f"{len(seeds)} seeds, {answers:,} answers, {faults_held(held)}")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("block", range(BLOCKS))
def test_every_invariant_holds_in_hundreds_of_runs(block: int, tell: Tell) -> None:
    each = SEEDS // BLOCKS
    hold(range(block * each, (block + 1) * each), tell)


@pytest.mark.parametrize("block", [slow(block, limit_s=7_200) for block in range(BLOCKS)])
def test_every_invariant_holds_in_thousands_of_runs(block: int, tell: Tell) -> None:
    each = SEEDS_SLOW // BLOCKS + 1
    hold(range(SEEDS + block * each, SEEDS + (block + 1) * each), tell)
