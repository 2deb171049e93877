"""A wall clock that a test can set wrong: Python imports this first in an instance of the chaos
test. The file that ``BOOKING_TEST_CLOCK`` names has the seconds by which it is ahead, read at the
start and with each SIGUSR1."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

_file = Path(os.environ["BOOKING_TEST_CLOCK"])
_time, _time_ns = time.time, time.time_ns


def _set(*_: object) -> None:
    ahead_s = int(_file.read_text()) if _file.exists() else 0
    time.time = lambda: _time() + ahead_s
    time.time_ns = lambda: _time_ns() + ahead_s * 1_000_000_000


_set()
signal.signal(signal.SIGUSR1, _set)
