"""One way a file, and all of them by name."""

from __future__ import annotations

from importlib import import_module

from bench.methods.way import Way

NAMES = {
    "simple lock": "lock:LockWay",
    "spin lock": "spin:SpinWay",
    "pessimistic, PostgreSQL": "pessimistic:PessimisticWay",
    "pessimistic, MariaDB": "pessimistic:PessimisticMariaWay",
    "optimistic, PostgreSQL": "optimistic:OptimisticWay",
    "optimistic, MariaDB": "optimistic:OptimisticMariaWay",
    "pub/sub lock, Redis": "pubsub:PubSubWay",
    "Redlock, five Redis": "redlock:RedlockWay",
    "Redlock with a fence": "redlock:FencedRedlockWay",
    "RabbitMQ": "rabbitmq:RabbitWay",
    "NATS JetStream": "jetstream:JetStreamWay",
    "Kafka": "kafka:KafkaWay",
    "advisory lock, PostgreSQL": "advisory:AdvisoryWay",
    "serializable, PostgreSQL": "serializable:SerializableWay",
    "one statement, PostgreSQL": "statement:StatementWay",
    "single writer, runtime": "runtime:RuntimeWay",
    "single writer, HTTP": "http:HttpWay",
}
"""In the order of the report."""


def way_named(name: str) -> type[Way]:
    """A way; its client is imported only now."""
    module, _, kind = NAMES[name].partition(":")
    way: type[Way] = getattr(import_module(f"bench.methods.ways.{module}"), kind)
    return way


def all_ways() -> dict[str, type[Way]]:
    """Every way by its name."""
    return {name: way_named(name) for name in NAMES}
