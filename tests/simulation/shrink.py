"""Makes a failing run smaller: fewer faults, fewer users, fewer instances, while it still breaks
the same invariant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from msgspec.structs import replace

from tests.simulation.plan import Plan
from tests.simulation.story import Told, run

T = TypeVar("T")
RUNS_MAX = 150
"""A second or two each at the most, and usually a fraction."""


def shrunk(failed: Told, run: Callable[[Plan], Told] = run, runs_max: int = RUNS_MAX) -> Told:
    """The smallest run found that breaks the same invariant as this one."""
    assert failed.violation is not None, "it did not fail"
    check, best, left = failed.violation.check, failed, runs_max

    def fails(plan: Plan) -> bool:
        nonlocal best, left
        if left == 0:
            return False
        left -= 1
        told = run(plan)
        if told.violation is None or told.violation.check != check:
            return False
        best = told
        return True

    smaller = True
    while smaller and left:
        before = best.plan
        less(best.plan.faults, lambda faults: fails(replace(best.plan, faults=tuple(faults))))
        less(best.plan.users, lambda users: fails(replace(best.plan, users=tuple(users))))
        if best.plan.instances > 2:
            fails(replace(best.plan, instances=2))
        smaller = best.plan != before
    return best


def less(items: Sequence[T], fails: Callable[[Sequence[T]], bool]) -> Sequence[T]:
    """As few of the items as still fail: ``ddmin`` (Zeller and Hildebrandt, 2002). All of them
    fail."""
    pieces = 2
    while items:
        size = max(1, len(items) // pieces)
        for first in range(0, len(items), size):
            fewer = [*items[:first], *items[first + size :]]
            if fails(fewer):
                items, pieces = fewer, max(2, pieces - 1)
                break
        else:
            if size == 1:
                break
            pieces = min(len(items), 2 * pieces)
    return items
