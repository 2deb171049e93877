"""RabbitMQ: a queue with a single active consumer."""

from collections.abc import Sequence
from typing import Any

import aio_pika
from aio_pika.abc import AbstractIncomingMessage

from bench.methods.ways.broker import PREFETCH, BrokerWay

ANSWERS = "amq.rabbitmq.reply-to"
"""Not a queue, but the channel that asks."""


class RabbitWay(BrokerWay):
    """Persistent messages with confirms into a quorum queue; each process brings a consumer, of
    which one is active. Answers go straight to the channel that asked (direct reply-to).

    Reviewed: a quorum queue syncs many messages at once, where a classic one syncs less often and
    later; one acknowledgement covers a batch; answers pass no queue, for whoever waits for them is
    gone when its process is.
    """

    name = "RabbitMQ"
    needs = ("postgres", "rabbitmq")

    async def connect(self) -> None:
        self._connection = await aio_pika.connect(self.urls["rabbitmq"][0])
        self._sending = await self._connection.channel()
        self._answering = await self._connection.channel(publisher_confirms=False)
        self._receiving = await self._connection.channel()
        await self._receiving.set_qos(prefetch_count=PREFETCH)
        arguments: Any = {"x-queue-type": "quorum", "x-single-active-consumer": True}
        queue = await self._receiving.declare_queue(self.queue, durable=True, arguments=arguments)
        answers = await self._sending.get_queue(ANSWERS, ensure=False)
        await answers.consume(self._answer_came, no_ack=True)
        await queue.consume(self.messages.put)

    async def disconnect(self) -> None:
        await self._connection.close()

    async def _answer_came(self, message: AbstractIncomingMessage) -> None:
        self.answered(message.body)

    async def publish(self, command: bytes, row: int) -> None:
        message = aio_pika.Message(
            command,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            reply_to=ANSWERS,
        )
        await self._sending.default_exchange.publish(message, self.queue)

    async def answer(self, message: Any, body: bytes) -> None:
        exchange = self._answering.default_exchange
        await exchange.publish(aio_pika.Message(body), message.reply_to, mandatory=False)

    async def acknowledge(self, messages: Sequence[Any]) -> None:
        await messages[-1].ack(multiple=True)
