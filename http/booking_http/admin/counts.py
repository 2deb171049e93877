"""How often operators asked for what, for Prometheus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from booking_http.admin.access import Access


class AdminCounts(Collector):
    """Every call by its name, and whether it was done, refused (4xx) or failed (5xx)."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._calls: Counter[tuple[str, str]] = Counter()

    def expect(self, call: str) -> None:
        """Have its counts begin at 0, so that the first one shows as a rise."""
        self._calls.update({(call, outcome): 0 for outcome in ("done", "refused", "failed")})

    def count(self, call: str, status: int) -> None:
        outcome = "done" if status < 400 else "refused" if status < 500 else "failed"
        self._calls[call, outcome] += 1

    def collect(self) -> Iterable[Metric]:
        calls = CounterMetricFamily(
            "booking_admin_calls", "Calls of operators.", labels=("call", "outcome")
        )
        for (call, outcome), count in self._calls.items():
            calls.add_metric((call, outcome), count)
        yield calls
        yield CounterMetricFamily(
            "booking_admin_refused_attempts",
            "Requests to the operators' side without the right token.",
            self._access.refused,
        )

    def describe(self) -> Iterable[Metric]:
        """The names, without values."""
        return self.collect()
