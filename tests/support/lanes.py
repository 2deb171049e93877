"""How a run of several processes (``pytest -n 3``) shares the tests out.

The tests of a file run in one process, in their order, as they do without ``-n``. All of
``tests/cluster`` and ``tests/chaos`` go to one process too: each starts three instances and
measures how long something is away, and two such tests at a time would measure each other. All of
``tests/browser`` share one Chromium. Both wait more than they work, so a third process has the
machine for everything else; who is done first takes files from what is left.

This is a scheduler of pytest-xdist's with names of its own for what stays together. Its marks for
that (``--dist=loadgroup``) name tests anew in every report, and group nothing under pytest 9.2:
https://github.com/pytest-dev/pytest-xdist/issues/1386.
"""

from __future__ import annotations

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

TOGETHER = {
    "tests/browser": "tests/browser",
    "tests/chaos": "tests/cluster",
    "tests/cluster/test_fail_over.py": "tests/cluster/test_fail_over.py",
    "tests/cluster": "tests/cluster",
}
"""Folders whose tests never run beside each other, and the lane of each. They take longest, and
come first in the order of names too, so nobody waits for them in the end. The fail-over waits for
Patroni most of the time."""

APART = ("tests/simulation/test_product_under_faults.py",)
"""Files whose tests share nothing and take long: each goes where there is room."""


class Lanes(LoadScopeScheduling):  # type: ignore[misc]  # xdist comes without types
    """Shares out whole files, or whole folders of :data:`TOGETHER`, in the order of their names."""

    def _split_scope(self, nodeid: str) -> str:
        return lane_of(nodeid)


def lane_of(nodeid: str) -> str:
    """Name what has to stay in one process with this test."""
    file = nodeid.split("::", 1)[0]
    if file in APART:
        return nodeid
    return next(
        (
            lane
            for folder, lane in TOGETHER.items()
            if file == folder or file.startswith(f"{folder}/")
        ),
        file,
    )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Lanes:
    """Whatever ``--dist`` says: no other way of sharing out keeps the promises above."""
    config.option.loadscopereorder = False
    return Lanes(config, log)
