"""NATS JetStream: a log with one consumer for each part of the rows."""

from collections.abc import Sequence
from typing import Any

import nats
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig

from bench.methods.ways.broker import PREFETCH, BrokerWay

ACK_WAIT_S = 2.0


class JetStreamWay(BrokerWay):
    """Each row belongs to one subject of the stream, and each subject to one process, which
    consumes it durably. Answers are plain messages to the process that asked.

    Reviewed: pushed, not pulled, so a message waits for no request; the server refuses a second
    subscriber of a durable consumer; each message is acknowledged, for to acknowledge the last for
    all would also cover those that a dead consumer left undone; the server is set to sync before it
    confirms, which is not its default.
    """

    name = "NATS JetStream"
    needs = ("postgres", "nats")

    async def connect(self) -> None:
        self._nats = await nats.connect(self.urls["nats"][0])
        self._stream = self._nats.jetstream()
        await self._stream.add_stream(name=self.queue, subjects=[f"{self.queue}.>"])
        self._mine = self._nats.new_inbox()
        await self._nats.subscribe(self._mine, cb=self._answer_came)
        await self._stream.subscribe(
            f"{self.queue}.{self.of}.{self.index}",
            durable=f"part-{self.index}-of-{self.of}",
            cb=self.messages.put,
            manual_ack=True,
            config=ConsumerConfig(
                ack_policy=AckPolicy.EXPLICIT, ack_wait=ACK_WAIT_S, max_ack_pending=PREFETCH
            ),
        )

    async def disconnect(self) -> None:
        await self._nats.close()

    async def _answer_came(self, message: Msg) -> None:
        self.answered(message.data)

    async def publish(self, command: bytes, row: int) -> None:
        headers = {"answer": self._mine}
        subject = f"{self.queue}.{self.of}.{row % self.of}"
        await self._stream.publish(subject, command, headers=headers)

    async def answer(self, message: Any, body: bytes) -> None:
        await self._nats.publish(message.headers["answer"], body)

    async def acknowledge(self, messages: Sequence[Any]) -> None:
        for message in messages:
            await message.ack()

    @staticmethod
    def body(message: Any) -> bytes:
        data: bytes = message.data
        return data
