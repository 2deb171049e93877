"""The queue as a log: the offset of a user's message is the place."""

import asyncio
from itertools import pairwise
from typing import Any, ClassVar

import nats
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig, StreamConfig

from bench.methods.queues.queue import Place, Queue, Reached

_KNOWN_S = 600.0
"""How long a user who lines up again is known to be there: a log knows no users."""
_ACK_WAIT_S = 1.0
_FOLLOW_S = 0.02
"""How often the edge asks how far the gate is: Kafka tells nobody of a commit."""


class _Log(Queue):
    """One stream for the line, whose sequence is the number; nobody is counted and nothing is taken
    out. The gate is a second stream, whose newest message says up to which number everybody is
    inside: a promotion is one message for all of them, so one effect, and it names the gate's last
    message, so that of two promoters only one goes on. The edge follows the gate, and answers who
    asks from memory."""

    name = "log"
    title = "JetStream, watermark"
    component = "nats"
    durability = "fsync before the answer (sync_interval always)"
    points: ClassVar[tuple[str, ...]] = ("before", "done")

    async def open(self) -> None:
        self._nats = await nats.connect(self.url, pending_size=8 * 1024 * 1024)
        self._js = self._nats.jetstream(timeout=10)
        self._line, self._gate = f"{self.run}-line", f"{self.run}-gate"
        for name in (self._line, self._gate):  # one that is there already stays as it is
            await self._js.add_stream(
                StreamConfig(name, subjects=[name], duplicate_window=_KNOWN_S)
            )
        self._through = self._last = 0
        await self._js.subscribe(self._gate, cb=self._moved, ordered_consumer=True)

    async def _moved(self, message: Msg) -> None:
        self._last, self._through = message.metadata.sequence.stream, int(message.data)

    async def close(self) -> None:
        await self._nats.close()

    async def join(self, user: str) -> int:
        header = {"Nats-Msg-Id": user}  # who lines up again gets the first one's sequence
        return (await self._js.publish(self._line, user.encode(), headers=header)).seq

    async def ask(self, user: str, number: int) -> Place | None:
        return Place(number, max(0, number - self._through - 1), number <= self._through)

    async def _end(self, stream: str) -> int:
        return (await self._js.stream_info(stream)).state.last_seq

    async def admit(self, count: int, reached: Reached) -> None:
        through = min(self._through + count, await self._end(self._line))
        if through == self._through or await self._end(self._gate) > self._last:
            return  # nobody waits, or our last message has yet to come back to us
        reached("before")
        header = {"Nats-Expected-Last-Sequence": str(self._last)}
        await self._js.publish(self._gate, str(through).encode(), headers=header)
        reached("done")

    async def _moves(self) -> list[int]:
        reader = await self._js.subscribe(self._gate, ordered_consumer=True)
        count = await self._end(self._gate)
        return [int((await reader.next_msg(timeout=5)).data) for _ in range(count)]

    async def admissions(self) -> list[int]:
        moves = [0, *await self._moves()]
        return [n for a, b in pairwise(moves) for n in range(a + 1, b + 1)]


class _Consumer(_Log):
    """The same line with the promotion that a log invites to: a consumer takes the next messages,
    lets each of them in by a message of its own, and acknowledges them."""

    name = "log-consumer"
    title = "JetStream, consumer"
    points = ("taken", "let in", "acknowledged")
    loaded = False

    async def open(self) -> None:
        await super().open()
        config = ConsumerConfig(ack_wait=_ACK_WAIT_S, max_ack_pending=10_000)
        self._reader = await self._js.pull_subscribe(self._line, durable="gate", config=config)

    async def admit(self, count: int, reached: Reached) -> None:
        try:
            messages = await self._reader.fetch(count, timeout=0.2)
        except TimeoutError:
            return
        reached("taken")
        for message in messages:
            number = message.metadata.sequence.stream
            await self._js.publish(self._gate, str(number).encode())
        reached("let in")
        await asyncio.gather(*(message.ack_sync() for message in messages))
        reached("acknowledged")

    async def admissions(self) -> list[int]:
        return await self._moves()


class _Kafka(Queue):
    """One partition, because an order has one. The gate is the committed offset of a group: a
    promotion is one commit, and who has an offset below it is inside. Of two promoters at once
    Kafka would take both commits, and a user who lines up again gets another place. Needs a broker
    that makes topics by itself; not part of the committed figures, whose machine has none."""

    name = "kafka"
    title = "Kafka, committed offset"
    component = "kafka"
    durability = "by all replicas in sync (acks all); fsync as the broker is set"
    points: ClassVar[tuple[str, ...]] = ("before", "done")

    async def open(self) -> None:
        self._line, self._through = TopicPartition(self.run, 0), 0
        self._producer: Any = AIOKafkaProducer(
            bootstrap_servers=self.url, acks="all", enable_idempotence=True
        )
        self._consumer: Any = AIOKafkaConsumer(
            bootstrap_servers=self.url, group_id=self.run, enable_auto_commit=False
        )
        await self._producer.start()
        await self._producer.partitions_for(self.run)
        await self._consumer.start()
        self._consumer.assign([self._line])
        self._follower = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        while True:
            self._through = await self._committed()
            await asyncio.sleep(_FOLLOW_S)

    async def _committed(self) -> int:
        return await self._consumer.committed(self._line) or 0

    async def close(self) -> None:
        self._follower.cancel()
        await asyncio.gather(self._follower, return_exceptions=True)
        await self._consumer.stop()
        await self._producer.stop()

    async def join(self, user: str) -> int:
        stored = await self._producer.send_and_wait(self.run, user.encode(), partition=0)
        return int(stored.offset) + 1

    ask = _Log.ask

    async def admit(self, count: int, reached: Reached) -> None:
        through = await self._committed()
        last = (await self._consumer.end_offsets([self._line]))[self._line]
        if through < last:
            reached("before")
            await self._consumer.commit({self._line: min(through + count, last)})
            reached("done")

    async def admissions(self) -> list[int]:
        return list(range(1, await self._committed() + 1))


QUEUES = (_Log, _Consumer, _Kafka)
