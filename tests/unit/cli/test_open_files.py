"""The limit of open files, in a process of its own."""

from __future__ import annotations

import subprocess
import sys

from tests.support.house import ROOT

PROGRAM = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (200, 400))
from booking.cli.serving import allow_open_files
print(*(allow_open_files(wanted) for wanted in (100, 300, 5_000)))
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def test_the_limit_is_raised_as_far_as_wanted_and_allowed() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["200", "300", "400", "400", "400"]
