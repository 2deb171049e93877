"""Kafka: the topic ``booking.events``, where the key of an event is its subject."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from booking.events.contract import MEDIA_TYPE, CloudEvent
from booking.relay.consumer import ANSWER_MAX_S

TOPIC = "booking.events"
_HEADERS = [("content-type", MEDIA_TYPE.encode())]
_CLOSE_MAX_S = 1.0


class KafkaBroker:
    """``brokers`` are hosts with ports, separated by commas."""

    def __init__(self, brokers: str) -> None:
        self._brokers = brokers
        self._producer: AIOKafkaProducer | None = None

    async def publish(self, events: Sequence[CloudEvent]) -> None:
        """As the contract says."""
        try:
            async with asyncio.timeout(ANSWER_MAX_S):
                producer = self._producer or await self._open()
                sent = [
                    await producer.send(
                        TOPIC, event.encode(), key=event.subject.encode(), headers=_HEADERS
                    )
                    for event in events
                ]
                await asyncio.gather(*sent)
        except (OSError, KafkaError) as error:
            await self.close()
            raise ConnectionError(f"Kafka: {type(error).__name__}: {error}") from error

    async def _open(self) -> AIOKafkaProducer:
        self._producer = producer = AIOKafkaProducer(
            bootstrap_servers=self._brokers,
            client_id="booking-relay",
            acks="all",
            enable_idempotence=True,
            request_timeout_ms=round(ANSWER_MAX_S * 1000),
        )
        await producer.start()
        return producer

    async def close(self) -> None:
        """As the contract says."""
        producer, self._producer = self._producer, None
        if producer is not None:
            try:
                async with asyncio.timeout(_CLOSE_MAX_S):
                    await producer.stop()
            except (OSError, KafkaError):
                pass  # It was given up for this.


connect = KafkaBroker
