"""The edge's own numbers, and those of the application, as Prometheus reads them.

Durations are plain lists: an ``observe()`` of prometheus_client takes a lock three times.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from booking_http.sockets import codes

BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""The bounds OpenTelemetry's semantic conventions give for http.server.request.duration."""
_CHANNELS = ("queue", "seats")
_METHODS = frozenset({"GET", "HEAD", "POST", "DELETE", "OPTIONS", "PUT", "PATCH"})
_OTHER_METHOD = "_OTHER"
"""As in the same conventions, so that clients cannot make up label values."""


class _Series:
    """The histogram of one method, route and status."""

    __slots__ = ("counts", "sum_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS_S) + 1)
        self.sum_s = 0.0

    def cumulative(self) -> list[tuple[str, float]]:
        buckets, so_far = [], 0
        for bound, count in zip((*map(str, BUCKETS_S), "+Inf"), self.counts, strict=True):
            so_far += count
            buckets.append((bound, float(so_far)))
        return buckets


def counted(name: str, words: str, labels: Sequence[str], counts: Mapping[Any, float]) -> Metric:
    """A counter with one value for each combination of labels."""
    family = CounterMetricFamily(name, words, labels=labels)
    for values, count in counts.items():
        family.add_metric(values if isinstance(values, tuple) else (values,), count)
    return family


class SocketNumbers:
    """The numbers of the websockets, by channel."""

    def __init__(self) -> None:
        self.open: Counter[str] = Counter()
        self.pushed: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()
        """Pushes passed over because the client had not taken those before."""
        self.closed: Counter[int] = Counter()
        """By code; 1006 without a close frame, 0 for codes of a client's own."""

    def collect(self) -> Iterable[Metric]:
        """The numbers as Prometheus reads them; all are there from the start."""
        open_now = GaugeMetricFamily("booking_sockets", "Open websockets.", labels=("channel",))
        for channel in _CHANNELS:
            open_now.add_metric((channel,), self.open[channel])
        yield open_now
        told = {channel: self.pushed[channel] for channel in _CHANNELS}
        yield counted("booking_socket_pushes", "Frames with news.", ("channel",), told)
        passed = {channel: self.skipped[channel] for channel in _CHANNELS}
        words = "Frames not written because the client had not read those before."
        yield counted("booking_socket_pushes_skipped", words, ("channel",), passed)
        ended = {str(code or "other"): self.closed[code] for code in sorted({0, *codes.KNOWN})}
        yield counted("booking_sockets_closed", "Websockets that ended.", ("code",), ended)


class EdgeMetrics(Collector):
    """Counts requests; ``gauges`` is asked for the application's numbers at each scrape. A name
    that ends in ``_total`` is a counter, any other a gauge."""

    def __init__(
        self,
        gauges: Callable[[], Mapping[str, float]] = dict,
        meanings: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._gauges = gauges
        self._meanings = meanings
        self.refusals: defaultdict[str, int] = defaultdict(int)
        """Refused requests by their code. A code is one of ours, so there are a few dozen."""
        self._series: dict[tuple[str, str, int], _Series] = {}
        self.active = 0
        """Requests being worked on."""
        self.connections: Callable[[], int] = lambda: 0
        """Open connections; the server puts itself here."""
        self.connections_refused = 0
        self.sockets = SocketNumbers()
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        series = self._series.get((method, route, status))
        if series is None:
            if method not in _METHODS:
                method = _OTHER_METHOD
            series = self._series.setdefault((method, route, status), _Series())
        series.counts[bisect_left(BUCKETS_S, seconds)] += 1
        series.sum_s += seconds

    def add(self, collector: Collector) -> None:
        """Render the numbers of another part of the edge with these."""
        self._registry.register(collector)

    def render(self, accept: str) -> tuple[bytes, str]:
        """The exposition that the scraper accepts, and its content type."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type

    def collect(self) -> Iterable[Metric]:
        """The numbers as Prometheus reads them."""
        yield self._durations()
        yield GaugeMetricFamily(
            "http_server_active_requests", "Requests being worked on.", self.active
        )
        yield GaugeMetricFamily("http_server_connections", "Open connections.", self.connections())
        yield CounterMetricFamily(
            "http_server_connections_refused",
            "Connections refused because there were too many.",
            self.connections_refused,
        )
        words = "Requests refused, by the code of the refusal."
        yield counted("booking_refusals", words, ("code",), self.refusals)
        yield from self.sockets.collect()
        for name, value in self._gauges().items():
            family = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
            words = self._meanings.get(name) or f"{name.replace('_', ' ').capitalize()}."
            yield family(f"booking_{name}", words, value)

    def _durations(self) -> Metric:
        family = HistogramMetricFamily(
            "http_server_request_duration_seconds",
            "From the end of a request's headers to its answer.",
            labels=("http_request_method", "http_route", "http_response_status_code"),
        )
        for (method, route, status), series in self._series.items():
            family.add_metric(
                (method, route, str(status)), buckets=series.cumulative(), sum_value=series.sum_s
            )
        return family
