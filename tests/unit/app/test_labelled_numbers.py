"""The numbers of peers and consumers: each with the name of whom it is about."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from actors.peers import PeerStatistics
from booking.instance.metrics import ClusterNumbers


def peer(instance: str, round_trip_ms: float | None) -> PeerStatistics:
    return PeerStatistics(
        instance=instance,
        incarnation=f"{instance}-1",
        connected=round_trip_ms is not None,
        asks=7,
        in_flight=2,
        refused=1,
        reconnects=3,
        round_trip_avg_ms=round_trip_ms,
        round_trip_max_ms=9.0,
        frames=20,
        messages=30,
        bytes=4_000,
    )


def runner(name: str) -> Any:
    consumer = SimpleNamespace(name=name)
    return SimpleNamespace(
        consumer=consumer, events=50, failures=4, stopped=1, behind=6, behind_s=0.5
    )


@pytest.fixture
def told() -> dict[tuple[str, str], tuple[str, float]]:
    """By the name of a sample and whom it is about: the family's kind, and the value."""
    pauses = SimpleNamespace(cumulative=lambda: [("+Inf", 0.0)], sum_s=0.0)
    node = SimpleNamespace(
        sharding=SimpleNamespace(handoffs=SimpleNamespace(pauses=pauses)),
        runtime=SimpleNamespace(
            health=SimpleNamespace(journal_errors={"read_only_sql_transaction": 2})
        ),
    )
    consumers = SimpleNamespace(runners=[runner("mail"), runner("stock")])
    registry = CollectorRegistry()
    registry.register(
        ClusterNumbers(
            cast(Any, node), cast(Any, consumers), lambda: [peer("two", 1.5), peer("three", None)]
        )
    )
    found = {}
    for family in text_string_to_metric_families(generate_latest(registry).decode()):
        for sample in family.samples:
            about = next(iter(sample.labels.values()), "")
            found[sample.name, about] = (family.type, sample.value)
    return found


@pytest.mark.parametrize(
    ("name", "kind", "value"),
    [
        ("connected", "gauge", 1.0),
        ("round_trip_seconds", "gauge", 0.0015),
        ("asks_in_flight", "gauge", 2.0),
        ("asks_total", "counter", 7.0),
        ("refused_total", "counter", 1.0),
        ("reconnects_total", "counter", 3.0),
        ("bytes_total", "counter", 4_000.0),
    ],
)
def test_each_number_of_a_peer_is_told_with_its_name(
    told: dict[tuple[str, str], tuple[str, float]], name: str, kind: str, value: float
) -> None:
    assert told[f"booking_peer_{name}", "two"] == (kind, value)


def test_a_peer_that_was_never_reached_is_there_with_zeros(
    told: dict[tuple[str, str], tuple[str, float]],
) -> None:
    assert told["booking_peer_connected", "three"] == ("gauge", 0.0)
    assert told["booking_peer_round_trip_seconds", "three"] == ("gauge", 0.0)


@pytest.mark.parametrize("consumer", ["mail", "stock"])
@pytest.mark.parametrize(
    ("name", "kind", "value"),
    [
        ("events_total", "counter", 50.0),
        ("failures_total", "counter", 4.0),
        ("stopped_shards", "gauge", 1.0),
        ("behind_events", "gauge", 6.0),
        ("behind_seconds", "gauge", 0.5),
    ],
)
def test_each_number_of_a_consumer_is_told_with_its_name(
    told: dict[tuple[str, str], tuple[str, float]],
    consumer: str,
    name: str,
    kind: str,
    value: float,
) -> None:
    assert told[f"booking_consumer_{name}", consumer] == (kind, value)


def test_errors_of_the_journal_are_counted_by_their_cause(
    told: dict[tuple[str, str], tuple[str, float]],
) -> None:
    assert told["booking_journal_errors_total", "read_only_sql_transaction"] == ("counter", 2.0)
