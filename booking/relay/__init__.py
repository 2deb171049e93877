"""Publishes the public events to brokers: NATS JetStream, Kafka."""
