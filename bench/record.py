"""Latencies and statuses of one run. Every latency is kept, so that percentiles are exact."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Sequence

import msgspec

SAMPLES_MAX = 5_000_000
"""Units of one run that are recorded: 40 MB of latencies, 10 minutes at 8,000 a second."""


class Latencies(msgspec.Struct, frozen=True):
    """Exact percentiles in milliseconds. All 0 when nothing was recorded."""

    count: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest value of an ordered sequence that ``share`` (0 to 1) of it do not exceed."""
    if not 0 <= share <= 1:
        raise ValueError(f"a share of {share}")
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def latencies(seconds: Sequence[float]) -> Latencies:
    """What to say about these durations, given in seconds and any order."""
    if not seconds:
        return Latencies(0, 0.0, 0.0, 0.0, 0.0)
    ordered = sorted(seconds)
    p50, p95, p99 = (percentile(ordered, share) * 1000 for share in (0.5, 0.95, 0.99))
    return Latencies(len(ordered), p50, p95, p99, ordered[-1] * 1000)


class StepRecord(msgspec.Struct):
    """One step of a workload: how long each answer took, and which statuses came."""

    durations: array[float] = msgspec.field(default_factory=lambda: array("d"))
    statuses: Counter[int] = msgspec.field(default_factory=Counter)


class Recorder:
    """Collects what happens between ``start`` and ``end`` (on ``time.perf_counter``); failures
    count always. A *unit* is one pass of a workload. In a closed loop what *ends* in the window
    counts; in an open loop (``by_begin``) what *begins* in it, else the slowest would be left
    out."""

    def __init__(self, start: float, end: float, by_begin: bool = False) -> None:
        self.start = start
        self.end = end
        self.by_begin = by_begin
        self.units = array("d")
        self.steps: dict[str, StepRecord] = {}
        self.failures: Counter[str] = Counter()
        self.send_lags = array("d")
        """Open loop: how much later than intended a unit's first request was sent."""
        self.last = start
        self.answered = 0
        """All answers, also those outside the window."""

    def request(self, step: str, status: int, sent: float, now: float) -> None:
        """A request was answered."""
        self.answered += 1
        if self.start <= (sent if self.by_begin else now) < self.end:
            record = self.steps.get(step)
            if record is None:
                record = self.steps[step] = StepRecord()
            record.durations.append(now - sent)
            record.statuses[status] += 1

    def unit(self, began: float, now: float) -> None:
        """A unit that went as meant is over; ``began`` is when it was meant to begin."""
        if self.start <= (began if self.by_begin else now) < self.end:
            self.units.append(now - began)
            self.last = now

    def failed(self, reason: str) -> None:
        """A unit ended otherwise: ``step:status`` or what befell the connection."""
        self.failures[reason] += 1


class Side(Recorder):
    """All that is measured of one target, over its slices."""

    def __init__(self, name: str) -> None:
        super().__init__(0.0, 0.0)
        self.name = name
        self.seconds = 0.0
        self.rates: list[float] = []
        """Units a second, for each slice."""
        self.server_cpu_s = self.database_cpu_s = self.generator_cpu_s = 0.0
        """CPU time for all that was ``answered``: of the server's process, of an embedded
        PostgreSQL with all its processes, and of this one."""

    def add(self, recorder: Recorder, seconds: float) -> None:
        """Take over one slice that was measured for this long."""
        self.units.extend(recorder.units)
        for step, record in recorder.steps.items():
            mine = self.steps.setdefault(step, StepRecord())
            mine.durations.extend(record.durations)
            mine.statuses.update(record.statuses)
        self.failures.update(recorder.failures)
        self.send_lags.extend(recorder.send_lags)
        self.answered += recorder.answered
        self.seconds += seconds
        self.rates.append(len(recorder.units) / seconds if seconds > 0 else 0.0)

    @property
    def requests(self) -> int:
        """Answers that were measured, of all steps."""
        return sum(len(record.durations) for record in self.steps.values())
