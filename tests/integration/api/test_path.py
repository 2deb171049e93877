"""How many of our files a reservation passes through: what a reader has to open to follow it."""

from __future__ import annotations

import subprocess
import sys

from tests.support.house import ROOT

TRACE_MAX_S = 90
"""It takes some ten seconds, most of them for servers of its own."""


def test_a_reservation_passes_through_few_files() -> None:
    """From the request's bytes to the row of the journal; the limit stands in the trace."""
    traced = subprocess.run(
        [sys.executable, "-m", "bench.trace"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TRACE_MAX_S,
        check=False,
    )
    assert "actors/journal/postgres.py" in traced.stdout, traced.stderr
    assert "booking/seats/domain/seat.py" in traced.stdout
    assert traced.returncode == 0, traced.stdout
