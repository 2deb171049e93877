"""The table of what is lost when a payment's process dies, by killing it after every step."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.support.house import ROOT

PAGE = ROOT / "docs" / "explanation" / "services.md"


def test_the_table_is_what_dying_after_every_step_leaves(database_url: str) -> None:
    """``python -m tests.support.kill_table DSN`` prints the table to put on the page."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.kill_table", database_url],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "http")])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.returncode, done.stderr
    assert done.stdout in PAGE.read_text(encoding="utf-8"), done.stdout
