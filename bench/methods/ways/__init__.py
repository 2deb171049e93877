"""One way a file, and all of them by name."""

from collections.abc import Iterable
from importlib import import_module

from bench.methods.components import Components
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


def chosen(components: Components, names: Iterable[str] = ()) -> list[type[Way]]:
    """The ways of these names, or all, whose components are there."""
    ways = map(way_named, names or NAMES)
    return [way for way in ways if set(way.needs) <= set(components)]
