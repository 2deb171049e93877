"""What webhooks tell ``/metrics``."""

from collections.abc import Iterable

from attrs import define
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from booking.webhooks.sending import Webhooks


@define(eq=False)
class WebhookNumbers(Collector):
    """Attempts of this instance, and the endpoints as it saw them last, the same on each."""

    _webhooks: Webhooks

    def collect(self) -> Iterable[Metric]:
        """The families of this moment."""
        attempts = CounterMetricFamily(
            "booking_webhook_attempts",
            "Attempts to deliver: delivered, retried later, or dead: given up.",
            labels=("outcome",),
        )
        for outcome in ("delivered", "retried", "dead"):
            attempts.add_metric((outcome,), self._webhooks.outcomes[outcome])
        yield attempts
        views = self._webhooks.views
        live = [view for view in views if view.enabled]
        for name, meaning, value in (
            ("pending", "Deliveries to enabled endpoints.", sum(one.pending for one in live)),
            ("dead", "Deliveries that were given up.", sum(one.dead for one in views)),
            ("disabled", "Endpoints that are told nothing.", len(views) - len(live)),
            (
                "oldest_seconds",
                "How long the oldest pending delivery to an enabled endpoint waits.",
                max((one.oldest_pending_s for one in live), default=0.0),
            ),
        ):
            yield GaugeMetricFamily(f"booking_webhook_{name}", meaning, value)
