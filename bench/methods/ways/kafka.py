"""Kafka: a topic whose partitions are spread over the processes."""

import asyncio
from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from bench.methods.ways.broker import BATCH, BrokerWay


class KafkaWay(BrokerWay):
    """A row is a key, so its commands are in one partition, in order; a consumer group gives each
    partition to one process. Answers come through a topic of their own, which every process reads
    from its end.

    Reviewed: ``acks=all`` with an idempotent producer; offsets are committed after the effect; a
    batch is what one poll brings. Whether a confirmation means a sync is the broker's setting
    (``flush.messages``); its default relies on replicas. Written with care and never run where
    these figures were measured: no package brings a broker.
    """

    name = "Kafka"
    needs = ("postgres", "kafka")

    async def connect(self) -> None:
        servers, self._answered = self.urls["kafka"], f"{self.queue}-answers"
        self._producer = AIOKafkaProducer(
            bootstrap_servers=servers, acks="all", enable_idempotence=True, linger_ms=0
        )
        self._consumer = AIOKafkaConsumer(
            self.queue,
            bootstrap_servers=servers,
            group_id=self.queue,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )
        self._answers = AIOKafkaConsumer(self._answered, bootstrap_servers=servers)
        for part in (self._producer, self._consumer, self._answers):
            await part.start()
        self._reading = [
            asyncio.create_task(self._read_commands()),
            asyncio.create_task(self._read_answers()),
        ]

    async def disconnect(self) -> None:
        for task in self._reading:
            task.cancel()
        await asyncio.gather(*self._reading, return_exceptions=True)
        for part in (self._consumer, self._answers, self._producer):
            await part.stop()

    async def _read_commands(self) -> None:
        while True:
            found = await self._consumer.getmany(timeout_ms=1_000, max_records=BATCH)
            for messages in found.values():
                for message in messages:
                    await self.messages.put(message)

    async def _read_answers(self) -> None:
        async for message in self._answers:
            self.answered(message.value)

    async def publish(self, command: bytes, row: int) -> None:
        await self._producer.send_and_wait(self.queue, command, key=str(row).encode())

    async def answer(self, message: Any, body: bytes) -> None:
        await self._producer.send(self._answered, body)

    async def acknowledge(self, messages: Sequence[Any]) -> None:
        ends = {TopicPartition(each.topic, each.partition): each.offset + 1 for each in messages}
        await self._consumer.commit(ends)

    @staticmethod
    def body(message: Any) -> bytes:
        value: bytes = message.value
        return value
