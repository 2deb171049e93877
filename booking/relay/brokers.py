"""Which brokers the settings name. Their libraries are an extra, and imported when needed."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from importlib.util import find_spec

from booking.relay.consumer import Broker, Relay
from booking.settings import Settings, SettingsError


def relays_of(settings: Settings, source: str = "") -> list[Relay]:
    """One for each broker, with offsets of its own: while one is away, the other one goes on."""
    urls = {"nats": settings.nats_url, "kafka": settings.kafka_brokers}
    return [
        Relay(f"relay-{kind}", source, partial(_make, kind, url))
        for kind, url in urls.items()
        if url
    ]


def check_installed(settings: Settings) -> None:
    """:class:`~booking.settings.SettingsError` if the extra is missing."""
    library = "aiokafka" if settings.kafka_brokers else "nats"
    if find_spec(library) is None:
        raise SettingsError("the relay needs an extra: pip install 'booking[relay]'")


def _make(kind: str, url: str) -> Broker:
    broker: Broker = import_module(f"booking.relay.{kind}").connect(url)
    return broker
