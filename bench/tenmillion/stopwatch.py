"""Times on a machine where others are at work, too."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

import msgspec

from bench.record import Latencies, latencies

WAITED_MAX_S = 50e-6
"""What a process may have waited for a core in a query that counts as undisturbed."""


class Times(msgspec.Struct, frozen=True):
    """Of one query with many values."""

    wall: Latencies
    quiet: Latencies
    """Of those alone in which neither this process nor the server's had to wait for a core that
    worked for somebody else."""


class Stopwatch:
    """Times what this process and one server's do in turn."""

    def __init__(self, backend: int) -> None:
        """``backend`` is the process id of the server's end of the connection."""
        self._pids = (os.getpid(), backend)
        self._files: list[int] = []
        self._blocks: list[tuple[float, float]] = []

    def __enter__(self) -> Self:
        self._files = [os.open(f"/proc/{pid}/schedstat", os.O_RDONLY) for pid in self._pids]
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files:
            os.close(file)

    @contextmanager
    def time(self) -> Iterator[None]:
        """Time the block."""
        waited, began = self._waited(), time.perf_counter()
        yield
        wall = time.perf_counter() - began
        self._blocks.append((wall, self._waited() - waited))

    def times(self) -> Times:
        """Of all blocks."""
        quiet = [wall for wall, waited in self._blocks if waited <= WAITED_MAX_S]
        return Times(latencies([wall for wall, _ in self._blocks]), latencies(quiet))

    def _waited(self) -> float:
        """Seconds that both were ready to run and did not, so far: Linux counts them."""
        return sum(int(os.pread(file, 100, 0).split()[1]) for file in self._files) / 1e9
