"""The numbers of the websockets, as Prometheus reads them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from booking_http.sockets import codes

_CHANNELS = ("queue", "seats")


class SocketNumbers(Collector):
    """Counted in plain dictionaries, rendered when somebody asks. Part of
    :class:`booking_http.metrics.EdgeMetrics`."""

    def __init__(self) -> None:
        self.open: Counter[str] = Counter()
        self.pushed: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()
        """Pushes passed over because the client had not taken those before."""
        self.closed: Counter[int] = Counter()
        """By code; 1006 without a close frame, 0 for codes of a client's own."""

    def collect(self) -> Iterable[Metric]:
        """The counts as Prometheus reads them."""
        open_now = GaugeMetricFamily("booking_sockets", "Open websockets.", labels=("channel",))
        pushed = CounterMetricFamily(
            "booking_socket_pushes", "Frames with news.", labels=("channel",)
        )
        skipped = CounterMetricFamily(
            "booking_socket_pushes_skipped",
            "Frames not written because the client had not read those before.",
            labels=("channel",),
        )
        closed = CounterMetricFamily(
            "booking_sockets_closed", "Websockets that ended.", labels=("code",)
        )
        for channel in _CHANNELS:
            open_now.add_metric((channel,), self.open[channel])
            pushed.add_metric((channel,), self.pushed[channel])
            skipped.add_metric((channel,), self.skipped[channel])
        for code in sorted({0, *codes.KNOWN}):
            closed.add_metric((str(code) if code else "other",), self.closed[code])
        return (open_now, pushed, skipped, closed)

    def describe(self) -> Iterable[Metric]:
        """Nothing: the families are made at each scrape."""
        return ()
