"""The cluster's numbers that are not single values: pauses of hand-overs, and each peer's link."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from actors.cluster.handoff import PauseHistogram
from actors.peers import PeerStatistics

_PEER = ("peer",)


class ClusterNumbers(Collector):
    """Asked at each scrape. Labels are names of instances, of which there are a few."""

    def __init__(
        self, pauses: Callable[[], PauseHistogram], peers: Callable[[], Sequence[PeerStatistics]]
    ) -> None:
        self._pauses = pauses
        self._peers = peers

    def describe(self) -> Iterable[Metric]:
        """Nothing: there is nothing to ask yet at registration."""
        return ()

    def collect(self) -> Iterable[Metric]:
        pauses = self._pauses()
        family = HistogramMetricFamily(
            "booking_handover_pause_seconds",
            "For how long a shard's callers were held back while it moved to this instance.",
        )
        family.add_metric((), buckets=pauses.cumulative(), sum_value=pauses.sum_s)
        yield family
        yield from self._links()

    def _links(self) -> Iterable[Metric]:
        up = GaugeMetricFamily(
            "booking_peer_connected", "1 while there is a link to the instance.", labels=_PEER
        )
        trip = GaugeMetricFamily(
            "booking_peer_round_trip_seconds",
            "From a ping to its answer, smoothed; 0 before the first.",
            labels=_PEER,
        )
        waiting = GaugeMetricFamily(
            "booking_peer_asks_in_flight", "Asks that wait for an answer.", labels=_PEER
        )
        asks = CounterMetricFamily("booking_peer_asks", "Asks sent.", labels=_PEER)
        refused = CounterMetricFamily(
            "booking_peer_refused", "Asks refused before they were sent.", labels=_PEER
        )
        again = CounterMetricFamily(
            "booking_peer_reconnects", "Links that replaced a lost one.", labels=_PEER
        )
        for peer in self._peers():
            name = (peer.instance,)
            up.add_metric(name, float(peer.connected))
            trip.add_metric(name, (peer.round_trip_avg_ms or 0.0) / 1000)
            waiting.add_metric(name, peer.in_flight)
            asks.add_metric(name, peer.asks)
            refused.add_metric(name, peer.refused)
            again.add_metric(name, peer.reconnects)
        return (up, trip, waiting, asks, refused, again)
